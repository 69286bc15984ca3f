//! Many viewers of one stream, against a process that only writes the same bytes to as many sockets; and many streams
//! with some viewers each.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::part_process::{LoadProcess, PartProcess};
use crate::report::{Aim, ViewersReport, number};
use crate::scene::{PictureSource, Scene};
use crate::turns::{SETTLE, Turns};
use crate::usage::Process;
use crate::windows::Windows;

/// Bytes that a relay sends in a second of its CPU, as a share of those that a bare writer sends.
const RATIO: Aim = Aim::AtLeast(0.85);
/// Kilobytes of the relay's memory for each viewer.
const MEMORY: Aim = Aim::AtMost(64.0);
/// Milliseconds from published to received, 99th percentile.
const LATENCY: Aim = Aim::AtMost(50.0);
/// Streams of [`many_streams`], and viewers of each.
const STREAMS: usize = 100;
const VIEWERS_EACH: usize = 10;
/// Between two that open, milliseconds.
const OPENING_MS: usize = 2;
/// Viewers of a relay that has just started, before its memory is read.
const WARM: usize = 5;

/// One stream and its viewers.
#[derive(Clone, Copy)]
pub struct Crowd {
    bytes: usize,
    fps: u32,
    viewers: usize,
}

impl Crowd {
    pub const LARGE: Self = Self { bytes: 150_000, fps: 30, viewers: 100 };
    pub const MIDDLE: Self = Self { bytes: 50_000, fps: 10, viewers: 500 };
    pub const SMALL: Self = Self { bytes: 20_000, fps: 10, viewers: 2000 };
}

