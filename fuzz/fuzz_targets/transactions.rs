//! Hands libFuzzer's bytes on to [`trandb_fuzz::transactions`], where what must hold is said.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trandb_fuzz::transactions(data));
