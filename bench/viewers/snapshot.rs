//! Time until one picture: of a stream with a viewer, and of a camera without one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::figures::spread;
use crate::harness::camera::Camera;
use crate::part_process::LoadProcess;
use crate::report::{Aim, ViewersReport};
use crate::scene::{PictureSource, Scene};

const REQUESTS: usize = 200;
/// Between two requests: some of them come between two frames.
const PAUSE: Duration = Duration::from_millis(13);
/// Milliseconds, 99th percentile, of a stream that is watched.
const WATCHED: Aim = Aim::AtMost(10.0);
/// A group of pictures of the camera, and a second.
const IDLE: Aim = Aim::AtMost(2000.0);
const WIDTH: &str = "width=320";
/// Frames of one width begin when the worker hears of the demand.
const WIDTH_SETTLE: Duration = Duration::from_secs(3);
/// Cameras of the idle streams; each is asked once.
const CAMERAS: usize = 5;
/// A group of pictures of a second.
const CAMERA: [&str; 12] =
    ["--width", "1280", "--height", "720", "--fps", "25", "--gop", "25", "--bitrate-kbps", "2000", "--count", "5"];

/// Requests one after the other, at the relay.
struct Asked {
    ms: Vec<f64>,
    /// Answers instead of a picture.
    others: Vec<String>,
    bytes: usize,
}

pub async fn measure(report: &mut ViewersReport, case: &str) {
    watched(report, case).await;
    idle(report, case).await;
}

async fn watched(report: &mut ViewersReport, case: &str) {
    let mut scene = Scene::start(PictureSource::stub(50_000, 10)).await;
    scene.add_stubs(1, &json!({})).await;
    let slug = scene.streams[0].0.clone();
    let mut load = LoadProcess::start();
    load.open(scene.relay_address, &scene.sockets(""), 1, &json!({})).await;
    let path = format!("/video/{slug}/snapshot.jpg");
    let asked = ask(&scene, &path, REQUESTS).await;
    asked.told(report, case, "watched stream", WATCHED);
    let asked = ask(&scene, &format!("{path}?{WIDTH}"), REQUESTS).await;
    asked.told(report, case, "watched stream, 320 wide, nobody watches that", Aim::Nothing);
    load.open(scene.relay_address, &scene.sockets(&format!("?{WIDTH}")), 1, &json!({})).await;
    tokio::time::sleep(WIDTH_SETTLE).await;
    let asked = ask(&scene, &format!("{path}?{WIDTH}"), REQUESTS).await;
    asked.told(report, case, "watched stream, 320 wide, somebody watches that", WATCHED);
}

/// Each a camera that was never opened.
async fn idle(report: &mut ViewersReport, case: &str) {
    let camera = Camera::start_with(0, &CAMERA, None).await;
    let mut scene = Scene::start(PictureSource::Real(Vec::new())).await;
    scene.register(&camera.urls[..CAMERAS], &json!({ "always_on": false })).await;
    let mut all = Asked { ms: Vec::new(), others: Vec::new(), bytes: 0 };
    for (slug, _) in &scene.streams {
        let asked = ask(&scene, &format!("/video/{slug}/snapshot.jpg"), 1).await;
        all.ms.extend(asked.ms);
        all.others.extend(asked.others);
        all.bytes = asked.bytes;
    }
    all.told(report, case, "idle camera, a group of pictures of 1 s", IDLE);
}

async fn ask(scene: &Scene, path: &str, requests: usize) -> Asked {
    let url = format!("{}{path}", scene.relay_base);
    let mut asked = Asked { ms: Vec::new(), others: Vec::new(), bytes: 0 };
    for _ in 0..requests {
        let begun = Instant::now();
        let outcome = async {
            let answer = scene.http.get(&url).send().await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        };
        match outcome.await {
            Ok((status, jpeg)) if status.is_success() && jpeg.starts_with(&[0xff, 0xd8]) => {
                asked.ms.push(begun.elapsed().as_secs_f64() * 1000.0);
                asked.bytes = jpeg.len();
            }
            Ok((status, _)) => asked.others.push(status.to_string()),
            Err(error) => asked.others.push(error.to_string()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    asked
}

impl Asked {
    fn told(self, report: &mut ViewersReport, case: &str, what: &str, aim: Aim) {
        let (count, failed) = (self.ms.len(), self.others.len());
        let seen = spread(self.ms);
        report.spread(case, what, &seen, "p99", aim);
        report.detail(case, what, &json!({ "ms": seen, "kilobytes": self.bytes / 1000, "others": self.others }));
        if failed > 0 {
            let first: Value = self.others.first().map(|text| json!(text)).unwrap_or_default();
            report.note(case, &format!("{what}: {failed} of {} answered otherwise, such as {first}", count + failed));
        }
    }
}
