//! Viewers of frames, over WebSocket and as multipart, at an API and at a relay: how wide and how often, how slow, how
//! many, and how they are told goodbye.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::camera::Camera;
use crate::harness::frames::{Listener, MultipartParts, Said, refusal};
use crate::harness::nats::Nats;
use crate::harness::process::signal;
use crate::harness::service::Service;
use crate::harness::system::System;
use crate::harness::{eventually, within};

/// An API, a relay and a worker, as on machines of their own.
struct Roles {
    api: Service,
    relay: Service,
    _worker: Service,
    _nats: Nats,
}

impl Roles {
    async fn start(dir: &Path) -> Self {
        let nats = Nats::start().await;
        let environment = [("RSM__NATS__URLS", nats.url.clone())];
        let api = Service::api(&dir.join("api"), &environment).await;
        let worker = Service::worker("w1", &dir.join("w1"), &environment).await;
        let relay = Service::relay(&dir.join("relay"), &environment).await;
        relay.until_ready().await;
        Self { api, relay, _worker: worker, _nats: nats }
    }

    /// Registers a camera, and waits until the relay has heard of it.
    async fn add(&self, link: &Value) -> String {
        let slug = self.api.add(link).await;
        let known = async || self.relay.get(&format!("/video/{slug}/status")).await.0;
        eventually("the relay to know the camera", known, |status| *status == StatusCode::OK).await;
        slug
    }
}

fn width(jpeg: &[u8]) -> u32 {
    image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg).expect("a JPEG").width()
}

/// The number that `/metrics` of `base` has for a series; 0 when it has none.
#[expect(clippy::disallowed_methods, reason = "the deadline is that of `within`")]
async fn metric(base: &str, series: &str) -> u64 {
    let text = within("the metrics", reqwest::get(format!("{base}/metrics"))).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
}