/// Turns of a bare writer and of a relay, one after the other, with the same viewers.
pub async fn one_stream(report: &mut ViewersReport, case: &str, crowd: Crowd, windows: Windows) {
    let Crowd { bytes, fps, viewers } = crowd;
    report.note(case, &format!("one stream of {} kB at {fps} fps to {viewers} viewers", bytes / 1000));
    let mut scene = Scene::start(PictureSource::stub(bytes, fps)).await;
    scene.add_stubs(1, &json!({})).await;
    let mut writer = PartProcess::start(&["writer", "--bytes", &bytes.to_string(), "--fps", &fps.to_string()]);
    let address = writer.said().await["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    let bare = vec![("writer".to_owned(), writer.pid())];
    let mut load = LoadProcess::start();
    warm(&mut load, scene.relay_address, &scene.sockets(""), &json!({})).await;
    let (mut relayed, mut written) = (Turns::default(), Turns::default());
    let mut memory = None;
    for _ in 0..windows.count {
        open(&mut load, address, &["/".to_owned()], viewers).await;
        written.take(&mut load, &bare, windows.length).await;
        load.close_all().await;

        let before = scene.relay_process();
        open(&mut load, scene.relay_address, &scene.sockets(""), viewers).await;
        let mut group = scene.group();
        group.extend(bare.iter().cloned());
        relayed.take(&mut load, &group, windows.length).await;
        // Memory of the first time: later ones find memory that earlier viewers left.
        memory.get_or_insert_with(|| [before, scene.relay_process()]);
        load.close_all().await;
    }
    let (ours, theirs) = (relayed.megabytes_per_cpu_second("relay"), written.megabytes_per_cpu_second("writer"));
    report.figure(case, "bare writer: received per CPU second", theirs, "MB", Aim::Nothing);
    report.figure(case, "relay: received per CPU second", ours, "MB", Aim::Nothing);
    report.figure(case, "relay / bare writer", ours / theirs, "", RATIO);
    if let Some([before, after]) = &memory {
        per_viewer(report, case, before, after, viewers);
        silent(report, case, viewers).await;
    }
    delivered(report, case, &relayed, fps, "relay");
    delivered(report, case, &written, fps, "bare writer");
    report.figure(
        case,
        "skipped, by the relay's count",
        scene.metric("rsm_viewer_frames_skipped_total").await,
        "frames",
        Aim::Nothing,
    );
    report.detail(case, "relay", &relayed.json());
    report.detail(case, "writer", &written.json());
}

/// A hundred streams with ten viewers each.
pub async fn many_streams(report: &mut ViewersReport, case: &str, windows: Windows) {
    let (bytes, fps, viewers) = (20_000, 10, STREAMS * VIEWERS_EACH);
    report.note(case, &format!("{STREAMS} streams of {} kB at {fps} fps to {VIEWERS_EACH} viewers each", bytes / 1000));
    let mut scene = Scene::start(PictureSource::stub(bytes, fps)).await;
    scene.add_stubs(STREAMS, &json!({})).await;
    let mut load = LoadProcess::start();
    warm(&mut load, scene.relay_address, &scene.sockets("")[..1], &json!({})).await;
    let before = scene.relay_process();
    open(&mut load, scene.relay_address, &scene.sockets(""), viewers).await;
    let mut relayed = Turns::default();
    for _ in 0..windows.count {
        relayed.take(&mut load, &scene.group(), windows.length).await;
    }
    let received = relayed.megabytes_per_cpu_second("relay");
    report.figure(case, "relay: received per CPU second", received, "MB", Aim::Nothing);
    per_viewer(report, case, &before, &scene.relay_process(), viewers);
    delivered(report, case, &relayed, fps, "relay");
    report.detail(case, "relay", &relayed.json());
}

/// Opens viewers, all of which get a frame.
async fn open(load: &mut LoadProcess, address: SocketAddr, paths: &[String], viewers: usize) {
    // Not all at once: a listener's backlog is short, and the opening is not measured.
    let over_ms = viewers * OPENING_MS;
    let opened = load.open(address, paths, viewers, &json!({ "over_ms": over_ms })).await;
    assert_eq!(opened["open"].as_u64(), u64::try_from(viewers).ok(), "{opened}");
    tokio::time::sleep(SETTLE).await;
}

/// Some viewers come and go first: code that was never used is no viewer's memory.
async fn warm(load: &mut LoadProcess, address: SocketAddr, paths: &[String], more: &Value) {
    let opened = load.open(address, paths, WARM, more).await;
    assert_eq!(opened["open"].as_u64(), u64::try_from(WARM).ok(), "{opened}");
    tokio::time::sleep(SETTLE).await;
    load.close_all().await;
    tokio::time::sleep(SETTLE).await;
}

/// Cost of upgraded sockets that get nothing, in a fresh relay: HTTP and WebSocket alone.
async fn silent(report: &mut ViewersReport, case: &str, viewers: usize) {
    let scene = Scene::start(PictureSource::stub(20_000, 1)).await;
    let mut load = LoadProcess::start();
    let silent = json!({ "silent": true, "over_ms": viewers * OPENING_MS });
    let paths = ["/ws/hellostream/".to_owned()];
    warm(&mut load, scene.relay_address, &paths, &silent).await;
    let before = scene.relay_process();
    let opened = load.open(scene.relay_address, &paths, viewers, &silent).await;
    tokio::time::sleep(SETTLE).await;
    let kilobytes = (scene.relay_process().rss_mb - before.rss_mb) * 1024.0 / viewers as f64;
    report.figure(case, "  of it HTTP and WebSocket (sockets that get nothing)", kilobytes, "kB", Aim::Nothing);
    report.detail(case, "silent sockets", &opened);
}

fn per_viewer(report: &mut ViewersReport, case: &str, before: &Process, after: &Process, viewers: usize) {
    let each = |before: f64, after: f64| (after - before) * 1024.0 / viewers as f64;
    report.figure(case, "relay's memory for each viewer (RSS)", each(before.rss_mb, after.rss_mb), "kB", MEMORY);
    report.figure(case, "relay's memory for each viewer (PSS)", each(before.pss_mb, after.pss_mb), "kB", Aim::Nothing);
}

/// Reports the received frames, their delay, and the CPU of each process.
fn delivered(report: &mut ViewersReport, case: &str, turns: &Turns, fps: u32, side: &str) {
    let relay = side == "relay";
    for key in ["p50", "p99", "max"] {
        let aim = if relay && key == "p99" { LATENCY } else { Aim::Nothing };
        let seen = turns.median(|seen| number(&seen["latency_ms"][key]));
        report.figure(case, &format!("{side}: sent to received, {key}"), seen, "ms", aim);
    }
    let fewest = turns.median(|seen| number(&seen["fewest_fps"]));
    report.figure(case, &format!("{side}: frames to the worst served, of {fps}"), fewest, "fps", Aim::Nothing);
    let lost = turns.sum("skipped") / (turns.sum("frames") + turns.sum("skipped")) * 100.0;
    report.figure(case, &format!("{side}: frames that did not arrive"), lost, "%", Aim::Nothing);
    let ends: Vec<&Value> = turns.seen.iter().map(|seen| &seen["ends"]).filter(|ends| **ends != json!({})).collect();
    if !ends.is_empty() {
        report.note(case, &format!("{side}: viewers that ended: {ends:?}"));
    }
    report.note(case, &format!("{side}: CPU of one core: {}", turns.shares()));
}
