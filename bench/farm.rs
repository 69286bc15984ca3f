//! `make bench-farm`: hundreds and thousands of streams without cameras. NATS, API, SQLite and all of the worker but
//! its camera sessions are real. It prints figures beside their aims and judges nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on ends, and its result is what it prints"
)]

#[path = "../tests/harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "`make bench` uses the rest")]
mod table;
#[allow(dead_code, reason = "the other benches use the rest")]
mod usage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use harness::farm::{Farm, Plan};
use table::{line, seconds};
use usage::Process;

/// A step that takes longer is given up and reported.
const DEADLINE: Duration = Duration::from_secs(180);
/// Requests under way while links are registered.
const POSTS: usize = 32;
/// Streams that the page lists in one request.
const PAGE: usize = 200;

#[derive(Parser)]
struct Arguments {
    /// Streams and workers of the first part
    #[arg(long, default_value_t = 500)]
    streams: usize,
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Streams and workers of the second part; 0 leaves it out
    #[arg(long, default_value_t = 10_000)]
    many_streams: usize,
    #[arg(long, default_value_t = 20)]
    many_workers: usize,
    /// Time for which the farm is watched at rest, seconds
    #[arg(long, default_value_t = 30)]
    rest_seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    line("what", "seen", "bound");
    start(arguments.streams, arguments.workers).await;
    if arguments.many_streams > 0 {
        many(&arguments).await;
    }
}

/// A worker that runs streams without cameras.
fn stub() -> PathBuf {
    std::env::current_exe().expect("the own path").with_file_name("rsm-stub-worker")
}

/// All workers alike, with room for twice the even share.
async fn farm(streams: usize, workers: usize) -> Farm {
    let capacity = (streams * 2 / workers).max(1).to_string();
    let plan = Plan { worker_program: Some(stub()), default_waits: true, ..Plan::of(workers, 0) };
    let plan = plan.env("RSM__WORKER__CAPACITY", &capacity).env("RSM__API__MAX_LINKS", "20000");
    let farm = plan.start_bare().await;
    farm.beats(&["w1"], 2).await;
    farm
}

/// Registers `count` always-on links; how long that took.
async fn register(farm: &Farm, count: usize) -> Duration {
    let begun = Instant::now();
    let post = async |n: usize| {
        let body = json!({ "url": format!("rtsp://127.0.0.1:9/cam{n}"), "always_on": true, "name": format!("c{n}") });
        let (status, answer) = farm.send(reqwest::Method::POST, "/video/", &body).await;
        assert_eq!(status, 201, "{answer}");
    };
    futures_util::stream::iter(0..count).map(post).buffer_unordered(POSTS).collect::<Vec<()>>().await;
    begun.elapsed()
}

