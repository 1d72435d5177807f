//! Gives what libFuzzer makes up to the target of this name.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ajp_fuzz::targets::packet_relay::run(data));
