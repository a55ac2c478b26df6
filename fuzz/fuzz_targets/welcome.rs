#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runcellar_format::fuzz::welcome(data));
