//! The decisions of API and worker, run against a model of workers, cameras and a NATS that loses, delays and reorders,
//! with a seeded clock: ten thousand histories, each a function of its seed. A history that fails is reported with its
//! seed; `RSM_SIMULATION_SEED=<seed> cargo test -p rsm-simulation -- --nocapture` lives through it again and prints
//! what happens. `RSM_SIMULATION_HISTORIES` sets another number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

mod api;
mod checks;
mod history;
mod nats;
mod worker;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

/// Histories in one run of the tests.
const HISTORIES: u64 = 10_000;

#[test]
fn no_history_breaks_an_invariant() {
    if let Some(seed) = number("RSM_SIMULATION_SEED") {
        let lived = history::live(seed, true);
        if let Err(why) = lived {
            panic!("seed {seed}: {why}");
        }
        return;
    }
    let histories = number("RSM_SIMULATION_HISTORIES").unwrap_or(HISTORIES);
    let first = number("RSM_SIMULATION_FIRST").unwrap_or(0);
    let next = AtomicU64::new(first);
    let refused = AtomicU64::new(0);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let lives = |_| {
            scope.spawn(|| {
                let mut failed = Vec::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + histories {
                        return failed;
                    }
                    match history::live(seed, false) {
                        Ok(world) => drop(refused.fetch_add(world.checks.refused, Ordering::Relaxed)),
                        Err(why) => failed.push(format!("seed {seed}: {why}")),
                    }
                }
            })
        };
        let running: Vec<_> = (0..threads).map(lives).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    println!("{} frames of stale owners were refused", refused.into_inner());
    assert!(
        failed.is_empty(),
        "{} of {histories} histories failed:\n{}",
        failed.len(),
        failed[..failed.len().min(30)].join("\n")
    );
}

#[test]
fn a_history_is_a_function_of_its_seed() {
    let tell = |seed| history::live(seed, false).map(|w| (w.now, w.checks.starts, w.checks.refused, w.scheduled()));
    for seed in [4, 5, 12] {
        assert_eq!(tell(seed), tell(seed), "seed {seed}");
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
