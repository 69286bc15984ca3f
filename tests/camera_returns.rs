//! Cameras that go away and come back while a viewer waits. How long that takes is measured by `make bench-faults`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::process::signal;
use crate::harness::system::System;
use crate::harness::watch::Watcher;

/// So long a pause that no test sees its end: only a return that was seen opens a camera again.
const NO_PAUSE_ENDS: [(&str, &str); 2] =
    [("RSM__CAMERA__BACKOFF_MIN_S", "3600"), ("RSM__CAMERA__BACKOFF_MAX_S", "3600")];

/// Frames of 7 s at 10 a second.
const WORKED_FRAMES: u64 = 70;

/// Connections with a request that opens a session, to a server that answers with `status`, or with nothing at all.
struct Refusing {
    port: u16,
    sessions: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Refusing {
    async fn begin(port: u16, sessions: Arc<AtomicUsize>, status: Option<&'static str>) -> Self {
        let bind = async || TcpListener::bind(("127.0.0.1", port)).await;
        let listener = eventually("a port", bind, Result::is_ok).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = sessions.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                if !request[..read].starts_with(b"DESCRIBE") {
                    continue;
                }
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(status) = status {
                    let answer = format!("RTSP/1.0 {status}\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                    // Closed by the client.
                    let _ = stream.read(&mut request).await;
                }
            }
        }));
        Self { port, sessions, _task: task }
    }

    fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/x", self.port)
    }

    fn count(&self) -> usize {
        self.sessions.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_camera_is_seen_again_each_time_it_comes_back_and_one_that_refuses_is_left_alone() {
    let system = System::start_with(None, &[], &NO_PAUSE_ENDS).await;
    let locked = Refusing::begin(0, Arc::default(), Some("401 Unauthorized")).await;
    let (locked_slug, _) = system.add(json!({ "url": locked.url(), "always_on": true })).await;
    let absent = Refusing::begin(0, Arc::default(), Some("404 Not Found")).await;
    let (absent_slug, _) = system.add(json!({ "url": absent.url(), "always_on": true })).await;
    // Its port is open, and every session ends at once.
    let hasty = Refusing::begin(0, Arc::default(), None).await;
    let (hasty_slug, _) = system.add(json!({ "url": hasty.url(), "always_on": true })).await;
    system.until_state(&locked_slug, "auth_failed").await;
    system.until_state(&absent_slug, "failed").await;
    system.until_state(&hasty_slug, "reconnecting").await;
    let before = [locked.count(), absent.count(), hasty.count()];

    let mut camera = Camera::start().await;
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    system.until_state(&slug, "running").await;
    let watcher = Watcher::open(&system.base, &slug).await;
    watcher.more(3).await;
    let mut locked = locked;
    for _ in 0..3 {
        let port = camera.port;
        // So long that it counts as one that worked, even if it comes back before its port is seen closed.
        watcher.goes_on(WORKED_FRAMES).await;
        camera.kill().await;
        let look = async || system.status(&slug).await;
        eventually("the camera to be away", look, |status| status["state"] == "reconnecting").await;
        // The port of the other one closes and opens as well.
        let (refused_port, sessions) = (locked.port, locked.sessions.clone());
        drop(locked);
        locked = Refusing::begin(refused_port, sessions, Some("401 Unauthorized")).await;
        camera = Camera::start_with(port, &[], None).await;
        watcher.goes_on(3).await;
        assert!(!watcher.seen().closed);
        assert_eq!(camera.sessions().await, (1, 1), "one login for each return");
    }
    assert_eq!([locked.count(), absent.count(), hasty.count()], before, "no login in a hurry");
}

#[tokio::test]
async fn a_frozen_camera_is_seen_again_when_it_goes_on() {
    let stall = ("RSM__CAMERA__STALL_TIMEOUT_S", "5");
    let [least, longest] = NO_PAUSE_ENDS;
    let system = System::start_with(None, &[], &[stall, least, longest]).await;
    let camera = Camera::start().await;
    let (slug, id) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    system.until_state(&slug, "running").await;
    let watcher = Watcher::open(&system.base, &slug).await;
    watcher.more(3).await;
    let playlist = format!("/video/play/{id}/source.m3u8");
    let answered = async || system.get(&playlist).await.status().is_success();
    eventually("a playlist", answered, |answered| *answered).await;
    for _ in 0..2 {
        signal(camera.child.id().unwrap(), Signal::SIGSTOP);
        let look = async || system.status(&slug).await;
        eventually("the camera to be away", look, |status| status["state"] == "reconnecting").await;
        assert!(system.get(&playlist).await.status().is_success(), "the playlist stays");
        signal(camera.child.id().unwrap(), Signal::SIGCONT);
        watcher.goes_on(3).await;
        system.until_state(&slug, "running").await;
        assert!(!watcher.seen().closed);
    }
}
