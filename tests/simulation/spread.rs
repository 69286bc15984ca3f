//! Equal streams spread evenly over equal workers, however both arrive.

use crate::history::slug;
use crate::world::{Registered, Weather, World};

/// Slots of each worker, more than all streams need.
const CAPACITY: u32 = 1000;
/// The last stream has its owner well before that.
const SETTLED: u64 = 60_000;

/// A farm with that many workers and streams, which are added one after the other.
fn farm(workers: usize, streams: usize, apart_ms: u64) -> World {
    let mut world = World::new(7, Weather { lost: 0, slow: 0 }, false);
    world.balance = Some(0.1);
    world.start_api();
    for _ in 0..workers {
        join(&mut world);
    }
    for n in 0..streams {
        let at = 7_000 + u64::try_from(n).unwrap() * apart_ms;
        world.after(at, move |w| {
            let link = Registered { enabled: true, exclusive: false, spec_rev: 1, demanded: false };
            w.registered.insert(slug(n), link);
        });
    }
    world
}

fn join(world: &mut World) {
    let n = world.start_worker(None);
    world.workers[n].capacity = CAPACITY;
}

/// Streams of each worker.
fn counts(world: &World) -> Vec<usize> {
    world.workers.iter().map(|worker| worker.holding.len()).collect()
}

fn assert_even(world: &World, streams: usize) {
    let counts = counts(world);
    assert_eq!(counts.iter().sum::<usize>(), streams, "{counts:?}");
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 1, "{streams} streams: {counts:?}");
}

#[test]
fn streams_spread_within_one_whether_they_come_at_once_or_one_after_the_other() {
    for streams in [3, 12, 500] {
        for apart_ms in [0, 20] {
            let mut world = farm(3, streams, apart_ms);
            world.run_until(SETTLED);
            assert_even(&world, streams);
            assert_eq!(usize::try_from(world.checks.starts).unwrap(), streams, "placed once, never moved");
        }
    }
}

#[test]
fn streams_move_to_workers_that_join_later_until_all_are_even() {
    let mut world = farm(1, 12, 100);
    world.run_until(SETTLED);
    assert_eq!(counts(&world), [12]);
    join(&mut world);
    join(&mut world);
    world.run_until(SETTLED + 300_000);
    assert_even(&world, 12);
    assert!(world.checks.starts <= 12 + 8, "{} starts: each moved once at most", world.checks.starts);
}
