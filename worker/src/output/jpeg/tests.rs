use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::Epoch;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::media::access_unit::tests::unit;
use crate::media::parameters::VideoCodec;
use crate::metrics::StreamMetrics;
use crate::pipeline::test_clip::{Clip, Look};
use rsm_shared::stream::jpeg_width::JpegWidth;

#[test]
fn a_picture_finds_when_it_was_captured_in_any_coding_order() {
    let in_flight = InFlight::default();
    let units: Vec<_> = [0, 120, 40, 80].map(|ms| unit(ms, ms == 0)).into();
    units.iter().for_each(|unit| in_flight.add(unit));
    for i in [0, 2, 3, 1] {
        assert_eq!(in_flight.take(units[i].pts), Some(units[i].captured));
    }
    assert_eq!(in_flight.take(Duration::ZERO), None);
    (0..5000).for_each(|ms| in_flight.add(&unit(ms, false)));
    assert_eq!(in_flight.lock().len(), MAX_IN_FLIGHT);
}

#[test]
fn what_is_late_is_not_shown_and_what_is_too_late_is_left_out() {
    for (ms, backlog, want) in [
        (0, false, Pace::Show),
        (999, false, Pace::Show),
        (1000, false, Pace::Decode),
        (2499, false, Pace::Decode),
        (2500, false, Pace::Skip),
        (60_000, false, Pace::Skip),
        (0, true, Pace::Decode),
        (60_000, true, Pace::Decode),
    ] {
        assert_eq!(pace(Duration::from_millis(ms), backlog), want, "{ms} ms, backlog: {backlog}");
    }
}

#[tokio::test]
async fn a_feeder_that_is_too_late_goes_on_at_the_newest_key_picture() {
    let clip = Clip { width: 320, height: 240, fps: 25, pictures: 75, group: 25, b_pictures: 0 }.encode();
    let params = JpegParams { max_fps: 60, max_width: 320, quality: 80 };
    let (hub, in_flight) = (StreamHub::default(), InFlight::default());
    let subscription = hub.subscribe(Listen::Pictures);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
    for (i, unit) in clip.iter().enumerate() {
        // The newest group is current, and stays so on a busy machine; two others wait before it.
        let arrived = if i < 50 { long_ago } else { Instant::now() + Duration::from_secs(60) };
        hub.publish(AccessUnit { arrived, ..unit.clone() });
    }
    // Ends the feeding.
    hub.publish(AccessUnit { timeline: 99, ..clip[1].clone() });
    let first = subscription.next_key(None, PATIENCE).await.unwrap();
    let (mut pipeline, _newest) = JpegPipeline::start(&first.video, params, &Hardware::software()).await.unwrap();
    {
        let (feeder, _failed) = pipeline.split();
        let next = feed(feeder, first, &subscription, &in_flight).await.unwrap();
        assert_eq!(next.timeline, 99);
    }
    pipeline.stop().await;
    let shown: Vec<_> = in_flight.lock().iter().map(|(pts, _)| *pts).collect();
    let want: Vec<_> = clip[..1].iter().chain(&clip[50..]).map(|unit| unit.pts).collect();
    assert_eq!(shown, want);
}

/// Keeps frames; refuses those over a size.
struct Sink {
    frames: Mutex<Vec<(FrameHeaders, Bytes)>>,
    max_bytes: usize,
}

impl FrameSink for Sink {
    fn publish<'a>(
        &'a self,
        _: &'a Zone,
        _: &'a Slug,
        _: Option<JpegWidth>,
        headers: FrameHeaders,
        jpeg: Bytes,
    ) -> BoxFuture<'a, Result<(), FrameLoss>> {
        self.frames.lock().unwrap().push((headers, jpeg));
        std::future::ready(Ok(())).boxed()
    }

    fn max_frame_bytes(&self) -> usize {
        self.max_bytes
    }
}

struct Silent;

impl JpegReport for Silent {
    fn keyless(&self, _: bool) {}
}

