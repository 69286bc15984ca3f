#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rsm_fuzz_targets::run("audio_track", data));
