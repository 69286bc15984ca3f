//! A farm whose NATS dies, forgets, is out of reach, or carries nonsense.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::farm::{busiest, moved_only_from, opened_again};
use crate::harness::chaos::Mode;
use crate::harness::eventually;
use crate::harness::farm::{Farm, Plan};

/// Heartbeats after which whatever was going to happen has happened: silence is judged after four.
const SETTLED_BEATS: usize = 8;

/// Kills nats-server, removes its store when `wiped`, and expects that viewers see nothing but a gap.
async fn outage(wiped: bool) {
    let mut farm = Plan::of(2, 4).start().await;
    let watchers = farm.watch_all().await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    farm.nats.kill().await;
    let down = async || farm.http.get(format!("{}/health/ready", farm.base)).send().await.map(|a| a.status()).ok();
    eventually("the API to notice", down, |status| *status == Some(StatusCode::SERVICE_UNAVAILABLE)).await;
    if wiped {
        farm.nats.wipe();
    }
    farm.nats.start_again().await;
    for watcher in &watchers {
        watcher.more(5).await;
    }
    farm.until_ready().await;
    farm.beats(&["w1", "w2"], SETTLED_BEATS).await;
    assert_eq!(farm.until_all_run().await, before, "nothing was placed again");
    assert_eq!(farm.sessions().await, sessions, "no camera was opened again");
    takes_new_streams(&farm).await;
    watchers.iter().for_each(|watcher| watcher.fine());
}

