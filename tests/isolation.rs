//! Bad cameras beside good ones: the good ones lose nothing, and the resources of the bad ones are released.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::follower::Follower;
use crate::harness::camera::Camera;
use crate::harness::nats::Nats;
use crate::harness::system::System;
use crate::harness::{eventually, within};
use scripted::ScriptedCamera;
use scripted::media::{Offer, Rtp, ScriptedClip, Section};
use scripted::scene::{Act, Scene, SceneEnd, Step};

// The tests of the worker's sources use the rest of it.
#[allow(dead_code, reason = "the other test programs use the rest")]
#[path = "../worker/tests/scripted/mod.rs"]
mod scripted;

const GOOD: usize = 20;
/// Demand for frames is said again this often, and holds three times as long.
const DEMAND_EVERY: Duration = Duration::from_secs(2);

/// Frames of one stream on NATS.
#[derive(Clone, Debug, Default, PartialEq)]
struct Frames {
    count: u64,
    newest: Option<(String, u64)>,
    /// Numbers that were left out.
    missing: u64,
    wrong: Vec<String>,
}

impl Frames {
    fn take(&mut self, fence: &str, seq: u64) {
        self.count += 1;
        let newest = self.newest.replace((fence.to_owned(), seq));
        let Some((last_fence, last)) = newest else { return };
        if last_fence != fence || seq <= last {
            self.wrong.push(format!("{fence} {seq} after {last_fence} {last}"));
        }
        self.missing += seq.saturating_sub(last + 1);
    }
}

