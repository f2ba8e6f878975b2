//! TranDB: server.
