//! A camera that goes and comes back, and what its viewers see of it: seconds from its return to their next picture.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::process::signal;
use crate::harness::system::System;
use crate::harness::watch::Watcher;
use crate::table::{line, seconds};

/// The default configuration's value; tests shorten it.
const STALL: (&str, &str) = ("RSM__CAMERA__STALL_TIMEOUT_S", "5");
/// Longest that a return is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(10);

/// One camera, a viewer of JPEG and a player of low-latency HLS.
struct Watched {
    system: System,
    camera: Camera,
    watcher: Watcher,
    /// Answers to the player: all, and those of status 503.
    answers: Arc<(AtomicU64, AtomicU64)>,
    _player: AbortOnDropHandle<()>,
}

impl Watched {
    async fn begin() -> Self {
        let system = System::start_with(None, &[], &[STALL]).await;
        let camera = Camera::start().await;
        let (slug, id) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
        system.until_state(&slug, "running").await;
        let watcher = Watcher::open(&system.base, &slug).await;
        watcher.goes_on(10).await;
        let answers = Arc::<(AtomicU64, AtomicU64)>::default();
        let player = AbortOnDropHandle::new(tokio::spawn(play(system.url(""), id, answers.clone())));
        let look = async || answers.0.load(Ordering::Relaxed);
        eventually("the player to play", look, |count| *count >= 10).await;
        Self { system, camera, watcher, answers, _player: player }
    }

    /// From now to the next picture.
    async fn back(&self) -> Duration {
        let (begun, before) = (Instant::now(), self.watcher.seen().frames);
        while self.watcher.seen().frames == before && begun.elapsed() < PATIENCE {
            tokio::time::sleep(LOOK).await;
        }
        begun.elapsed()
    }

    fn report(&self) {
        let (answers, late) = (self.answers.0.load(Ordering::Relaxed), self.answers.1.load(Ordering::Relaxed));
        line("  the viewer's socket was closed", &self.watcher.seen().closed.to_string(), "false");
        line("  HLS answers with 503, of all", &format!("{late} of {answers}"), "0");
        assert!(self.system.child.id().is_some(), "rsm up has ended");
    }
}

/// Asks for one part after the other, as a player of low-latency HLS does.
async fn play(base: String, id: i64, answers: Arc<(AtomicU64, AtomicU64)>) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let playlist = format!("{base}/video/play/{id}/source.m3u8");
    let mut next = String::new();
    loop {
        let Ok(answer) = http.get(format!("{playlist}{next}")).send().await else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        answers.0.fetch_add(1, Ordering::Relaxed);
        if !answer.status().is_success() {
            answers.1.fetch_add(u64::from(answer.status() == 503), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let text = answer.text().await.unwrap_or_default();
        let tag = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let whole = text.matches("#EXTINF:").count() as u64;
        let parts = text.rsplit("#EXTINF:").next().unwrap_or_default().matches("#EXT-X-PART:").count();
        let sequence = tag("#EXT-X-MEDIA-SEQUENCE:").unwrap_or(0) + whole;
        next = format!("?_HLS_msn={sequence}&_HLS_part={parts}");
    }
}

/// Its process is killed and started again on its port, three times.
pub async fn camera_returns() {
    let mut watched = Watched::begin().await;
    for time in ["1st", "2nd", "3rd"] {
        let port = watched.camera.port;
        let Watched { camera, .. } = &mut watched;
        camera.child.kill().await.expect("killed");
        // Longer than the first pauses, as a restart of a camera is.
        tokio::time::sleep(Duration::from_secs(15)).await;
        watched.camera = Camera::start_with(port, &[], None).await;
        let back = watched.back().await;
        line(&format!("camera returns ({time} time): to the next picture"), &seconds(back), "1 s + its key frame");
        watched.watcher.goes_on(10).await;
    }
    watched.report();
}

/// Its process is stopped for longer than a session waits, and goes on.
pub async fn camera_thaws() {
    let watched = Watched::begin().await;
    let pid = watched.camera.child.id().expect("a process");
    for (time, frozen) in [("1st", 12), ("2nd", 20), ("3rd", 45)] {
        signal(pid, Signal::SIGSTOP);
        tokio::time::sleep(Duration::from_secs(frozen)).await;
        signal(pid, Signal::SIGCONT);
        let back = watched.back().await;
        line(&format!("camera thaws after {frozen} s ({time} time): to the next picture"), &seconds(back), "2 s");
        watched.watcher.goes_on(10).await;
    }
    watched.report();
}

/// Cameras that are away at a time.
const DEAD: usize = 1000;
/// Until the pauses between their tries have grown.
const GROWN: Duration = Duration::from_secs(90);
const MEASURED: Duration = Duration::from_secs(20);

/// Addresses without a listener, and addresses that never answer: 1,000 of the loopback, with one port.
pub async fn dead_cameras() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("0.0.0.0:0".parse().expect("an address")).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    dead("1,000 closed ports", port).await;
    // A full backlog: the kernel drops further connections, as a host that is switched off does.
    let listener = socket.listen(1).expect("a listener");
    let mut filling = Vec::new();
    let connect = || tokio::net::TcpStream::connect(("127.0.0.1", port));
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(500), connect()).await {
        filling.push(stream);
    }
    dead("1,000 addresses that never answer", port).await;
    drop((listener, filling));
}

/// Time that a process has run, in user mode and in the kernel: fields 14 and 15 of proc_pid_stat(5), in hundredths.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

async fn dead(what: &str, port: u16) {
    let environment = [STALL, ("RSM__WORKER__CAPACITY", "1100")];
    let system = System::start_with(None, &[], &environment).await;
    for n in 0..DEAD {
        let url = format!("rtsp://127.0.{}.{}:{port}/x", 1 + n / 250, 1 + n % 250);
        system.add(json!({ "url": url, "always_on": true })).await;
    }
    tokio::time::sleep(GROWN).await;
    let worker = system.process("worker").expect("a worker").pid;
    let (begun, before) = (Instant::now(), cpu_seconds(worker));
    tokio::time::sleep(MEASURED).await;
    let share = 100.0 * (cpu_seconds(worker) - before) / begun.elapsed().as_secs_f64();
    line(&format!("{what}: the worker's CPU, of a core"), &format!("{share:.1} %"), "");
    let descriptors = std::fs::read_dir(format!("/proc/{worker}/fd")).map_or(0, Iterator::count);
    line("  its descriptors", &descriptors.to_string(), "");
    let camera = Camera::start().await;
    let begun = Instant::now();
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    system.until_state(&slug, "running").await;
    line("  another camera, from POST to running", &seconds(begun.elapsed()), "");
    let port = camera.port;
    camera.kill().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let _camera = Camera::start_with(port, &[], None).await;
    let begun = Instant::now();
    system.until_state(&slug, "running").await;
    line("  it comes back after 10 s, to running", &seconds(begun.elapsed()), "");
}
