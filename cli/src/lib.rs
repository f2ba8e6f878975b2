//! TranDB: cli.
