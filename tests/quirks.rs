//! Cameras with odd media, watched as HLS and as JPEG: a break of time or size becomes a discontinuity, and nothing
//! else does.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::follower::{Followed, Follower};
use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::system::System;
use crate::harness::watch::Watcher;

/// A camera that is watched every way.
struct Watched<'a> {
    system: &'a System,
    slug: String,
    pictures: Follower,
    sound: Option<Follower>,
    jpeg: Watcher,
}

impl<'a> Watched<'a> {
    async fn open(system: &'a System, url: &str, sound: bool) -> Self {
        let (slug, id) = system.add(json!({ "url": url, "always_on": true })).await;
        let jpeg = Watcher::open(&system.base, &slug).await;
        let pictures = Follower::open(system, &slug, id, "source.m3u8").await;
        let sound = match sound {
            true => Some(Follower::open(system, &slug, id, "audio.m3u8").await),
            false => None,
        };
        let watched = Self { system, slug, pictures, sound, jpeg };
        watched.goes_on(2).await;
        watched
    }

    /// Watches all cameras of `camera`.
    async fn all(system: &'a System, camera: &Camera, sound: bool) -> Vec<Self> {
        join_all(camera.urls.iter().map(|url| Self::open(system, url, sound))).await
    }

    /// So many more segments of everything, and JPEG frames beside them.
    async fn goes_on(&self, segments: usize) {
        self.frames(3).await;
        self.pictures.more(segments).await;
        if let Some(sound) = &self.sound {
            sound.more(segments).await;
        }
        self.frames(3).await;
    }

    async fn frames(&self, count: u64) {
        let before = self.jpeg.seen().frames;
        let what = format!("{count} more frames of {}", self.slug);
        let seen = eventually(&what, async || self.jpeg.seen(), |s| s.closed || s.frames >= before + count).await;
        assert!(!seen.closed, "{what}: {seen:?}");
    }

    async fn status(&self) -> Value {
        self.system.status(&self.slug).await
    }

    /// It ran all the time in one camera session, and all that was made of it is well formed; the breaks in it.
    async fn fine(self) -> u64 {
        let status = self.status().await;
        assert_eq!(
            (&status["state"], &status["reason"], &status["restarts"]),
            (&json!("running"), &Value::Null, &json!(0)),
            "{status}"
        );
        let pictures = self.pictures.fine().await;
        assert!(no_gap(&pictures), "{:#?}", pictures.segments);
        if let Some(sound) = self.sound {
            let sound = sound.fine().await;
            assert!(no_gap(&sound), "{:#?}", sound.segments);
        }
        pictures.breaks()
    }
}

fn no_gap(seen: &Followed) -> bool {
    seen.segments.values().all(|segment| !segment.gap)
}

/// A system whose results do not depend on a busy machine: a late follower misses no segment of so long a window, and
/// segments are made also when a worker learns of demand late.
async fn patient() -> System {
    patient_and(&[]).await
}

/// The same with more environment.
async fn patient_and(more: &[(&str, &str)]) -> System {
    let environment = [("RSM__HLS__WINDOW_SEGMENTS", "60"), ("RSM__HLS__ALWAYS_ON", "true")];
    System::start_with(None, &[], &[&environment[..], more].concat()).await
}

/// A command for each camera.
async fn command(camera: &Camera, commands: &[&str]) {
    for command in commands {
        let answer = camera.command(command).await;
        assert_eq!(answer["ok"], true, "{command}: {answer}");
    }
}

#[tokio::test]
async fn stamps_that_jump_by_an_hour_are_one_break() {
    let camera = Camera::start_as(&["--count", "2", "--audio", "pcma"]).await;
    let system = patient().await;
    let watched = Watched::all(&system, &camera, true).await;
    command(&camera, &["jump cam1 3600", "jump cam2 -3600"]).await;
    for watched in watched {
        watched.pictures.breaks(1).await;
        watched.goes_on(3).await;
        assert_eq!(watched.fine().await, 1);
    }
}

#[tokio::test]
async fn stamps_that_wrap_and_a_camera_without_reports_are_no_break() {
    // Eight seconds before 2^32.
    let camera = Camera::start_as(&["--rtp-start", "4294247296", "--no-rtcp", "--audio", "pcma"]).await;
    let system = patient().await;
    let watched = Watched::open(&system, camera.url(), true).await;
    watched.goes_on(12).await;
    assert_eq!(watched.fine().await, 0);
}

#[tokio::test]
async fn a_clock_that_runs_fast_or_slow_and_late_pictures_are_no_break() {
    let camera = Camera::start_as(&["--count", "3"]).await;
    let system = patient().await;
    let watched = Watched::all(&system, &camera, false).await;
    command(&camera, &["drift cam1 20000", "drift cam2 -20000", "jitter cam3 400"]).await;
    join_all(watched.iter().map(|watched| watched.goes_on(10))).await;
    for watched in watched {
        assert_eq!(watched.fine().await, 0);
    }
}

