//! JPEG pictures of one camera, against one ffmpeg. The sides take turns: each alone uses most of a core, and a decoder
//! that gets too little leaves pictures out.

use std::time::Duration;

use serde_json::{Value, json};

use super::ffmpeg::Jpeg;
use super::likeness::Reference;
use super::meter::{Window, watch};
use super::pictures::PictureStream;
use super::players::Link;
use super::report::{CostReport, Row};
use super::windows::Windows;
use super::{hls, ours};
use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::system::System;

/// Opening the camera and the decoder, and the group of pictures that comes first.
const SETTLE: Duration = Duration::from_secs(5);
/// The quality of ffmpeg's pictures.
const FFMPEG_QUALITY: u32 = 5;
const CLIP_SECONDS: u32 = 10;

/// Pictures that one side delivered in its turns.
#[derive(Default)]
struct Turns {
    windows: Vec<Window>,
    per_second: Vec<f64>,
    kilobytes: Vec<f64>,
    newest: Vec<Vec<u8>>,
}

impl Turns {
    async fn take(&mut self, group: &super::meter::Group, pictures: &PictureStream, window: Duration) {
        let before = (pictures.count(), pictures.bytes());
        let begun = std::time::Instant::now();
        let [seen] = watch([group], window).await;
        let (count, bytes) = (pictures.count() - before.0, pictures.bytes() - before.1);
        self.windows.push(seen);
        self.per_second.push(count as f64 / begun.elapsed().as_secs_f64());
        self.kilobytes.push(bytes as f64 / count.max(1) as f64 / 1000.0);
        self.newest = pictures.newest();
    }

    async fn row(self, case: &str, side: &str, reference: &Reference) -> Row {
        let median = |values: Vec<f64>, digits: i32| {
            let unit = 10_f64.powi(digits);
            (super::meter::median(values) * unit).round() / unit
        };
        let ssim = (reference.likeness(&self.newest).await * 10_000.0).round() / 10_000.0;
        // Where pictures are left out for lack of time, only the cost of a picture can be compared.
        let each = self.windows.iter().zip(&self.per_second).map(|(w, fps)| w.cpu_percent * 10.0 / fps).collect();
        let delivered: Value = json!({
            "ms/picture": median(each, 2),
            "fps": median(self.per_second, 1),
            "kB": median(self.kilobytes, 0),
            "SSIM": ssim,
        });
        Row::new(case, side, 1, self.windows).delivering(delivered)
    }
}

/// Full size and full rate with one viewer and with ten, then as the default configuration has it.
pub async fn compare(report: &mut CostReport, windows: Windows, quality: u32) {
    let camera = Camera::start_with(0, &hls::LARGE, None).await;
    let reference = Reference::record(camera.url(), CLIP_SECONDS).await;
    let mut system = ours::start(1).await;
    let full = json!({ "mjpeg": { "max_fps": 60, "max_width": 3840, "quality": quality } });
    let link = ours::add(&system, &camera.urls, &full).await.remove(0);
    let (mut one, mut ten, mut theirs) = (Turns::default(), Turns::default(), Turns::default());
    for _ in 0..windows.count {
        our_turn(&mut one, &system, &link, 1, windows).await;
        our_turn(&mut ten, &system, &link, 10, windows).await;
        their_turn(&mut theirs, camera.url(), None, windows).await;
    }
    let case = format!("jpeg, 1080p30, quality {quality}");
    let theirs = theirs.row(&case, "ffmpeg -q:v 5, a pipe", &reference).await;
    report.pair(&one.row(&case, "rsm, 1 viewer", &reference).await, &theirs);
    report.pair(&ten.row(&case, "rsm, 10 viewers", &reference).await, &theirs);

    let link = ours::add(&system, &camera.urls, &json!({})).await.remove(0);
    let (mut one, mut theirs) = (Turns::default(), Turns::default());
    for _ in 0..windows.count {
        our_turn(&mut one, &system, &link, 1, windows).await;
        their_turn(&mut theirs, camera.url(), Some("fps=10,scale=1280:-2"), windows).await;
    }
    let case = "jpeg, 10 fps, 1280 wide";
    let theirs = theirs.row(case, "ffmpeg -q:v 5, a pipe", &reference).await;
    report.pair(&one.row(case, "rsm, defaults", &reference).await, &theirs);
    system.stop().await;
    camera.kill().await;
}

async fn our_turn(turns: &mut Turns, system: &System, link: &Link, viewers: usize, windows: Windows) {
    let mut open = Vec::new();
    for _ in 0..viewers {
        open.push(PictureStream::of_viewer(system, &link.slug).await);
    }
    tokio::time::sleep(SETTLE).await;
    turns.take(&ours::group(system), &open[0], windows.length).await;
    drop(open);
    // A stream without demand goes on for the idle timeout: it is stopped, so that the other side has its turn alone.
    let stop = format!("/video/{}/stop", link.slug);
    system.send(reqwest::Method::POST, &stop, &json!({})).await;
    system.until_state(&link.slug, "stopped").await;
    let start = format!("/video/{}/start", link.slug);
    system.send(reqwest::Method::POST, &start, &json!({})).await;
    eventually("a link that can be watched", async || system.status(&link.slug).await, |s| s["state"] != "stopped")
        .await;
}

async fn their_turn(turns: &mut Turns, url: &str, filter: Option<&str>, windows: Windows) {
    let ffmpeg = Jpeg::start(url, FFMPEG_QUALITY, filter);
    eventually("ffmpeg's first picture", async || ffmpeg.pictures.count(), |count| *count > 0).await;
    tokio::time::sleep(SETTLE).await;
    turns.take(&ffmpeg.group(), &ffmpeg.pictures, windows.length).await;
    ffmpeg.stop().await;
}