/// Reads the frames of all streams, and wants those of `wanted`.
struct Consumer {
    seen: Arc<Mutex<BTreeMap<String, Frames>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Consumer {
    async fn open(nats: &Nats, wanted: Vec<String>) -> Self {
        let client = within("a connection to nats-server", async_nats::connect(&nats.url)).await.unwrap();
        let mut frames = client.subscribe("rsm.v1.frame.default.*").await.unwrap();
        within("a subscription", client.flush()).await.unwrap();
        let seen = Arc::<Mutex<BTreeMap<String, Frames>>>::default();
        let noted = seen.clone();
        let reading = tokio::spawn(async move {
            while let Some(frame) = frames.next().await {
                let slug = frame.subject.rsplit('.').next().unwrap().to_owned();
                let headers = frame.headers.unwrap();
                let seq = headers.get("Rsm-Seq").unwrap().as_str().parse().unwrap();
                noted.lock().entry(slug).or_default().take(headers.get("Rsm-Fence").unwrap().as_str(), seq);
            }
        });
        let wanting = tokio::spawn(async move {
            let demand = r#"{"v":1,"from":"test","ttl_ms":6000,"jpeg":{"max_fps":5,"max_width":320,"quality":70}}"#;
            let mut tick = tokio::time::interval(DEMAND_EVERY);
            loop {
                tick.tick().await;
                for slug in &wanted {
                    let _ = client.publish(format!("rsm.v1.demand.default.{slug}"), demand.into()).await;
                }
            }
        });
        Self { seen, tasks: [reading, wanting] }
    }

    fn of(&self, slug: &str) -> Frames {
        self.seen.lock().get(slug).cloned().unwrap_or_default()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The good cameras, and their viewers.
struct Good<'a> {
    system: &'a System,
    camera: Camera,
    slugs: Vec<String>,
    followers: Vec<Follower>,
    consumer: Consumer,
}

impl<'a> Good<'a> {
    async fn open(system: &'a System, nats: &Nats) -> Self {
        let count = GOOD.to_string();
        let camera =
            Camera::start_as(&["--count", &count, "--fps", "10", "--gop", "10", "--bitrate-kbps", "200"]).await;
        let links = camera.urls.iter().map(|url| system.add(json!({ "url": url, "always_on": true })));
        let links = join_all(links).await;
        let slugs: Vec<_> = links.iter().map(|(slug, _)| slug.clone()).collect();
        let consumer = Consumer::open(nats, slugs.clone()).await;
        let followers = links.iter().map(|(slug, id)| Follower::open(system, slug, *id, "source.m3u8"));
        let followers = join_all(followers).await;
        Self { system, camera, slugs, followers, consumer }
    }

    /// All of them give more segments and frames.
    async fn go_on(&self, segments: usize) {
        let frames = async |slug: &String| {
            let before = self.consumer.of(slug).count;
            let look = async || self.consumer.of(slug).count;
            eventually(&format!("frames of {slug}"), look, |now| *now >= before + 3).await;
        };
        join_all(self.followers.iter().map(|follower| follower.more(segments))).await;
        join_all(self.slugs.iter().map(frames)).await;
    }

    /// Bytes that each camera has sent, and those that the worker took, while they send nothing.
    async fn counted(&self) -> Vec<(u64, u64)> {
        self.camera.command("freeze all").await;
        let mut before = Vec::new();
        let mut alike = 0;
        while alike < 5 {
            let now = self.count().await;
            alike = if now == before { alike + 1 } else { 0 };
            before = now;
        }
        self.camera.command("resume all").await;
        before
    }

    /// The same, once all that was sent since `before` was taken: on a busy machine the last picture comes late.
    async fn counted_behind(&self, before: &[(u64, u64)]) -> Vec<(u64, u64)> {
        self.camera.command("freeze all").await;
        let taken =
            |now: &Vec<(u64, u64)>| now.iter().zip(before).all(|(now, before)| now.0 - before.0 == now.1 - before.1);
        let after = eventually("every picture to be taken", async || self.count().await, taken).await;
        self.camera.command("resume all").await;
        after
    }

    async fn count(&self) -> Vec<(u64, u64)> {
        let status = self.camera.command("status").await;
        let taken = taken(self.system).await;
        let of = |(camera, slug): (&Value, &String)| (camera["frames_sent"].as_u64().unwrap(), taken[slug]);
        status["cameras"].as_array().unwrap().iter().zip(&self.slugs).map(of).collect()
    }
}

/// `rsm_ingest_access_units_total` by stream.
async fn taken(system: &System) -> BTreeMap<String, u64> {
    let text = metrics(system).await;
    let samples = text.lines().filter_map(|line| line.strip_prefix("rsm_ingest_access_units_total{stream=\""));
    samples.filter_map(|rest| rest.split_once("\"} ")).map(|(slug, n)| (slug.to_owned(), n.parse().unwrap())).collect()
}

/// `rsm_frames_dropped_total` of a stream, for any reason.
fn dropped(metrics: &str, slug: &str) -> u64 {
    let label = format!("stream=\"{slug}\"");
    let samples = metrics.lines().filter(|line| line.starts_with("rsm_frames_dropped_total{") && line.contains(&label));
    samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// Metrics of all roles.
async fn metrics(system: &System) -> String {
    let mut text = String::new();
    for group in system.json("/metrics/targets").await.as_array().unwrap() {
        for target in group["targets"].as_array().unwrap() {
            let answer = system.http.get(format!("http://{}/metrics", target.as_str().unwrap())).send().await.unwrap();
            text += &answer.text().await.unwrap();
        }
    }
    text
}

fn offer() -> Offer {
    Offer::default().and(Section::h264())
}

/// A camera that plays, sends these bytes over and over, and so many milliseconds nothing in between.
fn sends(bytes: Vec<u8>, pause_ms: u64) -> Scene {
    let media = vec![Step::Send(bytes), Step::Wait(Duration::from_millis(pause_ms))];
    Scene { end: SceneEnd::Again, ..Scene::new(offer(), media) }
}

fn closes() -> Scene {
    Scene { end_at_once: true, ..Scene::new(offer(), Vec::new()) }
}

fn says_what_no_rtsp_server_says() -> Scene {
    Scene::new(offer(), Vec::new()).with("OPTIONS", garbled()).with("DESCRIBE", garbled())
}

fn garbled() -> Act {
    Act::Raw(b"\x00\xff\x13 garbage \r\n\r\n".to_vec())
}

/// Bytes that follow from nothing but their place.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

/// Eight megabytes a second that look like RTP and are no pictures.
fn floods() -> Scene {
    let mut rtp = Rtp::new(0, 96);
    let payload = noise(1400);
    let packets: Vec<_> = (0..60).flat_map(|n| rtp.packet(n * 9000, n % 6 == 5, &payload)).collect();
    sends(packets, 10)
}

/// Registers a bad camera and waits until its state shows the fault.
async fn known(system: &System, name: &str, url: &str, states: &[&str]) -> String {
    let (slug, _) = system.add(json!({ "url": url, "name": name, "always_on": true })).await;
    let look = async || system.status(&slug).await;
    let fits = |s: &Value| states.contains(&s["state"].as_str().unwrap()) && s["reason"].is_string();
    eventually(&format!("a camera that {name} to be {states:?}"), look, fits).await;
    slug
}

#[tokio::test]
async fn a_bad_camera_is_felt_by_no_good_one() {
    let nats = Nats::start().await;
    // Late on a busy machine is neither silent nor lost.
    let environment = [
        ("RSM__CAMERA__STALL_TIMEOUT_S", "15"),
        ("RSM__CAMERA__CONNECT_TIMEOUT_S", "2"),
        ("RSM__HLS__WINDOW_SEGMENTS", "60"),
        ("RSM__HLS__ALWAYS_ON", "true"),
    ];
    let system = System::start_with(None, &["--nats", &nats.url], &environment).await;
    let good = Good::open(&system, &nats).await;
    let bad = Camera::start_as(&["--count", "8"]).await;
    let bare = Camera::start_as(&["--parameter-sets", "in-band"]).await;
    for (command, camera) in [
        ("freeze cam1", &bad),
        ("half cam2", &bad),
        ("refuse cam3", &bad),
        ("answer cam4 401", &bad),
        ("answer cam5 404", &bad),
        ("answer cam6 453", &bad),
        ("noparams cam1", &bare),
    ] {
        assert_eq!(camera.command(command).await["ok"], true, "{command}");
    }
    let mut scripted = Vec::new();
    for scene in [
        closes(),
        says_what_no_rtsp_server_says(),
        sends(noise(2000), 100),
        Scene::new(offer(), Vec::new()).with("DESCRIBE", Act::Drip(Duration::from_secs(1))),
        floods(),
    ] {
        scripted.push(ScriptedCamera::start(vec![scene]).await);
    }
    let urls: Vec<_> = scripted.iter().map(|camera| camera.url("")).collect();

    let before = good.counted().await;
    good.go_on(1).await;
    let lost = ["reconnecting"].as_slice();
    for turn in [
        vec![
            ("freezes", &bad.urls[0], lost),
            ("closes", &urls[0], lost),
            ("floods", &urls[4], &["reconnecting", "failed"]),
        ],
        vec![
            ("sends halves", &bad.urls[1], &["reconnecting", "failed"]),
            ("has no parameter sets", &bare.urls[0], &["failed"]),
        ],
        vec![
            ("refuses", &bad.urls[2], lost),
            ("wants a password", &bad.urls[3], &["auth_failed"]),
            ("has no such path", &bad.urls[4], &["failed"]),
            ("is busy", &bad.urls[5], lost),
        ],
        vec![
            ("speaks no RTSP", &urls[1], &["failed"]),
            ("garbles", &urls[2], &["reconnecting", "failed"]),
            ("drips", &urls[3], lost),
        ],
    ] {
        let slugs = join_all(turn.iter().map(|(name, url, states)| known(&system, name, url, states))).await;
        good.go_on(1).await;
        for slug in slugs {
            let (status, _) = system.send(reqwest::Method::DELETE, &format!("/video/{slug}/"), &Value::Null).await;
            assert_eq!(status, 204);
        }
    }
    let (rebooting, _) = system.add(json!({ "url": bad.urls[6], "always_on": true })).await;
    system.until_state(&rebooting, "running").await;
    bad.command("reboot cam7 1").await;
    system.until_state(&rebooting, "reconnecting").await;
    good.go_on(1).await;
    system.until_state(&rebooting, "running").await;

    let after = good.counted_behind(&before).await;
    let metrics = metrics(&system).await;
    for (slug, (before, after)) in good.slugs.iter().zip(before.iter().zip(&after)) {
        assert_eq!(after.0 - before.0, after.1 - before.1, "{slug}: sent and taken: {before:?}, {after:?}");
        let status = system.status(slug).await;
        assert_eq!((&status["state"], &status["restarts"]), (&json!("running"), &json!(0)), "{status}");
        let frames = good.consumer.of(slug);
        assert!(frames.wrong.is_empty(), "{slug}: {:?}", frames.wrong);
        // A busy machine may encode a newer frame before it has sent the last one: it says so, and loses no other.
        let said = dropped(&metrics, slug);
        assert!(frames.missing <= said, "{slug}: {} frames are missing, {said} were dropped", frames.missing);
    }
    for seen in join_all(good.followers.into_iter().map(Follower::fine)).await {
        assert_eq!(seen.breaks(), 0);
        assert!(seen.segments.values().all(|segment| !segment.gap));
    }
}

/// Resources that a worker holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: usize,
    threads: u64,
    rss_kb: u64,
}

impl Held {
    fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self { descriptors, threads: number("Threads:"), rss_kb: number("VmRSS:") }
    }
}

#[tokio::test]
async fn cameras_that_never_stay_leave_nothing_behind() {
    const CYCLES: usize = 100;
    let environment =
        [("RSM__CAMERA__BACKOFF_MIN_S", "1"), ("RSM__CAMERA__BACKOFF_MAX_S", "1"), ("RSM__HLS__ALWAYS_ON", "true")];
    let system = System::start_with(None, &[], &environment).await;
    let clip = || ScriptedClip::h264().steps(&mut Rtp::new(0, 96), (0..4).map(|n| n * 9000), Duration::from_millis(20));
    let scenes = [
        closes(),
        Scene { end: SceneEnd::Close, ..Scene::new(offer(), clip()) },
        Scene { end: SceneEnd::Close, ..Scene::new(offer(), Vec::new()) },
        Scene::new(offer(), Vec::new()).with("SETUP", Act::Reset),
        Scene::new(offer(), Vec::new()).with("DESCRIBE", Act::Status(453, String::new())),
        Scene { end: SceneEnd::Close, ..Scene::new(offer(), vec![Step::Send(noise(2000))]) },
    ];
    let mut cameras = Vec::new();
    for scene in scenes.iter().chain(&scenes) {
        let camera = ScriptedCamera::start(vec![scene.clone()]).await;
        system.add(json!({ "url": camera.url(""), "always_on": true })).await;
        cameras.push(camera);
    }
    let cycles = async || cameras.iter().map(ScriptedCamera::connections).sum::<usize>();
    let more = async |count: usize| {
        let before = cycles().await;
        eventually(&format!("{count} more connections"), &cycles, |now| *now >= before + count).await;
    };
    more(CYCLES).await;
    let pid = system.process("worker").unwrap().pid;
    let before = Held::of(pid);
    more(2 * CYCLES).await;
    // At one moment more of them are open than at another.
    let look = async || Held::of(pid);
    let within_noise = |now: &Held| {
        now.descriptors <= before.descriptors + cameras.len()
            && now.threads <= before.threads + cameras.len() as u64
            && now.rss_kb <= before.rss_kb + (8 << 10)
    };
    eventually(&format!("no more to be held than {before:?}"), look, within_noise).await;

    for link in system.json("/video/").await.as_array().unwrap() {
        let path = format!("/video/{}/", link["slug"].as_str().unwrap());
        assert_eq!(system.send(reqwest::Method::DELETE, &path, &Value::Null).await.0, 204);
    }
    let files = async || {
        let mut left = Vec::new();
        let mut dirs = vec![system.data_dir().join("hls")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => dirs.push(path),
                    path => left.push(path),
                }
            }
        }
        left
    };
    eventually("no segment to be left", files, Vec::is_empty).await;
}
