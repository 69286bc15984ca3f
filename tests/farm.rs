//! Several workers, of which some die, sleep, leave or come.

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use crate::harness::eventually;
use crate::harness::farm::{Farm, Owner, Plan};
use crate::harness::watch::{NatsWatcher, Watcher};

/// The worker with the most streams.
pub fn busiest(owners: &BTreeMap<String, Owner>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for owner in owners.values() {
        *counts.entry(&owner.worker).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0.to_owned()
}

/// Streams that were not with `worker` are where they were, under the same epoch; those that were have a newer one.
pub fn moved_only_from(worker: &str, before: &BTreeMap<String, Owner>, after: &BTreeMap<String, Owner>) {
    for (slug, old) in before {
        let new = &after[slug];
        if old.worker == worker {
            assert!(new.worker != worker && new.epoch > old.epoch, "{slug} did not move: {old:?}, {new:?}");
        } else {
            assert_eq!(new, old, "{slug} had no reason to move");
        }
    }
}

/// Number of times that each camera was opened again, in the order of the streams.
pub fn opened_again(before: &[(u64, u64)], after: &[(u64, u64)]) -> Vec<u64> {
    before.iter().zip(after).map(|(before, after)| after.1 - before.1).collect()
}

/// One for each stream that was with `worker`.
fn once_for_each_of(farm: &Farm, worker: &str, before: &BTreeMap<String, Owner>) -> Vec<u64> {
    farm.streams.iter().map(|(slug, _)| u64::from(before[slug].worker == worker)).collect()
}

async fn more_of_all(watchers: &[Watcher]) {
    for watcher in watchers {
        watcher.more(5).await;
    }
}

#[tokio::test]
async fn the_streams_of_a_killed_worker_go_on_elsewhere_and_viewers_stay() {
    let mut farm = Plan::of(3, 12).start().await;
    let watchers = farm.watch_all().await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    let victim = busiest(&before);
    farm.worker(&victim).kill().await;
    let after = farm.until_owned("streams to move", |_, owner| owner.worker != victim).await;
    more_of_all(&watchers).await;
    moved_only_from(&victim, &before, &after);
    let again = opened_again(&sessions, &farm.until_one_session_each().await);
    assert_eq!(again, once_for_each_of(&farm, &victim, &before));
}

#[tokio::test]
async fn a_worker_that_slept_shows_no_stale_frame_and_lets_go_what_others_took() {
    let mut farm = Plan::of(3, 6).start().await;
    let watchers = farm.watch_all().await;
    let before = farm.until_all_run().await;
    let sleeper = busiest(&before);
    farm.worker(&sleeper).pause();
    let after = farm.until_owned("streams to move", |_, owner| owner.worker != sleeper).await;
    more_of_all(&watchers).await;
    farm.worker(&sleeper).go_on();
    farm.beats(&[&sleeper], 3).await;
    farm.until_one_session_each().await;
    more_of_all(&watchers).await;
    moved_only_from(&sleeper, &before, &after);
    assert_eq!(farm.until_all_run().await, after, "moved once");
}

#[tokio::test]
async fn without_the_api_running_streams_go_on_and_their_epochs_stay() {
    let mut farm = Plan::of(2, 4).start().await;
    let consumer = NatsWatcher::open(&farm.nats.url, farm.slugs()).await;
    consumer.more(&farm.slugs(), 3).await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    farm.api.kill().await;
    // Ten seconds of pictures, told by the pictures.
    consumer.more(&farm.slugs(), 50).await;
    assert_eq!(farm.sessions().await, sessions, "nobody stopped or opened anything");
    farm.api.start_again();
    farm.until_ready().await;
    assert_eq!(farm.until_all_run().await, before);
    farm.beats(&["w1", "w2"], 8).await;
    assert_eq!(farm.until_all_run().await, before, "and later");
    assert_eq!(farm.sessions().await, sessions);
    for slug in farm.slugs() {
        assert_eq!(consumer.seen(&slug).fences.len(), 1, "one owner all the time");
    }
}

#[tokio::test]
async fn an_api_that_comes_back_hands_on_what_a_dead_worker_had() {
    let mut farm = Plan::of(2, 4).start().await;
    let before = farm.until_all_run().await;
    let sessions = farm.sessions().await;
    let victim = busiest(&before);
    farm.api.kill().await;
    farm.worker(&victim).kill().await;
    farm.api.start_again();
    farm.until_ready().await;
    let after = farm.until_owned("streams to move", |_, owner| owner.worker != victim).await;
    moved_only_from(&victim, &before, &after);
    let again = opened_again(&sessions, &farm.until_one_session_each().await);
    assert_eq!(again, once_for_each_of(&farm, &victim, &before));
    for watcher in farm.watch_all().await {
        watcher.fine();
    }
}

#[tokio::test]
async fn a_worker_told_to_end_hands_its_streams_on_first() {
    // So long that it ends for want of streams, however slow this machine is.
    let mut farm = Plan::of(3, 6).env("RSM__WORKER__DRAIN_S", "600").start().await;
    let watchers = farm.watch_all().await;
    let consumer = NatsWatcher::open(&farm.nats.url, Vec::new()).await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    let leaver = busiest(&before);
    consumer.more(&farm.slugs(), 1).await;
    let status = farm.worker(&leaver).end().await;
    assert_eq!(status.code(), Some(0), "{}", farm.worker(&leaver).log.text());
    // Make before break: the leaving worker has seen that others have taken over.
    let log = farm.worker(&leaver).log.ended().await;
    assert!(log.lines().any(|line| line.contains("drained") && line.contains("nothing is left")), "{log}");
    let after = farm.until_owned("streams to run elsewhere", |_, owner| owner.worker != leaver).await;
    moved_only_from(&leaver, &before, &after);
    more_of_all(&watchers).await;
    for slug in farm.slugs() {
        let fences: Vec<_> = consumer.seen(&slug).fences.iter().map(|(fence, _)| *fence).collect();
        assert!(fences.is_sorted(), "owners follow one another: {fences:?}");
    }
    let again = opened_again(&sessions, &farm.until_one_session_each().await);
    assert_eq!(again, once_for_each_of(&farm, &leaver, &before));
}

#[tokio::test]
async fn streams_move_to_a_worker_that_joins() {
    let plan = Plan::of(1, 6).env("RSM__CONTROL__REBALANCE", "true").env("RSM__WORKER__CAPACITY", "10");
    let mut farm = plan.start().await;
    let watchers = farm.watch_all().await;
    let before = farm.until_all_run().await;
    farm.add_worker("w2").await;
    let spread = |owners: &BTreeMap<String, Owner>| {
        let busy: BTreeSet<_> = owners.values().map(|owner| owner.worker.as_str()).collect();
        busy.len() == 2 && owners.values().all(|owner| owner.state == "running")
    };
    eventually("streams to move to w2", async || farm.owners().await, spread).await;
    for watcher in &watchers {
        watcher.goes_on(5).await;
    }
    farm.until_one_session_each().await;
    for (slug, owner) in farm.until_all_run().await {
        assert!(owner.epoch >= before[&slug].epoch, "{slug}: {owner:?}");
    }
}

#[tokio::test]
async fn equal_streams_spread_evenly_within_one() {
    let mut farm = Plan::of(3, 12).env("RSM__CONTROL__REBALANCE", "true").start().await;
    let even = |workers: usize| {
        move |owners: &BTreeMap<String, Owner>| {
            let mut counts = BTreeMap::<&str, usize>::new();
            owners.values().for_each(|owner| *counts.entry(&owner.worker).or_default() += 1);
            counts.len() == workers
                && counts.values().max().zip(counts.values().min()).is_some_and(|(most, least)| most - least <= 1)
                && owners.values().all(|owner| owner.state == "running")
        }
    };
    eventually("twelve streams to be spread over three workers", async || farm.owners().await, even(3)).await;
    farm.add_worker("w4").await;
    eventually("twelve streams to be spread over four workers", async || farm.owners().await, even(4)).await;
    farm.until_one_session_each().await;
}

#[tokio::test]
async fn when_every_host_is_busy_streams_start_all_the_same() {
    // Busier than the least that can be allowed, whatever else runs here.
    let done = CancellationToken::new();
    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2) {
        let done = done.clone();
        std::thread::spawn(move || while !done.is_cancelled() {});
    }
    let _done = done.drop_guard();
    let mut farm = Plan::of(2, 4).env("RSM__WORKER__MAX_CPU_PERCENT", "10").start_bare().await;
    farm.until_beats("both workers to be busy", &["w1", "w2"], |beat| beat["load"]["cpu"].as_f64() > Some(0.11)).await;
    farm.add_streams().await;
    farm.until_all_run().await;
}

