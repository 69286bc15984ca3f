//! `make soak`: twelve cameras, two workers and viewers of every kind that come and go, for as long as asked. It fails
//! when a process dies that was not told to, and when memory, descriptors or threads of a process creep. A worker is
//! told to end every few minutes, and must be replaced.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that cannot go on ends, and its result is what it prints"
)]

#[path = "../../tests/harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "the other benches use the rest")]
#[path = "../usage.rs"]
mod usage;

mod dice;
mod processes;
mod viewers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use harness::camera::Camera;
use harness::process::signal;
use harness::system::System;
use processes::Roll;
use viewers::{SoakStream, SoakViewer, VisitCounts};

const WORKERS: usize = 2;
const VIEWERS: usize = 24;
/// Cameras of each codec.
const EACH: &str = "4";
/// Codec and audio of the cameras.
const CODECS: [(&str, &str); 3] = [("h264", "aac"), ("h265", "pcma"), ("mjpeg", "pcmu")];
const LOOK: Duration = Duration::from_secs(2);
/// A worker that ended has to be replaced within this time: the drain, and the start of the next one.
const REPLACED: Duration = Duration::from_secs(60);
/// Both workers take all cameras, however slow the machine is.
const ENVIRONMENT: [(&str, &str); 2] = [("RSM__WORKER__MAX_CPU_PERCENT", "100"), ("RSM__HLS__RENDITIONS", "240p")];

#[derive(Parser)]
struct Arguments {
    /// Duration of the run
    #[arg(long, default_value_t = 24.0)]
    minutes: f64,
    /// A worker is told to end this often; 0 for never
    #[arg(long, default_value_t = 5.0)]
    drain_minutes: f64,
    /// Longest time that a viewer stays, in seconds: less is more churn
    #[arg(long, default_value_t = 20.0)]
    stay_seconds: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut cameras = Vec::new();
    for (codec, audio) in CODECS {
        let size = ["--width", "640", "--height", "360", "--bitrate-kbps", "500"];
        let flags = [&["--count", EACH, "--codec", codec, "--audio", audio][..], &size].concat();
        cameras.push(Camera::start_as(&flags).await);
    }
    let mut system = System::start_with(None, &["--workers", &WORKERS.to_string()], &ENVIRONMENT).await;
    let mut streams = Vec::new();
    for url in cameras.iter().flat_map(|camera| &camera.urls) {
        let (slug, id) = system.add(json!({ "url": url })).await;
        streams.push(SoakStream { slug, id, url: url.clone() });
    }
    let counts = Arc::new(VisitCounts::default());
    let mut viewers = JoinSet::new();
    for _ in 0..VIEWERS {
        let viewer = SoakViewer::new(&system, streams.clone(), arguments.stay_seconds, counts.clone());
        viewers.spawn(viewer.come_and_go());
    }
    let begun = Instant::now();
    let verdict = watch(&system, &arguments).await;
    viewers.shutdown().await;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    for line in &verdict.lines {
        println!("{line}");
    }
    let result = if verdict.faults.is_empty() { "PASS" } else { "FAIL" };
    let drains = verdict.drains;
    println!("{result} after {minutes:.1} min; {counts}; {drains} drains; {}", verdict.faults.join("; "));
    if !verdict.faults.is_empty() {
        let log = system.log.text();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("ERROR") || line.contains("child")).collect();
        lines.iter().rev().take(20).rev().for_each(|line| eprintln!("{line}"));
    }
    system.stop().await;
    ExitCode::from(u8::from(!verdict.faults.is_empty()))
}

/// Result of the run.
struct Verdict {
    /// Why it fails; empty when it does not.
    faults: Vec<String>,
    /// One for each process: what it used at its start, after a third of its time, and at its end.
    lines: Vec<String>,
    drains: u32,
}

/// Looks at the processes until the time is over or one of them dies.
async fn watch(system: &System, arguments: &Arguments) -> Verdict {
    let begun = Instant::now();
    let (length, every) =
        [arguments.minutes, arguments.drain_minutes].map(|m| Duration::from_secs_f64(m * 60.0)).into();
    let (mut roll, mut faults, mut drains) = (Roll::default(), Vec::new(), 0);
    // The worker that was told to end, and when.
    let mut draining: Option<Instant> = None;
    let mut next_drain = begun + every;
    while begun.elapsed() < length && faults.is_empty() {
        tokio::time::sleep(LOOK).await;
        let now = Instant::now();
        faults.extend(roll.look(&processes::of(system), now));
        if faults.is_empty() && roll.count("worker") == WORKERS && roll.settled() {
            draining = None;
        }
        if let Some(since) = draining.filter(|since| now.duration_since(*since) > REPLACED) {
            faults.push(format!("no new worker {} s after a drain", now.duration_since(since).as_secs()));
        }
        // Not so late that there is no time left to see it replaced.
        if !every.is_zero() && now >= next_drain && draining.is_none() && begun.elapsed() + REPLACED < length {
            next_drain += every;
            // The last one, so that the first is there from the beginning to the end.
            if let Some(pid) = roll.newest("worker") {
                roll.expect_end(pid);
                signal(pid, Signal::SIGTERM);
                (draining, drains) = (Some(now), drains + 1);
            }
        }
    }
    faults.extend(roll.creep());
    Verdict { faults, lines: roll.lines(), drains }
}
