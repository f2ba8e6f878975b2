//! Strict serializability: could the transactions have run one after another?
