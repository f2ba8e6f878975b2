//! TranDB: engine.