async fn until_metric(base: &str, series: &str, value: u64) {
    let look = async || metric(base, series).await;
    eventually(&format!("{series} of {value}"), look, |seen| *seen == value).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_get_the_next_width_that_is_made_wherever_they_connect() {
    let (camera, dir) = (Camera::start_as(&["--width", "1280", "--height", "720"]).await, tempfile::tempdir().unwrap());
    let roles = Roles::start(dir.path()).await;
    let slug = roles.add(&json!({ "url": camera.url(), "mjpeg": { "max_width": 800 } })).await;
    for base in [&roles.api.base, &roles.relay.base] {
        for (query, wide) in
            [("", 800), ("?width=16", 160), ("?width=161", 320), ("?width=641", 800), ("?width=3840", 800)]
        {
            let mut socket = Listener::open(base, &slug, query).await;
            assert_eq!(width(&socket.jpeg().await), wide, "over WebSocket with {query:?}");
            let mut parts = MultipartParts::open(base, &slug, query).await;
            let part = parts.next().await.expect("a part");
            assert_eq!(width(&part.jpeg), wide, "as multipart with {query:?}");
            assert!(part.headers.contains_key("x-timestamp"), "{:?}", part.headers);
        }
        for query in ["?width=15", "?width=3841", "?fps=0", "?fps=61", "?fps=x"] {
            let opened = Listener::try_open(base, &slug, query, None).await;
            assert_eq!(refusal(opened).0, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
            assert_eq!(
                MultipartParts::ask(base, &slug, query).await.status(),
                StatusCode::UNPROCESSABLE_ENTITY,
                "{query}"
            );
        }
    }
    assert_eq!(camera.sessions().await.1, 1, "the camera was opened once for all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_gets_no_more_frames_than_it_asked_for() {
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let begun = Instant::now();
    let mut all = Listener::open(&system.base, &slug, "").await;
    let mut few = Listener::open(&system.base, &slug, "?fps=1").await;
    let mut parts = MultipartParts::open(&system.base, &slug, "?fps=1").await;
    let (mut socket_frames, mut part_frames) = (0, 0);
    let busy = async {
        for _ in 0..50 {
            all.jpeg().await;
        }
    };
    tokio::pin!(busy);
    loop {
        tokio::select! {
            biased;
            () = &mut busy => break,
            _ = few.jpeg() => socket_frames += 1,
            part = parts.next() => part_frames += u64::from(part.is_some()),
        }
    }
    // One at once, then one each second; that can be fewer, never more.
    let most = begun.elapsed().as_secs() + 2;
    assert!((1..=most).contains(&socket_frames), "{socket_frames} frames in {most} s over WebSocket");
    assert!((1..=most).contains(&part_frames), "{part_frames} frames in {most} s as multipart");
}

/// More bytes than the system keeps for a connection: 4 MiB to send (tcp(7), `tcp_wmem`) and next to nothing received.
const BUFFERED: usize = 10 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_viewer_skips_frames_stays_and_gets_the_newest() {
    // Pictures of some 100 kB, so that the system's buffers are soon full.
    let camera = Camera::start_as(&["--width", "1280", "--height", "720", "--bitrate-kbps", "8000"]).await;
    let system = System::start_with(None, &[], &[("RSM__API__VIEWER_STALL_S", "600")]).await;
    let jpeg = json!({ "max_width": 1280, "max_fps": 15, "quality": 100 });
    let (slug, _) = system.add(json!({ "url": camera.url(), "mjpeg": jpeg })).await;
    let mut fast = Listener::open(&system.base, &slug, "").await;
    fast.jpeg().await;
    let mut slow = Listener::open_slow(&system.base, &slug).await;
    let mut passed = 0;
    while passed < BUFFERED {
        passed += fast.jpeg().await.len();
    }
    let mut newer = HashSet::new();
    // It reads on, through the buffered frames, and reaches the position of the other one.
    within("the slow viewer to catch up", async {
        loop {
            tokio::select! {
                jpeg = fast.jpeg() => drop(newer.insert(jpeg)),
                jpeg = slow.jpeg() => if newer.contains(&jpeg) { break },
            }
        }
    })
    .await;
    let skipped = metric(&system.base, "rsm_viewer_frames_skipped_total").await;
    assert!(skipped > 0, "what it was too slow for is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_takes_nothing_at_all_is_closed_and_counted() {
    let camera = Camera::start_as(&["--width", "1280", "--height", "720", "--bitrate-kbps", "8000"]).await;
    let system = System::start_with(None, &[], &[("RSM__API__VIEWER_STALL_S", "1")]).await;
    let jpeg = json!({ "max_width": 1280, "max_fps": 15, "quality": 100 });
    let (slug, _) = system.add(json!({ "url": camera.url(), "mjpeg": jpeg })).await;
    let _slow = Listener::open_slow(&system.base, &slug).await;
    until_metric(&system.base, "rsm_viewers_closed_total{reason=\"stalled\"}", 1).await;
    until_metric(&system.base, "rsm_viewers{kind=\"mjpeg\"}", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_run_out_by_camera_by_address_and_in_all() {
    let (camera, environment) = (
        Camera::start().await,
        [
            ("RSM__API__MAX_VIEWERS", "4"),
            ("RSM__API__MAX_VIEWERS_PER_STREAM", "2"),
            ("RSM__API__MAX_VIEWERS_PER_ADDRESS", "3"),
            ("RSM__API__TRUSTED_PROXIES", "127.0.0.1"),
        ],
    );
    let system = System::start_with(None, &[], &environment).await;
    let base = system.base.as_str();
    let (yard, _) = system.add(json!({ "url": camera.url() })).await;
    let (gate, _) = system.add(json!({ "url": camera.url() })).await;
    let open = async |slug: &str, address| Listener::try_open(base, slug, "", address).await;
    let count = async |why: &str| metric(base, &format!("rsm_viewer_refusals_total{{reason=\"{why}\"}}")).await;
    let mut seats = vec![open(&yard, None).await.unwrap(), open(&yard, None).await.unwrap()];

    let (status, later) = refusal(open(&yard, None).await);
    assert_eq!((status, later.is_some()), (StatusCode::SERVICE_UNAVAILABLE, true), "the camera's are taken");
    let answer = MultipartParts::ask(base, &yard, "").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(count("stream").await, 2);

    seats.push(open(&gate, None).await.unwrap());
    let (status, later) = refusal(open(&gate, None).await);
    assert_eq!((status, later.is_some()), (StatusCode::TOO_MANY_REQUESTS, true), "the address has its three");
    assert_eq!(count("address").await, 1);

    seats.push(open(&gate, Some("203.0.113.7")).await.expect("another address behind the proxy"));
    let (status, later) = refusal(open(&gate, Some("203.0.113.8")).await);
    assert_eq!((status, later.is_some()), (StatusCode::SERVICE_UNAVAILABLE, true), "all are taken");
    assert_eq!(count("all").await, 1);

    for seat in &mut seats {
        seat.jpeg().await;
    }
    seats.pop();
    let again = async || open(&gate, Some("203.0.113.8")).await.ok();
    eventually("a seat that is free again", again, Option::is_some).await.unwrap().jpeg().await;
}

/// One that listens until it is told goodbye: after how many milliseconds it was to end, and the code it ended with.
async fn goodbye(mut viewer: Listener) -> (u64, Option<u16>) {
    let mut told = None;
    loop {
        match viewer.next().await {
            Said::Text(text) if text["type"] == "closing" => told = text["in_ms"].as_u64(),
            Said::Jpeg(_) | Said::Text(_) => {}
            Said::Closed(code) => return (told.expect("told before it was closed"), code),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so_at_once_and_closes_one_after_the_other() {
    const VIEWERS: usize = 20;
    let (camera, dir) = (Camera::start().await, tempfile::tempdir().unwrap());
    let mut roles = Roles::start(dir.path()).await;
    let slug = roles.add(&json!({ "url": camera.url() })).await;
    for stops in ["relay", "api"] {
        let role = if stops == "relay" { &mut roles.relay } else { &mut roles.api };
        let mut viewers = Vec::new();
        for _ in 0..VIEWERS {
            let mut viewer = Listener::open(&role.base, &slug, "?events=1").await;
            let Said::Text(first) = viewer.next().await else { panic!("frames before the state") };
            assert_eq!((&first["type"], &first["slug"]), (&json!("state"), &json!(slug)), "{first}");
            viewer.jpeg().await;
            viewers.push(viewer);
        }
        let mut parts = MultipartParts::open(&role.base, &slug, "").await;
        parts.next().await.expect("a part");
        signal(role.child.id().unwrap(), Signal::SIGTERM);
        let goodbyes = futures_util::future::join_all(viewers.into_iter().map(goodbye));
        let (goodbyes, ()) = tokio::join!(goodbyes, async { while parts.next().await.is_some() {} });
        let moments: HashSet<u64> = goodbyes.iter().map(|(in_ms, _)| *in_ms).collect();
        assert!(goodbyes.iter().all(|(_, code)| *code == Some(1001)), "{stops}: {goodbyes:?}");
        assert!(moments.len() > VIEWERS / 2 && moments.iter().all(|in_ms| *in_ms <= 2000), "{stops}: {moments:?}");
        let status = within("the role to end", role.child.wait()).await.unwrap();
        assert!(status.success(), "{stops}: {status}\n{}", role.log.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_came_and_went_leaves_nothing() {
    const CROWD: usize = 200;
    let (camera, system) = (Camera::start().await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let pid = system.process("api").unwrap().pid;
    let open_files = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let widths = ["", "?width=160", "?width=16&fps=1", "?events=1"];
    let crowd = async |width: &'static str| Listener::open(&system.base, &slug, width).await;
    crowd("").await.jpeg().await;
    until_metric(&system.base, "rsm_viewers{kind=\"mjpeg\"}", 0).await;
    let before = open_files();
    let all = futures_util::future::join_all((0..CROWD).map(|one| crowd(widths[one % widths.len()]))).await;
    until_metric(&system.base, "rsm_viewers{kind=\"mjpeg\"}", CROWD as u64).await;
    // Without a word of goodbye.
    drop(all);
    until_metric(&system.base, "rsm_viewers{kind=\"mjpeg\"}", 0).await;
    eventually("the crowd's sockets to be closed", async || open_files(), |now| *now <= before + 5).await;
    system.until_state(&slug, "idle").await;
    eventually("no RTSP session", async || camera.sessions().await.0, |playing| *playing == 0).await;
}
