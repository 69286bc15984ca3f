//! Every target over its seeds, over damaged seeds, and over random bytes: the part of fuzzing that CI runs. The random numbers
//! are the same in every run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rsm_fuzz_targets::{TARGETS, run};

/// Random inputs of each target, and as many damaged seeds.
const INPUTS: usize = 2000;
/// Longest random input, bytes.
const MAX_LEN: usize = 600;
/// Most damaged places of a seed.
const MAX_DAMAGES: usize = 4;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../seeds")).join(target);
    let mut paths: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no seed", dir.display());
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn random(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..MAX_LEN)];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn damaged(seed: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..=MAX_DAMAGES) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.random()),
            2 => bytes.extend_from_within(at..),
            _ => bytes.get_mut(at).into_iter().for_each(|byte| *byte = rng.random()),
        }
    }
    bytes
}

/// Runs one input; when it breaks a rule, shows it.
fn try_one(target: &str, input: &[u8]) {
    if let Err(broken) = catch_unwind(AssertUnwindSafe(|| run(target, input))) {
        eprintln!("{target} breaks with {input:02x?}\nas text: {}", String::from_utf8_lossy(input));
        resume_unwind(broken);
    }
}

fn holds(target: &str) {
    let (seeds, mut rng) = (seeds(target), StdRng::seed_from_u64(7));
    seeds.iter().for_each(|seed| try_one(target, seed));
    for at in 0..INPUTS {
        try_one(target, &random(&mut rng));
        try_one(target, &damaged(&seeds[at % seeds.len()], &mut rng));
    }
}

/// A test for each, so that they run beside each other.
macro_rules! tests {
    ($($target:ident),*) => {
        $(#[test]
        fn $target() {
            holds(stringify!($target));
        })*

        #[test]
        fn no_target_is_left_out() {
            let programs = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz_targets");
            let known: Vec<_> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
            assert_eq!(known, [$(stringify!($target)),*]);
            let mut built: Vec<_> = fs::read_dir(programs).unwrap().map(|entry| entry.unwrap().path()).collect();
            built.sort();
            let built: Vec<_> = built.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
            assert_eq!(built, known);
        }
    };
}

tests!(
    aac,
    audio_track,
    avcc,
    camera_url,
    clocks,
    config,
    decoding_times,
    hls_address,
    hls_query,
    hvcc,
    jpeg_size,
    link_body,
    origin,
    pictures,
    playlist,
    redact,
    rtsp_answers,
    segments,
    window,
    wire
);