/// Starting and stopping work.
async fn takes_new_streams(farm: &Farm) {
    let (slug, _) = farm.add(&farm.camera.urls[0]).await;
    let owner = async || farm.owner(&slug).await;
    eventually("a new stream to run", owner, |owner| owner.as_ref().is_some_and(|o| o.state == "running")).await;
    let (status, _) = farm.send(Method::DELETE, &format!("/video/{slug}/"), &Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    farm.until_one_session_each().await;
}

#[tokio::test]
async fn a_nats_server_that_was_killed_and_is_back_restarts_no_pipeline() {
    outage(false).await;
}

#[tokio::test]
async fn a_nats_server_that_was_wiped_and_is_back_restarts_no_pipeline() {
    outage(true).await;
}

#[tokio::test]
async fn a_worker_cut_off_for_a_moment_gives_up_what_others_took() {
    let farm = Plan::of(3, 6).proxied("w1").proxied("w2").proxied("w3").start().await;
    let watchers = farm.watch_all().await;
    let before = farm.until_all_run().await;
    let lost = busiest(&before);
    farm.chaos[&lost].set(Mode::BlackHole);
    let after = farm.until_owned("streams to move", |_, owner| owner.worker != lost).await;
    for watcher in &watchers {
        watcher.more(5).await;
    }
    farm.chaos[&lost].heal();
    farm.beats(&["w1", "w2", "w3"], SETTLED_BEATS).await;
    farm.until_one_session_each().await;
    for watcher in &watchers {
        watcher.more(5).await;
    }
    moved_only_from(&lost, &before, &after);
    assert_eq!(farm.until_all_run().await, after, "moved once");
}

#[tokio::test]
async fn a_worker_cut_off_for_long_stops_pipelines_of_exclusive_cameras_by_itself() {
    let plan = Plan { exclusive_from: Some(0), ..Plan::of(3, 6) }.proxied("w1").proxied("w2").proxied("w3");
    let farm = plan.env("RSM__CONTROL__HOLD_S", "10").start().await;
    let watchers = farm.watch_all().await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    let lost = busiest(&before);
    farm.chaos[&lost].set(Mode::BlackHole);
    let after = farm.until_owned("streams to move", |_, owner| owner.worker != lost).await;
    let alone = farm.until_one_session_each().await;
    let expected: Vec<u64> = farm.streams.iter().map(|(slug, _)| u64::from(before[slug].worker == lost)).collect();
    assert_eq!(opened_again(&sessions, &alone), expected, "by the new owners");
    farm.chaos[&lost].heal();
    farm.beats(&["w1", "w2", "w3"], SETTLED_BEATS).await;
    moved_only_from(&lost, &before, &after);
    assert_eq!(farm.until_all_run().await, after, "moved once");
    for watcher in &watchers {
        watcher.more(5).await;
    }
    assert_eq!(farm.sessions().await, alone);
}

/// The stream of the exclusive camera ends by silence, which shows that the time for it is over; the others go on.
#[tokio::test]
async fn an_api_that_hangs_ends_streams_of_exclusive_cameras_only() {
    let plan = Plan { exclusive_from: Some(3), ..Plan::of(2, 4) };
    let farm = plan.env("RSM__CONTROL__HOLD_S", "10").start().await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    farm.api.pause();
    let exclusive = async || farm.sessions().await[3];
    eventually("the exclusive camera to be let go", exclusive, |(playing, _)| *playing == 0).await;
    assert_eq!(farm.sessions().await[..3], sessions[..3], "the others go on");
    farm.api.go_on();
    farm.until_one_session_each().await;
    farm.beats(&["w1", "w2"], SETTLED_BEATS).await;
    let after = farm.until_all_run().await;
    let kept = |slug: &&String| **slug != farm.streams[3].0;
    assert!(before.keys().filter(kept).all(|slug| before[slug] == after[slug]), "{before:?} {after:?}");
    assert_eq!(opened_again(&sessions, &farm.sessions().await)[..3], [0, 0, 0], "no camera of them was opened again");
}

#[tokio::test]
async fn a_slow_network_moves_nothing() {
    let farm = Plan::of(2, 4).proxied("w1").start().await;
    let watchers = farm.watch_all().await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    farm.chaos["w1"].set(Mode::Delay(Duration::from_millis(150)));
    farm.beats(&["w1", "w2"], SETTLED_BEATS).await;
    takes_new_streams(&farm).await;
    farm.chaos["w1"].heal();
    farm.beats(&["w1", "w2"], SETTLED_BEATS).await;
    assert_eq!(farm.until_all_run().await, before);
    assert_eq!(opened_again(&sessions, &farm.sessions().await)[1..], [0, 0, 0], "but for the stream of this test");
    watchers.iter().for_each(|watcher| watcher.fine());
}

#[tokio::test]
async fn a_connection_that_breaks_again_and_again_moves_nothing() {
    let farm = Plan::of(2, 4).proxied("w1").start().await;
    let watchers = farm.watch_all().await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    for _ in 0..5 {
        farm.chaos["w1"].set(Mode::Cut);
        farm.chaos["w1"].heal();
        farm.beats(&["w1"], 2).await;
    }
    farm.beats(&["w1", "w2"], SETTLED_BEATS).await;
    assert_eq!(farm.until_all_run().await, before);
    assert_eq!(farm.sessions().await, sessions);
    for watcher in &watchers {
        watcher.more(5).await;
    }
}

#[tokio::test]
async fn nonsense_in_the_queue_starts_nothing_and_goes_away() {
    let farm = Plan::of(2, 4).start().await;
    let watchers = farm.watch_all().await;
    let (before, sessions) = (farm.until_all_run().await, farm.sessions().await);
    let client = farm.nats.client().await;
    let publish = async |cam: &str, payload: Vec<u8>| {
        for priority in ["hi", "lo"] {
            let subject = format!("rsm.v1.cmd.start.default.{priority}.{cam}");
            client.publish(subject, payload.clone().into()).await.unwrap();
        }
        client.flush().await.unwrap();
    };
    for (slug, owner) in &before {
        for epoch in [owner.epoch, owner.epoch, owner.epoch - 1, 1, owner.epoch + 1, owner.epoch + 1_000_000] {
            let ticket = json!({ "v": 1, "cam": slug, "zone": "default", "epoch": epoch, "reason": "start" });
            publish(slug, ticket.to_string().into_bytes()).await;
        }
    }
    let deep = "[".repeat(100_000);
    for (cam, payload) in [
        ("not-json", &b"{"[..]),
        ("empty", b""),
        ("bytes", b"\xff\xfe\x00"),
        ("other-shape", br#"{"v":1,"cam":7,"epoch":"soon"}"#),
        ("bad-cam", br#"{"v":1,"cam":"../../x","zone":"default","epoch":1,"reason":"start"}"#),
        ("deep", &deep.as_bytes()[..60_000]),
        ("unknown-cam", br#"{"v":1,"cam":"unknown-cam","zone":"default","epoch":1,"reason":"start"}"#),
    ] {
        publish(cam, payload.to_vec()).await;
    }
    for cam in ["not-json", "empty", "bytes", "other-shape", "bad-cam", "deep"] {
        let left = async || farm.nats.count("RSM_CMD", &format!("rsm.v1.cmd.start.*.*.{cam}")).await;
        eventually(&format!("the ticket {cam} to go away"), left, |left| *left == 0).await;
    }
    farm.beats(&["w1", "w2"], SETTLED_BEATS).await;
    assert_eq!(farm.until_all_run().await, before, "nothing was placed again");
    assert_eq!(farm.sessions().await, sessions, "nothing was opened");
    takes_new_streams(&farm).await;
    watchers.iter().for_each(|watcher| watcher.fine());
}

#[tokio::test]
async fn a_stream_flipped_ten_times_a_second_ends_as_it_was_left() {
    /// Pairs of stop and start, paced for four seconds.
    const FLIPS: usize = 20;
    let farm = Plan::of(2, 2).start().await;
    let slugs = farm.slugs();
    let mut newest: Vec<u64> = farm.until_all_run().await.values().map(|owner| owner.epoch).collect();
    // By slug, as the owners are.
    let sorted: Vec<String> = farm.until_all_run().await.into_keys().collect();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for verb in (0..FLIPS).flat_map(|_| ["stop", "start"]) {
        pace.tick().await;
        for (slug, newest) in sorted.iter().zip(&mut newest) {
            let (status, body) = farm.send(Method::POST, &format!("/video/{slug}/{verb}"), &json!({})).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{body}");
            let epoch = farm.owner(slug).await.map_or(0, |owner| owner.epoch);
            // None while it is stopped.
            assert!(epoch == 0 || epoch >= *newest, "{slug} went back from epoch {newest} to {epoch}");
            *newest = (*newest).max(epoch);
        }
    }
    let (status, _) = farm.send(Method::POST, &format!("/video/{}/stop", slugs[0]), &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let state = async || (farm.owner(&slugs[0]).await.unwrap().state, farm.owner(&slugs[1]).await.unwrap().state);
    eventually("one stopped, one running", state, |(one, other)| one == "stopped" && other == "running").await;
    let playing = async || farm.sessions().await.iter().map(|(playing, _)| *playing).collect::<Vec<_>>();
    eventually("no session and one", playing, |playing| *playing == [0, 1]).await;
    farm.beats(&["w1", "w2"], SETTLED_BEATS).await;
    assert_eq!(playing().await, [0, 1], "and later");
    assert_eq!(state().await, ("stopped".to_owned(), "running".to_owned()));
}
