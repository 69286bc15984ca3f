//! When a picture was taken: the camera's own time if it tells it, else when the picture came.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rsm_simulator::schedule::Schedule;
use serde_json::json;

use crate::harness::camera::Camera;
use crate::harness::chaos::{Chaos, Mode};
use crate::harness::nats::Nats;
use crate::harness::system::System;
use crate::harness::viewer::{JpegViewer, frame_number};
use crate::harness::within;

/// Few, so that a busy machine keeps up with them.
const FPS: u32 = 5;
/// Longer than any picture takes; made by an encoder that a busy machine keeps waiting, so not longer than that.
const CLIP_SECONDS: u32 = 20;
/// Allowed difference between a picture's header and the clock that is burnt into it: one frame, and far below the
/// delay.
const CLOSE: Duration = Duration::from_millis(200);
/// On the way between camera and worker.
const DELAY: Duration = Duration::from_secs(1);
/// Frames in a row that have to be right.
const IN_A_ROW: u32 = 20;
/// Until that is seen. Reports come each few seconds, and two of them must have come on time; on a busy machine neither
/// camera nor worker always is.
const PATIENCE: Duration = Duration::from_secs(300);

/// Frames of a camera whose packets are a second late: `(age at Rsm-Captured-At, age at Rsm-Published-At)` of each, by the
/// burnt-in clock, until `IN_A_ROW` fit.
async fn ages(flags: &[&str], fits: impl Fn(Duration, Duration) -> bool) {
    let mut all = vec!["--fps", "5", "--gop", "5", "--clip-seconds", "20"];
    all.extend(flags);
    let (camera, nats) = (Camera::start_as(&all).await, Nats::start().await);
    let system = System::start_with(None, &["--nats", &nats.url], &[("RSM__CAMERA__CONNECT_TIMEOUT_S", "20")]).await;
    let network = Chaos::before(format!("127.0.0.1:{}", camera.port).parse().unwrap()).await;
    network.set(Mode::Delay(DELAY));
    let url = format!("rtsp://{}/cam1", network.address);
    let client = within("a connection to nats-server", async_nats::connect(&nats.url)).await.unwrap();
    let mut frames = client.subscribe("rsm.v1.frame.default.*").await.unwrap();
    let (slug, _) = system.add(json!({ "url": url, "always_on": true })).await;
    // A viewer, for the demand.
    let mut viewer = JpegViewer::open(&system, &slug).await;
    let watching = tokio::spawn(async move { while viewer.next().await.is_some() {} });
    let schedule = Schedule::new(FPS, CLIP_SECONDS).unwrap();
    let (mut row, mut seen, begun) = (0, Vec::new(), Instant::now());
    while row < IN_A_ROW {
        let frame = within("a frame", frames.next()).await.unwrap();
        let Some(number) = frame_number(&frame.payload) else { continue };
        let headers = frame.headers.unwrap();
        let at = |name: &str| Duration::from_micros(headers.get(name).unwrap().as_str().parse().unwrap());
        let age = |name: &str| schedule.age(number, at(name));
        let (captured, published) = (age("Rsm-Captured-At"), age("Rsm-Published-At"));
        row = if fits(captured, published) { row + 1 } else { 0 };
        seen.push((captured, published));
        assert!(begun.elapsed() < PATIENCE, "{flags:?}: ages by the burnt-in clock: {seen:?}");
    }
    watching.abort();
}

#[tokio::test]
async fn a_camera_that_tells_its_time_is_believed_however_late_its_pictures_come() {
    for codec in ["h264", "h265"] {
        ages(&["--codec", codec], |captured, published| captured < CLOSE && published >= DELAY).await;
    }
}

#[tokio::test]
async fn a_camera_that_tells_no_time_took_its_pictures_when_they_came() {
    ages(&["--no-rtcp"], |captured, published| captured >= DELAY && captured <= published).await;
}
