//! TranDB: common.
