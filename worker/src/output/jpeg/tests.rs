use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rsm_shared::ops::traces::Span;
use rsm_shared::stream::demand::{Demand, ScaledJpeg};
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::spec::JpegParams;
use rsm_shared::wire::frame_headers::FrameHeaders;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::metrics::{FrameLoss, WorkerMetrics};
use crate::pipeline::test_clip::{Clip, ClipStyle};

#[test]
fn what_is_late_is_not_shown_and_what_is_too_late_is_left_out() {
    for (ms, backlog, want, of_all_keys) in [
        (0, false, Pace::Show, Pace::Show),
        (999, false, Pace::Show, Pace::Show),
        (1000, false, Pace::Decode, Pace::Skip),
        (2499, false, Pace::Decode, Pace::Skip),
        (2500, false, Pace::Skip, Pace::Skip),
        (60_000, false, Pace::Skip, Pace::Skip),
        (0, true, Pace::Decode, Pace::Decode),
        (60_000, true, Pace::Decode, Pace::Decode),
    ] {
        let paces = [false, true].map(|all_keys| pace(Duration::from_millis(ms), backlog, all_keys));
        assert_eq!(paces, [want, of_all_keys], "{ms} ms, backlog: {backlog}");
    }
}

#[tokio::test]
async fn a_feeder_that_is_too_late_goes_on_at_the_newest_key_frame() {
    let clip = Clip { width: 320, height: 240, fps: 25, pictures: 75, group: 25, b_pictures: 0 }.encode();
    let params = JpegParams { max_fps: 60, max_width: 320, quality: 80 };
    let (hub, passing, numbers) = (StreamHub::default(), Passing::default(), FrameNumbers::default());
    let subscription = hub.subscribe(Listen::Video);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
    for (i, unit) in clip.iter().enumerate() {
        // The newest group is current, and stays so on a busy machine; two others wait before it.
        let arrived = if i < 50 { long_ago } else { Instant::now() + Duration::from_secs(60) };
        hub.publish(AccessUnit { arrived, ..unit.clone() });
    }
    // Ends the feeding.
    hub.publish(AccessUnit { timeline: 99, ..clip[1].clone() });
    let first = subscription.next_key(None, PATIENCE).await.unwrap();
    let mut pipeline = JpegPipeline::start(&first.video, &Hardware::software()).await.unwrap();
    let mut shown = Vec::new();
    {
        let (feeder, _failed) = pipeline.split();
        let (_encoder, mut newest) = feeder.add(params).unwrap();
        let run = Run { first: &first, frame: None, subscription: &subscription, numbers: &numbers };
        let fed = feed(Some(feeder), &passing, usize::MAX, run);
        let seen = async {
            while shown.last() != clip.last().map(|unit| &unit.pts) {
                newest.changed().await.unwrap();
                shown.extend(newest.borrow_and_update().as_ref().map(|frame| frame.pts));
            }
        };
        let both = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(fed, seen) }).await;
        assert!(matches!(both.unwrap().0, Ok(RunEnd::Timeline(unit)) if unit.timeline == 99));
    }
    pipeline.stop().await;
    // On a busy machine one frame may replace another.
    assert!(shown.iter().all(|pts| *pts == clip[0].pts || *pts >= clip[50].pts), "{shown:?}");
}

/// One frame as it was published.
#[derive(Clone)]
struct Sent {
    /// Step of the ladder, pixels.
    step: Option<u32>,
    headers: FrameHeaders,
    jpeg: Bytes,
}

/// Keeps frames; says that larger ones are not taken.
struct Sink {
    frames: Mutex<Vec<Sent>>,
    max_bytes: usize,
}

impl FrameSink for Sink {
    fn publish<'a>(
        &'a self,
        _: &'a Zone,
        _: &'a Slug,
        width: Option<JpegWidth>,
        headers: FrameHeaders,
        jpeg: Bytes,
    ) -> BoxFuture<'a, Result<(), FrameLoss>> {
        self.frames.lock().push(Sent { step: width.map(JpegWidth::pixels), headers, jpeg });
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

