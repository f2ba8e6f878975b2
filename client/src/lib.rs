//! TranDB: client.
