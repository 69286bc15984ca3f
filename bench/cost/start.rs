//! Two hundred cameras at once, and then for a while: none is lost, and all served media can be decoded.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::process::Command;

use super::meter::{Reading, Window, median};
use super::players::{Link, Players};
use super::report::{CostReport, Row};
use super::{hls, ours};
use crate::harness::camera::Camera;
use crate::harness::process::spawn;
use crate::harness::system::System;
use crate::harness::viewer::MediaPlaylist;

const CAMERAS: usize = 200;
/// Until all can be played.
const DEADLINE: Duration = Duration::from_secs(180);
/// One playlist is decoded at a time, and no more often than this.
const DECODE_EVERY: Duration = Duration::from_secs(1);
const DECODE_DEADLINE: Duration = Duration::from_secs(30);
/// Complaints that are shown.
const SHOWN: usize = 5;

/// Result of the rotating sample.
#[derive(Default)]
struct Sample {
    playlists: usize,
    segments: usize,
    cameras: std::collections::BTreeSet<usize>,
    /// Segments that had gone before they could be fetched.
    gone: usize,
    complaints: Vec<String>,
}

pub async fn two_hundred(report: &mut CostReport, soak: Duration) {
    let count = CAMERAS.to_string();
    let flags: Vec<_> = hls::SMALL.into_iter().chain(["--count", &count]).collect();
    let camera = Camera::start_with(0, &flags, None).await;
    let mut system = ours::start(CAMERAS).await;
    let links = ours::add(&system, &camera.urls, &json!({})).await;
    let players = Players::start(&system, &links);
    players.until(1, DEADLINE).await;
    let mut times: Vec<f64> =
        players.seen().iter().filter_map(|seen| seen.playable).map(|time| time.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    let text = format!("{:.1} / {:.1} s", median(times.clone()), times.last().copied().unwrap_or(f64::NAN));
    report.fact(&format!("{CAMERAS} cameras at once: playable (median / all)"), &text);

    // Playlists and buffers are full from here on.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let group = ours::group(&system);
    let first = Reading::of(&group);
    let at_first = Window::between(&first, &Reading::of(&group));
    let sample = watch(&system, &links, &players, soak).await;
    let seen = Window::between(&first, &Reading::of(&group));

    let minutes = soak.as_secs_f64() / 60.0;
    report.alone(&Row::new(&format!("start200, {minutes:.0} min"), "rsm, fMP4", CAMERAS, vec![seen.clone()]));
    report.fact("  memory (PSS) before, after", &format!("{:.0} -> {:.0} MB", at_first.pss_mb, seen.pss_mb));
    report.fact("  threads before, after", &format!("{} -> {}", at_first.threads, seen.threads));
    let (mut running, mut restarts) = (0, 0);
    for link in &links {
        let status = system.status(&link.slug).await;
        running += usize::from(status["state"] == "running");
        restarts += status["restarts"].as_u64().unwrap_or(0);
    }
    report.fact("  running at the end, restarts in all", &format!("{running} of {CAMERAS}, {restarts}"));
    let seen = players.seen();
    let refused: usize = seen.iter().map(|s| s.refused).sum();
    let breaks: usize = seen.iter().map(|s| s.discontinuities + s.steps_back).sum();
    report.fact("  playlists refused; discontinuities, steps back", &format!("{refused}; {breaks}"));
    let text = format!("{} segments, {} cameras", sample.segments, sample.cameras.len());
    report.fact("  decoded by ffmpeg, from so many cameras", &text);
    let text = format!("{} of {}, {}", sample.complaints.len(), sample.playlists, sample.gone);
    report.fact("  playlists with complaints; segments gone", &text);
    for complaint in sample.complaints.iter().take(SHOWN) {
        println!("    {complaint}");
    }
    drop(players);
    system.stop().await;
    camera.kill().await;
}

/// Decodes one playlist after the other until the time is over.
async fn watch(system: &System, links: &[Link], players: &Players, soak: Duration) -> Sample {
    let mut sample = Sample::default();
    let begun = Instant::now();
    let dir = tempfile::tempdir().expect("a directory");
    // Not the order in which they started.
    for n in (0..links.len()).cycle().step_by(7) {
        let turn = Instant::now();
        if begun.elapsed() >= soak {
            break;
        }
        decode(system, n, &players.playlist(n), dir.path(), &mut sample).await;
        tokio::time::sleep(DECODE_EVERY.saturating_sub(turn.elapsed())).await;
    }
    sample
}

async fn decode(system: &System, n: usize, playlist: &MediaPlaylist, dir: &Path, sample: &mut Sample) {
    let mut bytes = Vec::new();
    for path in playlist.maps.iter().take(1).chain(&playlist.segments) {
        match system.get(path).await.error_for_status() {
            Ok(answer) => bytes.extend(answer.bytes().await.unwrap_or_default()),
            Err(_) => sample.gone += 1,
        }
    }
    let file = dir.join("segments.mp4");
    std::fs::write(&file, bytes).expect("a file");
    let mut command = Command::new("nice");
    command.args(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i"]).arg(&file).args([
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-y",
        "/dev/null",
    ]);
    let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
    let output = tokio::time::timeout(DECODE_DEADLINE, child.wait_with_output()).await;
    let complaint = match output {
        Ok(Ok(output)) if output.status.success() && output.stderr.is_empty() => None,
        Ok(Ok(output)) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("not decoded in {} s", DECODE_DEADLINE.as_secs())),
    };
    sample.playlists += 1;
    sample.segments += playlist.segments.len();
    sample.cameras.insert(n);
    sample.complaints.extend(complaint.map(|text| format!("camera {}: {text}", n + 1)));
}
