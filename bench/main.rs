//! `make bench`: speed, cost and steadiness of the release build with one 1080p30 camera. It prints figures beside
//! their aims and judges nothing. The machine is shared with other programs.

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
mod scrape;
mod screen;
#[allow(dead_code, reason = "the other benches use the rest")]
mod table;
#[allow(dead_code, reason = "the other benches use the rest")]
mod usage;

use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use harness::camera::Camera;
use harness::eventually;
use harness::system::System;
use harness::viewer::{JpegViewer, MediaPlaylist, frame_number};
use rsm_simulator::schedule::Schedule;
use table::line;
use usage::Usage;

/// The camera: 1080p30, 4 Mbit/s, a group of pictures of one second.
const FPS: u32 = 30;
const CLIP_SECONDS: u32 = 10;
const GOP_SECONDS: f64 = 1.0;
const CAMERA: [&str; 14] = [
    "--width",
    "1920",
    "--height",
    "1080",
    "--fps",
    "30",
    "--gop",
    "30",
    "--bitrate-kbps",
    "4000",
    "--clip-seconds",
    "10",
    "--count",
    "20",
];
/// The value of the default configuration.
const SEGMENT_SECONDS: f64 = 2.0;

#[derive(Parser)]
struct Arguments {
    /// Time for which the steadiness of a playing stream is watched, seconds
    #[arg(long, default_value_t = 60)]
    soak_seconds: u64,
    /// Repeats of each start
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Measure only this: `scrape`, the cost of Prometheus for a worker
    #[arg(long, value_parser = ["scrape"])]
    only: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    if arguments.only.is_some() {
        line("what", "seen", "aim");
        return scrape::scrape().await;
    }
    let camera = Camera::start_with(0, &CAMERA, None).await;
    // Default waits, as a user has them.
    let defaults = [
        ("RSM__CAMERA__IDLE_TIMEOUT_S", "30"),
        ("RSM__HLS__WISH_TTL_S", "20"),
        ("RSM__HLS__SEGMENT_SECONDS", "2"),
        ("RSM__CAMERA__STALL_TIMEOUT_S", "5"),
    ];
    let mut system = System::start_with(None, &[], &defaults).await;
    println!("one 1080p30 H.264 camera of 4 Mbit/s, key frame each second; release build; one run each line\n");
    line("what", "seen", "aim");

    cold_jpeg(&system, &camera, arguments.repeats).await;
    let slug = running_jpeg(&system, &camera, arguments.repeats).await;
    latency(&system, &camera, &slug).await;
    undecoded_jpeg(&system, &camera, arguments.repeats).await;
    cold_hls(&system, &camera, arguments.repeats).await;
    screen::latency(&camera, &defaults, FPS, CLIP_SECONDS).await;
    soak(&system, &camera, arguments.soak_seconds).await;
    teardown(&system, &camera).await;
    scrape::scrape().await;
    let begun = Instant::now();
    let status = system.stop().await;
    line(
        "SIGTERM until everything is gone",
        &format!("{:.2} s, {status}", begun.elapsed().as_secs_f64()),
        "5 s, exit 0",
    );
}

/// Smallest, middle and largest.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    format!("{:.2} / {middle:.2} / {:.2} s", values[0], values[values.len() - 1])
}

/// A link of its own each time: it was not watched before.
async fn fresh(system: &System, camera: &Camera, n: usize) -> (String, i64) {
    system.add(json!({ "url": camera.urls[n % camera.urls.len()] })).await
}

async fn remove(system: &System, slug: &str) {
    let answer = system.http.delete(system.url(&format!("/video/{slug}/"))).send().await;
    assert!(answer.is_ok_and(|a| a.status() == 204), "the link was not removed");
}

async fn cold_jpeg(system: &System, camera: &Camera, repeats: usize) {
    let mut seen = Vec::new();
    for n in 0..repeats {
        let (slug, _) = fresh(system, camera, n).await;
        let begun = Instant::now();
        JpegViewer::open(system, &slug).await.next().await.expect("a frame");
        seen.push(begun.elapsed().as_secs_f64());
        remove(system, &slug).await;
    }
    line(
        "cold stream: connect to first JPEG (min / median / max)",
        &spread(seen),
        &format!("{:.1} s", GOP_SECONDS + 1.0),
    );
}

async fn running_jpeg(system: &System, camera: &Camera, repeats: usize) -> String {
    let (slug, _) = fresh(system, camera, 0).await;
    let mut first = JpegViewer::open(system, &slug).await;
    first.next().await.expect("a frame");
    let mut seen = Vec::new();
    for _ in 0..repeats {
        let begun = Instant::now();
        JpegViewer::open(system, &slug).await.next().await.expect("a frame");
        seen.push(begun.elapsed().as_secs_f64());
        first.next().await.expect("a frame");
    }
    line("running stream, watched as JPEG: to first JPEG", &spread(seen), "0.20 s");
    slug
}

/// The stream runs, but has no viewer of JPEG: the decoder has to begin.
async fn undecoded_jpeg(system: &System, camera: &Camera, repeats: usize) {
    let mut seen = Vec::new();
    for n in 0..repeats {
        let (slug, _) = system.add(json!({ "url": camera.urls[n % camera.urls.len()], "always_on": true })).await;
        system.until_state(&slug, "running").await;
        let begun = Instant::now();
        JpegViewer::open(system, &slug).await.next().await.expect("a frame");
        seen.push(begun.elapsed().as_secs_f64());
        remove(system, &slug).await;
    }
    line("running stream that nobody decodes: to first JPEG", &spread(seen), "0.20 s");
}

