//! Hands libFuzzer's bytes on to [`trandb_fuzz::peer_frames`], where what must hold is said.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trandb_fuzz::peer_frames(data));
