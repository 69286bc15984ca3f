//! A wall of 64 pictures in a browser that stays open: whether anything grows, and whether all keep moving.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::figures::median;
use crate::harness::process::{descendants, spawn};
use crate::report::{Aim, ViewersReport, number};
use crate::scene::{PictureSource, Scene};
use crate::usage::Process;

const TILES: usize = 64;
/// As wide as a tile of such a wall asks for, so that nothing is encoded again.
const WIDTH: u32 = 320;
const BYTES: usize = 12_000;
/// Rate of the stream, frames per second; the wall takes five.
const FPS: u32 = 10;
/// Longest silence of the script: the browser starts, and 64 pictures begin.
const SILENCE: Duration = Duration::from_secs(180);
/// The ends of the run that are held against each other: this long, or half of it.
const END_MINUTES: f64 = 1.0;
/// Difference between one garbage collection and the next, MB.
const HEAP_GROWS: Aim = Aim::AtMost(1.0);
const RELAY_GROWS: Aim = Aim::AtMost(2.0);
const NODES_GROW: Aim = Aim::AtMost(50.0);
/// Frames per second of the five that are demanded.
const SLOWEST: Aim = Aim::AtLeast(4.5);

/// One look at the page, at the browser and at the relay.
struct WallRun {
    page: Value,
    relay: Process,
    browser: Vec<Process>,
}

pub async fn measure(report: &mut ViewersReport, case: &str, minutes: f64) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/browser");
    if !dir.join("node_modules").is_dir() {
        report.note(case, "left out: make deps-test first");
        return;
    }
    let mut scene = Scene::start(PictureSource::Stub { bytes: BYTES, fps: FPS, width: WIDTH }).await;
    scene.add_stubs(TILES, &json!({ "mjpeg": { "max_width": WIDTH, "max_fps": FPS } })).await;
    let mut command = Command::new("node");
    command
        .current_dir(dir)
        .args(["wall64.mjs", "--base", &scene.relay_base, "--minutes", &minutes.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut script = spawn(&mut command);
    let pid = script.id().expect("a script that runs");
    let mut lines = BufReader::new(script.stdout.take().expect("standard output")).lines();
    let mut looks = Vec::new();
    let mut ended = Value::Null;
    while let Ok(Ok(Some(line))) = tokio::time::timeout(SILENCE, lines.next_line()).await {
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(what) = said["begun"].as_str() {
            report.note(case, &format!("{TILES} pictures on {what} in Chromium for {minutes} minutes"));
        } else if said["ended"] == true {
            ended = said;
        } else {
            let browser = descendants(pid).iter().map(|found| Process::read("browser", found.pid)).collect();
            looks.push(WallRun { page: said, relay: scene.relay_process(), browser });
        }
    }
    let mut complaint = String::new();
    if let Some(mut stderr) = script.stderr.take() {
        // Its message is only printed; no message is no error.
        let _ = tokio::time::timeout(Duration::from_secs(5), stderr.read_to_string(&mut complaint)).await;
    }
    if !complaint.is_empty() {
        report.note(case, complaint.trim());
    }
    if looks.len() < 2 {
        report.note(case, "too short to compare its ends");
        return;
    }
    told(report, case, &looks, minutes);
    let complaints = ended["complaints"].as_array().map_or(f64::NAN, |complaints| complaints.len() as f64);
    report.figure(case, "complaints of the browser", complaints, "", Aim::AtMost(0.0));
    for complaint in ended["complaints"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        report.note(case, &format!("the browser complained: {complaint}"));
    }
}

fn told(report: &mut ViewersReport, case: &str, looks: &[WallRun], minutes: f64) {
    let share = (END_MINUTES / minutes).min(0.5);
    let count = ((looks.len() as f64 * share) as usize).max(1);
    let (first, last) = (&looks[..count], &looks[looks.len() - count..]);
    let middle = |looks: &[WallRun], value: &dyn Fn(&WallRun) -> f64| median(looks.iter().map(value).collect());
    type Value<'a> = &'a dyn Fn(&WallRun) -> f64;
    let growing: [(&str, &'static str, Value, Aim); 6] = [
        ("JavaScript heap after collection", "MB", &|look| number(&look.page["heap_mb"]), HEAP_GROWS),
        ("DOM nodes", "", &|look| number(&look.page["nodes"]), NODES_GROW),
        ("event listeners", "", &|look| number(&look.page["listeners"]), NODES_GROW),
        ("sockets", "", &|look| number(&look.page["sockets"]), Aim::AtMost(0.0)),
        ("browser's processes (PSS)", "MB", &|look| look.browser.iter().map(|p| p.pss_mb).sum(), Aim::Nothing),
        ("relay (RSS)", "MB", &|look| look.relay.rss_mb, RELAY_GROWS),
    ];
    for (what, unit, value, aim) in growing {
        let (before, after) = (middle(first, value), middle(last, value));
        report.figure(case, &format!("{what}, first minute"), before, unit, Aim::Nothing);
        report.figure(case, &format!("{what}, more in the last"), after - before, unit, aim);
    }
    for (ends, name) in [(first, "first"), (last, "last")] {
        let slowest = middle(ends, &|look| number(&look.page["fps"]["slowest"]));
        report.figure(case, &format!("frames drawn on the slowest tile, {name} minute"), slowest, "fps", SLOWEST);
        let all = middle(ends, &|look| number(&look.page["fps"]["middle"]));
        report.figure(case, &format!("frames drawn on a tile, {name} minute"), all, "fps", Aim::Nothing);
    }
    let pages: Vec<_> = looks.iter().map(|look| look.page.clone()).collect();
    report.detail(case, "looks", &json!(pages));
}