/// Streams that each worker owns by its next heartbeats.
async fn owned(farm: &Farm, names: &[String]) -> BTreeMap<String, usize> {
    let client = farm.nats.client().await;
    let mut beats = client.subscribe("rsm.v1.hb.*").await.expect("a subscription");
    let mut owned = BTreeMap::new();
    let all = async {
        while owned.len() < names.len() {
            let Some(beat) = beats.next().await else { return };
            let beat: Value = serde_json::from_slice(&beat.payload).unwrap_or_default();
            let name = beat["worker"].as_str().unwrap_or_default().to_owned();
            if names.contains(&name) {
                owned.insert(name, beat["inv"].as_array().map_or(0, Vec::len));
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    owned
}

/// Waits until `count` streams are owned, up to a deadline; returns the owned streams and the course of the wait.
async fn until_owned(farm: &Farm, names: &[String], count: usize) -> (BTreeMap<String, usize>, String) {
    let begun = Instant::now();
    loop {
        let owned = owned(farm, names).await;
        let have = owned.values().sum::<usize>();
        if have >= count {
            return (owned, seconds(begun.elapsed()));
        }
        if begun.elapsed() > DEADLINE {
            return (owned, format!("{have} in {}", seconds(begun.elapsed())));
        }
    }
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("w{n}")).collect()
}

/// Largest and mean deviation from even, percent.
fn spread(owned: &BTreeMap<String, usize>) -> String {
    let even = owned.values().sum::<usize>() as f64 / owned.len() as f64;
    let off: Vec<f64> = owned.values().map(|n| (*n as f64 - even).abs() / even * 100.0).collect();
    let (most, mean) = (off.iter().copied().fold(0.0, f64::max), off.iter().sum::<f64>() / off.len() as f64);
    format!("{most:.1} % / {mean:.1} %")
}

/// Links that were registered while no worker was there, and then all of them are.
async fn start(streams: usize, workers: usize) {
    let mut farm = farm(streams, workers).await;
    let names = names(workers);
    // Registered while no worker takes them, so that they begin at once.
    for worker in &mut farm.workers {
        worker.kill().await;
    }
    register(&farm, streams).await;
    for worker in &mut farm.workers {
        worker.start_again();
    }
    let (owned, took) = until_owned(&farm, &names, streams).await;
    let what = format!("{streams} streams at once on {workers} workers: all claimed");
    line(&what, &took, "15 s");
    line("  off from even, most / mean", &spread(&owned), "10 %");
    println!("  each: {owned:?}");
}

async fn many(arguments: &Arguments) {
    let (streams, workers) = (arguments.many_streams, arguments.many_workers);
    let mut farm = farm(streams, workers).await;
    let mut names = names(workers);
    let took = register(&farm, streams).await;
    line(&format!("{streams} links registered, {POSTS} requests at a time"), &seconds(took), "");
    let (owned, took) = until_owned(&farm, &names, streams).await;
    line(&format!("  from then on, until {workers} workers have claimed all"), &took, "");
    line("  off from even, most / mean", &spread(&owned), "");

    let begun = Instant::now();
    let running = async || listed(&farm, "/video/?limit=0&state=running").await.2;
    while running().await < owned.values().sum() && begun.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    line("  from then on, until all run", &seconds(begun.elapsed()), "");
    rest(&farm, arguments.rest_seconds).await;
    listing(&farm).await;

    let victim = names.remove(0);
    let had = owned[&victim];
    let before: usize = until_owned(&farm, &names, 0).await.0.values().sum();
    farm.worker(&victim).kill().await;
    let (_, took) = until_owned(&farm, &names, before + had).await;
    line(&format!("one worker's {had} streams claimed again after SIGKILL"), &took, "10 s");
}

/// Measures the cost while nothing happens.
async fn rest(farm: &Farm, seconds: u64) {
    let all = || {
        let worker = &farm.workers[farm.workers.len() - 1];
        [("API", farm.api.pid()), ("nats-server", farm.nats.pid()), ("one worker", worker.pid())]
            .map(|(role, pid)| Process::read(role, pid))
    };
    // Work that the start left behind ends in this time.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (begun, before) = (Instant::now(), all());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let took = begun.elapsed().as_secs_f64();
    for (before, after) in before.iter().zip(all()) {
        let cpu = (after.cpu_seconds - before.cpu_seconds) / took * 100.0;
        let bound = if after.role == "API" { "50 %" } else { "" };
        line(&format!("  {seconds} s at rest, {}: CPU of one core", after.role), &format!("{cpu:.1} %"), bound);
        line("    memory, threads", &format!("{:.0} MB, {}", after.rss_mb, after.threads), "");
    }
}

/// One listing: how long it took, its bytes, and how many there are in all.
async fn listed(farm: &Farm, path: &str) -> (Duration, usize, usize) {
    let begun = Instant::now();
    let answer = farm.http.get(format!("{}{path}", farm.base)).send().await.expect("an answer");
    assert!(answer.status().is_success(), "GET {path}: {}", answer.status());
    let total = answer.headers().get("x-total-count").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let bytes = answer.bytes().await.expect("a body").len();
    (begun.elapsed(), bytes, total.unwrap_or(0))
}

async fn listing(farm: &Farm) {
    let middle = listed(farm, "/video/?limit=1").await.2 / 2;
    for (what, path) in [
        ("first page", format!("/video/?limit={PAGE}&offset=0")),
        ("page in the middle", format!("/video/?limit={PAGE}&offset={middle}")),
        ("all", "/video/".to_owned()),
    ] {
        let mut times = Vec::new();
        let mut size = 0;
        for _ in 0..5 {
            let (time, bytes, _) = listed(farm, &path).await;
            (size, _) = (bytes, times.push(time));
        }
        times.sort();
        let text = format!("{} ms / {} ms", times[2].as_millis(), times[4].as_millis());
        line(&format!("  listing, {what}, {} kB (median / max of 5)", size / 1000), &text, "100 ms");
    }
}
