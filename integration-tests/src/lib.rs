//! TranDB: integration tests.