#[tokio::test]
async fn a_clock_that_has_gone_far_is_set_right_by_a_break() {
    let camera = Camera::start_as(&["--count", "2"]).await;
    let system = patient().await;
    let watched = Watched::all(&system, &camera, false).await;
    command(&camera, &["drift cam1 100000", "drift cam2 -100000"]).await;
    for watched in watched {
        watched.pictures.breaks(1).await;
        watched.goes_on(2).await;
        watched.fine().await;
    }
}

#[tokio::test]
async fn a_frame_rate_that_falls_to_two_and_comes_back() {
    let camera = Camera::start().await;
    let system = patient().await;
    let watched = Watched::open(&system, camera.url(), false).await;
    command(&camera, &["fps cam1 2"]).await;
    let slow = async || watched.status().await;
    eventually("a rate of two", slow, |s| s["video"]["fps"].as_f64().is_some_and(|fps| fps < 4.0)).await;
    watched.goes_on(4).await;
    command(&camera, &["fps cam1 0"]).await;
    eventually("the rate to be back", slow, |s| s["video"]["fps"].as_f64().is_some_and(|fps| fps > 10.0)).await;
    watched.goes_on(4).await;
    watched.fine().await;
}

#[tokio::test]
async fn another_size_in_mid_stream_is_a_break_with_parameters_of_its_own() {
    for codec in ["h264", "h265"] {
        let camera = Camera::start_as(&["--codec", codec, "--second", "640x360", "--audio", "pcma"]).await;
        let system = patient().await;
        let watched = Watched::open(&system, camera.url(), true).await;
        for (breaks, width) in [(1, 640), (2, 320)] {
            command(&camera, &["resize cam1"]).await;
            watched.pictures.breaks(breaks).await;
            watched.goes_on(2).await;
            assert_eq!(watched.status().await["video"]["width"], width);
        }
        let maps: Vec<_> = watched.pictures.seen().segments.into_values().map(|segment| segment.map).collect();
        assert_ne!(maps.first(), maps.last());
        assert_eq!(watched.fine().await, 2, "{codec}");
    }
}

#[tokio::test]
async fn sound_that_is_away_for_a_while_is_silence_and_the_pictures_go_on() {
    let away = async |codec: &str| {
        let camera = Camera::start_as(&["--audio", codec]).await;
        let system = patient().await;
        let watched = Watched::open(&system, camera.url(), true).await;
        command(&camera, &["mute cam1"]).await;
        watched.goes_on(10).await;
        command(&camera, &["unmute cam1"]).await;
        watched.goes_on(3).await;
        assert_eq!(watched.fine().await, 0, "{codec}");
    };
    join_all(["pcma", "aac"].map(away)).await;
}

#[tokio::test]
async fn parameter_sets_may_come_in_the_description_alone() {
    for codec in ["h264", "h265"] {
        let camera = Camera::start_as(&["--codec", codec]).await;
        let system = patient().await;
        let watched = Watched::open(&system, camera.url(), false).await;
        command(&camera, &["noparams cam1"]).await;
        watched.goes_on(4).await;
        assert_eq!(watched.fine().await, 0, "{codec}");
    }
}

#[tokio::test]
async fn missing_parameter_sets_are_named_and_the_stream_comes_when_they_do() {
    let camera = Camera::start_as(&["--parameter-sets", "in-band"]).await;
    command(&camera, &["noparams cam1"]).await;
    let system = patient_and(&[("RSM__CAMERA__BACKOFF_MAX_S", "2")]).await;
    let (slug, _) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    let status = system.until_state(&slug, "failed").await;
    assert_eq!(status["reason_code"], "unsupported", "{status}");
    assert!(status["reason"].as_str().unwrap().contains("parameter sets"), "{status}");
    command(&camera, &["resume cam1"]).await;
    let status = system.until_state(&slug, "running").await;
    assert_eq!(status["reason"], Value::Null, "{status}");
}

#[tokio::test]
async fn a_long_way_between_key_pictures_is_waited_for_once() {
    let camera = Camera::start_as(&["--gop", "150", "--clip-seconds", "20"]).await;
    let system = patient().await;
    let (slug, id) = system.add(json!({ "url": camera.url(), "always_on": true })).await;
    system.until_state(&slug, "running").await;
    system.json(&format!("/video/{slug}/")).await;
    let mut refused = 0;
    loop {
        let answer = system.get(&format!("/video/play/{id}/")).await;
        if answer.status() == 200 {
            break;
        }
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"), "{:?}", answer.headers());
        refused += 1;
        assert!(refused < 18, "nothing after {refused} waits of 10 s");
    }
    // A viewer that joins a running stream does not wait for a key frame.
    let jpeg = Watcher::open(&system.base, &slug).await;
    eventually("frames", async || jpeg.seen(), |seen| seen.frames >= 5).await;
    let pictures = Follower::open(&system, &slug, id, "source.m3u8").await;
    pictures.more(2).await;
    let seen = pictures.fine().await;
    assert_eq!(seen.breaks(), 0);
    assert!(seen.segments.values().all(|segment| segment.duration < 11.0), "{:#?}", seen.segments);
}
