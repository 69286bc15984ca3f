//! HLS players of a few cameras through a relay that shares no disk with the worker: requests that reach the worker,
//! and errors of players.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::counting_proxy::CountingProxy;
use crate::harness::camera::Camera;
use crate::part_process::PartProcess;
use crate::report::{Aim, ViewersReport, number};
use crate::scene::{PictureSource, Scene};
use crate::usage::Process;
use crate::windows::Windows;

const CAMERAS: usize = 5;
const PLAYERS: usize = 500;
const CAMERA: [&str; 14] = [
    "--width",
    "1280",
    "--height",
    "720",
    "--fps",
    "25",
    "--gop",
    "25",
    "--bitrate-kbps",
    "2000",
    "--clip-seconds",
    "10",
    "--count",
    "5",
];

pub async fn measure(report: &mut ViewersReport, case: &str, windows: Windows) {
    let seconds = windows.length.as_secs() * windows.count;
    report.note(case, &format!("{PLAYERS} players of {CAMERAS} cameras of 720p25, 2 Mbit/s, for {seconds} s"));
    let camera = Camera::start_with(0, &CAMERA, None).await;
    let worker = free_address();
    let proxy = CountingProxy::before(worker).await;
    let environment =
        vec![("RSM__WORKER__LISTEN", worker.to_string()), ("RSM__WORKER__ADVERTISE", proxy.address.to_string())];
    let mut scene = Scene::start(PictureSource::Real(environment)).await;
    scene.add(&camera.urls[..CAMERAS], &json!({})).await;
    let ids: Vec<String> = scene.streams.iter().map(|(_, id)| id.to_string()).collect();
    let mut players = PartProcess::start(&[
        "players",
        "--base",
        &scene.relay_base,
        "--ids",
        &ids.join(","),
        "--count",
        &PLAYERS.to_string(),
        "--seconds",
        &seconds.to_string(),
    ]);
    let playing = players.said().await;
    let mut group = scene.group();
    group.push(("players".to_owned(), players.pid()));
    let read = || group.iter().map(|(role, pid)| Process::read(role, *pid).cpu_seconds).collect::<Vec<f64>>();
    let (before, reads_before, fetches_before) = (read(), proxy.reads(), fetches(&scene).await);
    let seen = players.said().await;
    let (after, reads, fetches) = (read(), proxy.reads(), fetches(&scene).await);

    report.figure(
        case,
        &format!("players that play, of {PLAYERS}"),
        number(&playing["playing"]),
        "",
        Aim::AtLeast(PLAYERS as f64),
    );
    for kind in ["playlist", "segment"] {
        let requests = number(&seen["requests"][kind]);
        report.figure(case, &format!("{kind}s that players fetched"), requests, "", Aim::Nothing);
        report.spread(case, &format!("a {kind}"), &seen["ms"][kind], "", Aim::Nothing);
    }
    let errors = seen["errors"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, count)| count.as_f64())
        .fold(0.0, |sum, count| sum + count);
    report.figure(case, "errors", errors, "", Aim::AtMost(0.0));
    if errors > 0.0 {
        report.note(case, &format!("errors: {}", seen["errors"]));
    }
    let (segments, playlists) = read_since(&reads_before, &reads);
    let most = segments.iter().copied().max().unwrap_or(0) as f64;
    let mean = segments.iter().sum::<u64>() as f64 / segments.len() as f64;
    report.figure(case, "segments that the worker was asked for", segments.len() as f64, "", Aim::Nothing);
    report.figure(case, "reads of a segment at the worker, mean", mean, "", Aim::Nothing);
    report.figure(case, "reads of a segment at the worker, most", most, "", Aim::AtMost(1.0));
    let rate = playlists as f64 / number(&seen["seconds"]) / CAMERAS as f64;
    report.figure(case, "playlists of a camera read at the worker", rate, "/s", Aim::Nothing);
    let megabytes = number(&seen["bytes"]) / 1e6 / number(&seen["seconds"]);
    report.figure(case, "received by players", megabytes, "MB/s", Aim::Nothing);
    let shares: Vec<String> = group
        .iter()
        .zip(before.iter().zip(&after))
        .map(|((role, _), (before, after))| {
            format!("{role} {:.0} %", (after - before) / number(&seen["seconds"]) * 100.0)
        })
        .collect();
    report.note(case, &format!("CPU of one core: {}", shares.join(", ")));
    report.note(case, &format!("the relay's fetches, by outcome: {}", difference(&fetches_before, &fetches)));
    report.detail(case, "players", &seen);
}

/// A port that is free now.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

const OUTCOMES: [&str; 4] = ["hit", "miss", "absent", "error"];

/// The relay's counters of its fetches.
async fn fetches(scene: &Scene) -> Vec<f64> {
    let mut counts = Vec::new();
    for outcome in OUTCOMES {
        counts.push(scene.metric(&format!("rsm_hls_fetches_total{{outcome=\"{outcome}\"}}")).await);
    }
    counts
}

fn difference(before: &[f64], after: &[f64]) -> Value {
    let each = OUTCOMES.iter().zip(before.iter().zip(after));
    each.map(|(outcome, (before, after))| ((*outcome).to_owned(), json!(after - before)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Reads of each segment that was first read meanwhile, and of all playlists.
fn read_since(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> (Vec<u64>, u64) {
    let (mut segments, mut playlists) = (Vec::new(), 0);
    for (path, reads) in after {
        let earlier = before.get(path).copied().unwrap_or(0);
        if path.ends_with(".m3u8") {
            playlists += reads - earlier;
        } else if earlier == 0 {
            segments.push(*reads);
        }
    }
    (segments, playlists)
}