#[tokio::test]
async fn a_stream_that_kills_every_worker_is_set_apart_and_the_others_go_on() {
    /// Workers that may die before it has to be noticed.
    const DEATHS: usize = 6;

    let mut farm = Plan::of(3, 4).start().await;
    let poison = farm.camera.urls[0].replace("/cam1", "/cam1?poison");
    let (slug, _) = farm.add(&poison).await;
    let (mut deaths, mut last) = (0, 0);
    loop {
        // Only a death that is known to be an owner's tells something of the stream.
        let decided = |owner: &Option<Owner>| {
            owner.as_ref().is_some_and(|o| o.state == "failed" || (!o.worker.is_empty() && o.epoch > last))
        };
        let owner = eventually("an owner or a verdict", async || farm.owner(&slug).await, decided).await.unwrap();
        if owner.state == "failed" {
            let status = farm.json(&format!("/video/{slug}/status")).await.unwrap();
            assert!(status["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{status}");
            break;
        }
        assert!(deaths < DEATHS, "{slug} has killed {deaths} workers and is {owner:?}");
        let killed = farm.worker(&owner.worker);
        killed.kill().await;
        killed.start_again();
        (deaths, last) = (deaths + 1, owner.epoch);
    }
    assert!(deaths >= 2, "one death may be an accident");
    farm.until_all_run().await;
    for watcher in farm.watch_all().await {
        watcher.more(5).await;
    }
    assert_eq!(farm.owner(&slug).await.unwrap().state, "failed", "and stays so");
}