/// Reads the burnt-in clock of frames as they arrive.
async fn latency(system: &System, camera: &Camera, slug: &str) {
    for others in [0, 4] {
        latency_beside(system, camera, slug, others).await;
    }
    remove(system, slug).await;
}

/// While as many other streams are decoded for viewers.
async fn latency_beside(system: &System, camera: &Camera, slug: &str, others: usize) {
    let schedule = Schedule::new(FPS, CLIP_SECONDS).expect("a schedule");
    let mut beside = Vec::new();
    for n in 1..=others {
        let (slug, _) = fresh(system, camera, n).await;
        let mut other = JpegViewer::open(system, &slug).await;
        other.next().await.expect("a frame");
        beside.push((slug, tokio::spawn(async move { while other.next().await.is_some() {} })));
    }
    // Last, so that no frame waits in its socket meanwhile.
    let mut viewer = JpegViewer::open(system, slug).await;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let jpeg = viewer.next().await.expect("a frame");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if let Some(number) = frame_number(&jpeg) {
            seen.push(schedule.age(number, now).as_secs_f64() * 1000.0);
        }
    }
    seen.sort_by(f64::total_cmp);
    let text = format!("{:.0} / {:.0} ms", seen[seen.len() / 2], seen[seen.len() * 99 / 100]);
    let what = match others {
        0 => "camera's clock to WebSocket, 100 frames (median / p99)".to_owned(),
        n => format!("  the same while {} streams are decoded", n + 1),
    };
    line(&what, &text, "100 / 200 ms");
    for (slug, reader) in beside {
        reader.abort();
        remove(system, &slug).await;
    }
}

async fn cold_hls(system: &System, camera: &Camera, repeats: usize) {
    let mut seen = Vec::new();
    for n in 0..repeats {
        let (slug, id) = fresh(system, camera, n).await;
        let begun = Instant::now();
        system.json(&format!("/video/{slug}/")).await;
        let ready = async || MediaPlaylist::fetch(system, id).await;
        let playlist = eventually("a playlist", ready, |p| p.as_ref().is_some_and(|p| !p.segments.is_empty())).await;
        let segment = playlist.map(|p| p.segments[0].clone()).unwrap_or_default();
        assert!(system.get(&segment).await.status().is_success());
        seen.push(begun.elapsed().as_secs_f64());
        remove(system, &slug).await;
    }
    let aim = format!("{:.1} s", GOP_SECONDS + SEGMENT_SECONDS + 1.0);
    line("cold stream: GET /video/<slug>/ to first segment", &spread(seen), &aim);
}

/// One JPEG and one HLS viewer for a while: gaps, and whether anything grows.
async fn soak(system: &System, camera: &Camera, seconds: u64) {
    let (slug, id) = fresh(system, camera, 0).await;
    let mut viewer = JpegViewer::open(system, &slug).await;
    let fetch = async || MediaPlaylist::fetch(system, id).await;
    // From here on files come and go at the same rate: the window and as much again that lingers are full.
    let begin = eventually("a playlist", fetch, Option::is_some).await.map_or(0, |p| p.media_sequence);
    eventually("two windows", fetch, |p| p.as_ref().is_some_and(|p| p.media_sequence >= begin + 8)).await;
    let first = Usage::of(system);
    let (mut frames, mut longest, mut last) = (0_u64, Duration::ZERO, Instant::now());
    let (mut gaps, mut expected, mut next_look) = (0_u64, None::<u64>, Instant::now());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        viewer.next().await.expect("a frame");
        frames += 1;
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if next_look.elapsed() >= Duration::from_secs(2) || expected.is_none() {
            next_look = Instant::now();
            let playlist = MediaPlaylist::fetch(system, id).await.expect("a playlist");
            gaps += u64::try_from(playlist.discontinuities).unwrap_or(0);
            let end = playlist.media_sequence + u64::try_from(playlist.segments.len()).unwrap_or(0);
            gaps += u64::from(expected.is_some_and(|e| end < e));
            expected = Some(end);
            last = Instant::now();
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let sessions = camera.sessions().await.0;
    let second = Usage::of(system);
    line(&format!("{seconds} s of playing: JPEG frames per second"), &format!("{:.1}", frames as f64 / took), "10");
    line("  longest pause between two frames", &format!("{:.0} ms", longest.as_secs_f64() * 1000.0), "");
    line("  HLS discontinuities and steps back", &gaps.to_string(), "0");
    line("  RTSP sessions at the camera", &sessions.to_string(), "1");
    for (name, before, after) in first.beside(&second) {
        let cpu = (after.cpu_seconds - before.cpu_seconds) / took * 100.0;
        line(&format!("  {name}: CPU of one core"), &format!("{cpu:.1} %"), "");
        line(
            &format!("  {name}: memory before, after"),
            &format!("{:.1} -> {:.1} MB", before.rss_mb, after.rss_mb),
            "no growth",
        );
        line(
            &format!("  {name}: threads and descriptors before, after"),
            &format!("{}/{} -> {}/{}", before.threads, before.descriptors, after.threads, after.descriptors),
            "no growth",
        );
    }
    line("  files under hls/ before, after", &format!("{} -> {}", first.hls_files, second.hls_files), "no growth");
    remove(system, &slug).await;
}

/// From the last viewer's leaving to nothing.
async fn teardown(system: &System, camera: &Camera) {
    let (slug, _) = fresh(system, camera, 0).await;
    let mut viewer = JpegViewer::open(system, &slug).await;
    viewer.next().await.expect("a frame");
    let begun = Instant::now();
    drop(viewer);
    eventually("no RTSP session", async || camera.sessions().await.0, |playing| *playing == 0).await;
    line("last viewer left to no RTSP session", &format!("{:.1} s", begun.elapsed().as_secs_f64()), "60 s");
}