/// What is sent of `units` by the time that `enough` says so.
async fn sent(
    units: &[AccessUnit],
    params: JpegParams,
    max_bytes: usize,
    enough: impl Fn(&[(FrameHeaders, Bytes)]) -> bool,
) -> Vec<(FrameHeaders, Bytes)> {
    let (sink, hub) = (Arc::new(Sink { frames: Mutex::default(), max_bytes }), Arc::new(StreamHub::default()));
    let slug = Slug::parse("door").unwrap();
    let metrics = Arc::new(StreamMetrics::new(&prometheus::Registry::new()).unwrap()).stream(&slug);
    let output = JpegOutput {
        slug,
        zone: Zone::parse("default").unwrap(),
        fence: Fence { epoch: Epoch(9), revision: 1 },
        hub: hub.clone(),
        frames: sink.clone(),
        metrics,
        hardware: Hardware::software(),
        report: Arc::new(Silent),
        shown: Arc::default(),
    };
    let (_demand, demand) = watch::channel(Demand { jpeg: Some(params), ..Demand::default() });
    let cancel = CancellationToken::new();
    let running = tokio::spawn(output.run(Wish { demand, cancel: cancel.clone(), hls_always: false }));
    let deadline = Instant::now() + Duration::from_secs(30);
    while hub.subscribers() == 0 {
        tokio::task::yield_now().await;
    }
    // As a camera would, not faster than they are taken; a queue in front drops what is too much.
    for unit in units {
        hub.publish(AccessUnit { arrived: Instant::now() + Duration::from_secs(60), ..unit.clone() });
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    while !enough(&sink.frames.lock().unwrap()) {
        assert!(Instant::now() < deadline, "{} frames", sink.frames.lock().unwrap().len());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cancel.cancel();
    running.await.unwrap();
    let frames = sink.frames.lock().unwrap();
    frames.clone()
}

fn jpegs() -> Vec<AccessUnit> {
    let clip = Clip { width: 320, height: 240, fps: 25, pictures: 50, group: 1, b_pictures: 0 };
    clip.encode_as(Look { codec: VideoCodec::Jpeg, ..Look::PLAIN })
}

#[tokio::test]
async fn pictures_of_a_jpeg_camera_are_sent_as_they_are_at_the_wanted_rate() {
    let units = jpegs();
    let params = JpegParams { max_fps: 5, max_width: 320, quality: 80 };
    let frames = sent(&units, params, 1 << 20, |frames| frames.len() >= 10).await;
    assert!((10..=11).contains(&frames.len()), "{}", frames.len());
    let mut camera = units.iter();
    for (i, (headers, jpeg)) in frames.iter().enumerate() {
        assert_eq!((headers.width, headers.height, headers.seq), (320, 240, i as u64 + 1));
        assert!(camera.any(|unit| unit.data == *jpeg), "frame {i} is no picture of the camera, or out of order");
    }
}

#[tokio::test]
async fn pictures_of_a_jpeg_camera_that_are_too_wide_are_scaled() {
    let params = JpegParams { max_fps: 25, max_width: 160, quality: 80 };
    let frames = sent(&jpegs(), params, 1 << 20, |frames| frames.len() >= 5).await;
    assert!(frames.iter().all(|(headers, _)| (headers.width, headers.height) == (160, 120)));
}

#[tokio::test]
async fn from_a_picture_on_that_is_too_large_those_of_a_jpeg_camera_are_encoded() {
    let mut units = jpegs();
    let max_bytes = units.iter().map(|unit| unit.data.len()).max().unwrap() + 1000;
    // What stands behind the end of the picture is passed over by decoders.
    units[2].data = [&units[2].data[..], &vec![0; max_bytes]].concat().into();
    let params = JpegParams { max_fps: 25, max_width: 320, quality: 30 };
    let frames = sent(&units, params, max_bytes, |frames| frames.len() >= 6).await;
    assert!(frames.iter().all(|(_, jpeg)| jpeg.len() <= max_bytes));
    assert_eq!((&frames[0].1, &frames[1].1), (&units[0].data, &units[1].data));
    assert!(frames[2..].iter().all(|(headers, jpeg)| headers.width == 320 && units.iter().all(|u| u.data != *jpeg)));
    assert!(frames.windows(2).all(|two| two[1].0.seq == two[0].0.seq + 1));
}
