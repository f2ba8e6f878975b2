//! Linearizability: could each operation have taken effect at one moment between its call and its
//! return?
