//! Hosts whose clocks are wrong. Only the wall clock is: no kernel lets the monotonic one jump.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::eventually;
use crate::harness::farm::{Farm, Plan};
use crate::harness::wall_clock::WallClock;
use crate::harness::watch::NatsWatcher;

/// Error of the wrong clock: an hour.
const HOUR_S: i64 = 3600;

/// Offset of a worker's clock from ours, seconds, by the frames that it publishes.
fn worker_is_off(consumer: &NatsWatcher, slug: &str) -> i64 {
    i64::try_from(consumer.seen(slug).published_at_us / 1_000_000).unwrap() - now_s()
}

/// Offset of the API's clock, by the time that it gives a new link.
async fn api_is_off(farm: &Farm) -> i64 {
    let (status, answer) = farm.send(Method::POST, "/video/", &json!({ "url": "rtsp://127.0.0.1:9/never" })).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let slug = answer["slug"].as_str().unwrap();
    let links = farm.json("/video/").await.unwrap();
    let link = links.as_array().unwrap().iter().find(|link| link["slug"] == slug).unwrap();
    let created: jiff::Timestamp = link["created"].as_str().unwrap().parse().unwrap();
    let (status, _) = farm.send(Method::DELETE, &format!("/video/{slug}/"), &json!({})).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    created.as_second() - now_s()
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn near(off: i64, want: i64) -> bool {
    (off - want).abs() < 60
}

/// Whose clock is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Worker,
    Api,
    /// The server's, seen from everybody else: it reads the kernel's clock past every library, so the others are
    /// moved the other way.
    NatsServer,
}

/// An hour ahead, an hour behind and right again: no stream is placed again, no camera opened again.
async fn wrong_clock(wrong: Wrong) {
    let dir = tempfile::tempdir().unwrap();
    let clock = WallClock::new(dir.path());
    // Neither worker has room for all.
    let mut plan = Plan::of(2, 4).env("RSM__WORKER__CAPACITY", "3");
    for (key, value) in clock.environment() {
        plan = match wrong {
            Wrong::Worker => plan.own_env("w1", key, &value),
            Wrong::Api => plan.own_env("api", key, &value),
            Wrong::NatsServer => plan.env(key, &value),
        };
    }
    let farm = plan.start().await;
    let watchers = farm.watch_all().await;
    let consumer = NatsWatcher::open(&farm.nats.url, farm.slugs()).await;
    let before = farm.until_owned("both to have streams", |_, _| true).await;
    let of_w1 = before.iter().find(|(_, owner)| owner.worker == "w1").expect("w1 owns one").0.clone();
    let sessions = farm.sessions().await;
    for seconds in [HOUR_S, -HOUR_S, 0] {
        clock.set(seconds);
        if wrong != Wrong::Api {
            let off = async || worker_is_off(&consumer, &of_w1);
            eventually("the worker's clock to be wrong", off, |off| near(*off, seconds)).await;
        }
        if wrong != Wrong::Worker {
            let off = async || api_is_off(&farm).await;
            eventually("the API's clock to be wrong", off, |off| near(*off, seconds)).await;
        }
        farm.beats(&["w1", "w2"], 8).await;
        assert_eq!(farm.until_all_run().await, before, "by {seconds} s: nothing was placed again");
        assert_eq!(farm.sessions().await, sessions, "by {seconds} s: no camera was opened again");
        for watcher in &watchers {
            watcher.more(5).await;
        }
    }
}

#[tokio::test]
async fn a_workers_clock_an_hour_off_changes_nothing() {
    wrong_clock(Wrong::Worker).await;
}

#[tokio::test]
async fn the_apis_clock_an_hour_off_changes_nothing() {
    wrong_clock(Wrong::Api).await;
}

#[tokio::test]
async fn the_nats_servers_clock_an_hour_off_changes_nothing() {
    wrong_clock(Wrong::NatsServer).await;
}
