//! TranDB: bench.