/// An output that runs, the camera's side of it, and the viewers'.
struct Scene {
    hub: Arc<StreamHub>,
    sink: Arc<Sink>,
    demand: watch::Sender<Demand>,
    cancel: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Scene {
    fn start(demand: Demand, max_bytes: usize) -> Self {
        let (sink, hub) = (Arc::new(Sink { frames: Mutex::default(), max_bytes }), Arc::new(StreamHub::default()));
        let slug = Slug::parse("door").unwrap();
        let metrics = Arc::new(WorkerMetrics::new(&prometheus::Registry::new()).unwrap()).stream(&slug);
        let fence = Fence { epoch: Epoch(9), revision: 1 };
        let output = JpegOutput {
            trace: StreamTrace::new(slug.clone(), fence, &Span::none(), None),
            waiting: Waiting::default(),
            slug,
            zone: Zone::parse("default").unwrap(),
            fence,
            hub: hub.clone(),
            frames: sink.clone(),
            metrics,
            hardware: Hardware::software(),
            report: Arc::new(Silent),
            shown: Arc::default(),
        };
        let (demand, receiver) = watch::channel(demand);
        let cancel = CancellationToken::new();
        let output_demand = OutputDemand { demand: receiver, cancel: cancel.clone(), hls_always: false };
        let running = tokio::spawn(output.run(output_demand));
        Self { hub, sink, demand, cancel, running }
    }

    fn publish(&self, unit: &AccessUnit) {
        self.hub.publish(AccessUnit { arrived: Instant::now() + Duration::from_secs(60), ..unit.clone() });
    }

    async fn until(&self, what: &str, seen: impl Fn(&[Sent]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !seen(&self.sink.frames.lock()) {
            let frames = self.sink.frames.lock().len();
            assert!(Instant::now() < deadline, "no {what}; {frames} frames");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Publishes units until `seen`, one each time that a frame of it came in the size of the `step`.
    async fn play(&self, units: &mut impl Iterator<Item = AccessUnit>, what: &str, seen: impl Fn(&[Sent]) -> bool) {
        while !seen(&self.sink.frames.lock()) {
            self.publish(&units.next().unwrap_or_else(|| panic!("no {what} to the end of the clip")));
            // As a camera would, not faster than they are taken.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) -> Vec<Sent> {
        self.cancel.cancel();
        self.running.await.unwrap();
        assert_eq!(self.hub.subscribers(), 0);
        std::mem::take(&mut self.sink.frames.lock())
    }
}

/// The frames of `units` that were sent when `enough` returns true.
async fn sent(
    units: &[AccessUnit],
    params: JpegParams,
    max_bytes: usize,
    enough: impl Fn(&[Sent]) -> bool,
) -> Vec<(FrameHeaders, Bytes)> {
    let scene = Scene::start(Demand { jpeg: Some(params), ..Demand::default() }, max_bytes);
    while scene.hub.subscribers() == 0 {
        tokio::task::yield_now().await;
    }
    // Not faster than they are taken, as a camera would; a queue in front drops the surplus.
    for unit in units {
        scene.publish(unit);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    scene.until("frames", enough).await;
    scene.end().await.into_iter().map(|sent| (sent.headers, sent.jpeg)).collect()
}

fn jpegs() -> Vec<AccessUnit> {
    let clip = Clip { width: 320, height: 240, fps: 25, pictures: 50, group: 1, b_pictures: 0 };
    clip.encode_as(ClipStyle { codec: VideoCodec::Jpeg, ..ClipStyle::PLAIN })
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
    // Decoders skip the bytes after the end of the picture.
    units[2].data = [&units[2].data[..], &vec![0; max_bytes]].concat().into();
    let params = JpegParams { max_fps: 25, max_width: 320, quality: 30 };
    let frames = sent(&units, params, max_bytes, |frames| frames.len() >= 6).await;
    assert!(frames.iter().all(|(_, jpeg)| jpeg.len() <= max_bytes));
    assert_eq!((&frames[0].1, &frames[1].1), (&units[0].data, &units[1].data));
    assert!(frames[2..].iter().all(|(headers, jpeg)| headers.width == 320 && units.iter().all(|u| u.data != *jpeg)));
    assert!(frames.windows(2).all(|two| two[1].0.seq == two[0].0.seq + 1));
}

fn scaled(widths: &[u32]) -> Option<ScaledJpeg> {
    let widths = JpegWidth::all().filter(|width| widths.contains(&width.pixels())).collect();
    Some(ScaledJpeg { widths, max_fps: 25, quality: 80 })
}

/// Frames for one subject.
fn of(frames: &[Sent], step: Option<u32>) -> Vec<&Sent> {
    frames.iter().filter(|frame| frame.step == step).collect()
}

/// Numbered from one without a gap, and each later than the one before.
fn in_order(frames: &[&Sent]) -> bool {
    let numbered = frames.iter().enumerate().all(|(i, sent)| sent.headers.seq == i as u64 + 1);
    numbered && frames.windows(2).all(|two| two[1].headers.captured_at_us > two[0].headers.captured_at_us)
}

/// The clip over and over, in one time, each picture captured 40 ms after the one before.
fn endless(clip: &[AccessUnit]) -> impl Iterator<Item = AccessUnit> + '_ {
    let begin = SystemTime::now();
    (0..2000).map(move |i: u32| {
        let time = Duration::from_millis(40) * i;
        AccessUnit { pts: time, captured: begin + time, ..clip[i as usize % clip.len()].clone() }
    })
}

#[tokio::test]
async fn sizes_come_and_go_beside_each_other_while_one_decoder_runs_on() {
    let own = JpegParams { max_fps: 25, max_width: 640, quality: 80 };
    // A key frame only at the beginning of the clip: a decoder that began anew would have nothing to show for long.
    let clip = Clip { width: 640, height: 360, fps: 25, pictures: 500, group: 500, b_pictures: 0 }.encode();
    let mut units = endless(&clip).take(500);
    let scene = Scene::start(Demand { scaled: scaled(&[320]), ..Demand::default() }, 1 << 20);
    scene.play(&mut units, "tiles", |frames| of(frames, Some(320)).len() >= 5).await;
    assert!(scene.sink.frames.lock().iter().all(|sent| sent.step == Some(320)));
    for (demand, wanted) in [
        (Demand { jpeg: Some(own), scaled: scaled(&[160, 320, 1920]), ..Demand::default() }, [None, Some(1920)]),
        (Demand { scaled: scaled(&[160, 320]), ..Demand::default() }, [Some(160), Some(320)]),
    ] {
        scene.demand.send_replace(demand);
        let before = scene.sink.frames.lock().len();
        let more = |frames: &[Sent]| wanted.iter().all(|step| of(&frames[before..], *step).len() >= 5);
        scene.play(&mut units, "other sizes", more).await;
    }
    let frames = scene.end().await;
    let shapes = [None, Some(160), Some(320), Some(1920)].map(|step| {
        let of_step = of(&frames, step);
        assert!(in_order(&of_step), "{step:?}");
        (of_step[0].headers.width, of_step[0].headers.height)
    });
    assert_eq!(shapes, [(640, 360), (160, 90), (320, 180), (640, 360)]);
}

#[tokio::test]
async fn further_sizes_of_a_jpeg_camera_are_encoded_beside_its_own_pictures() {
    let own = Some(JpegParams { max_fps: 25, max_width: 320, quality: 80 });
    let clip = jpegs();
    let mut units = endless(&clip);
    let passes = |frames: &[Sent], n: usize| of(frames, None).len() >= n;
    let scene = Scene::start(Demand { jpeg: own, ..Demand::default() }, 1 << 20);
    scene.play(&mut units, "pictures", |frames| passes(frames, 3)).await;
    scene.demand.send_replace(Demand { jpeg: own, scaled: scaled(&[160, 640]), ..Demand::default() });
    let both = |frames: &[Sent]| of(frames, Some(160)).len() >= 5 && of(frames, Some(640)).len() >= 5;
    scene.play(&mut units, "tiles", both).await;
    scene.demand.send_replace(Demand { jpeg: own, ..Demand::default() });
    let before = of(&scene.sink.frames.lock(), None).len();
    scene.play(&mut units, "pictures alone", |frames| passes(frames, before + 5)).await;
    let frames = scene.end().await;
    for (step, shape, as_it_is) in
        [(None, (320, 240), true), (Some(640), (320, 240), true), (Some(160), (160, 120), false)]
    {
        let of_step = of(&frames, step);
        assert!(in_order(&of_step), "{step:?}");
        assert!(of_step.iter().all(|sent| (sent.headers.width, sent.headers.height) == shape), "{step:?}");
        let cameras = |sent: &&Sent| clip.iter().any(|unit| unit.data == sent.jpeg);
        assert!(of_step.iter().all(|sent| cameras(sent) == as_it_is), "{step:?}");
    }
}

#[tokio::test]
async fn only_the_size_that_is_too_large_becomes_coarser() {
    let clip = Clip { width: 640, height: 360, fps: 25, pictures: 50, group: 25, b_pictures: 0 };
    let clip = clip.encode_as(ClipStyle { pattern: "snow", ..ClipStyle::PLAIN });
    let own = JpegParams { max_fps: 25, max_width: 640, quality: 95 };
    let tiles = scaled(&[160]);
    // Snow at this size and quality is twice as large.
    let scene = Scene::start(Demand { jpeg: Some(own), scaled: tiles, ..Demand::default() }, 120_000);
    scene.play(&mut endless(&clip), "coarser frames", |frames| of(frames, None).len() >= 3).await;
    let frames = scene.end().await;
    assert!(of(&frames, None).iter().all(|sent| sent.jpeg.len() <= 120_000));
    let first = of(&frames, None)[0].headers.seq;
    assert!(first > 1, "those before were refused");
    let tiles = of(&frames, Some(160));
    assert!(in_order(&tiles) && !tiles.is_empty());
}
