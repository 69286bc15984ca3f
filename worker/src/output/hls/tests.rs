//! The whole output, from a hub to the disk.

mod codecs;
mod returns;

use super::plan::SegmentPlan;
use super::stream::HlsReport;
use super::*;
use crate::hls::disk::DiskUse;
use crate::hls::live::LiveIndex;
use crate::hls::segment_dir::SegmentDir;
use crate::hub::StreamHub;
use crate::metrics::WorkerMetrics;
use crate::pipeline::hardware::Hardware;
use crate::pipeline::test_clip::Clip;
use crate::stream_trace::{StreamTrace, Waiting};
use rsm_media::access_unit::AccessUnit;
use rsm_media::hls::query::Query;
use rsm_shared::ops::traces::Span;
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::HlsParams;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Report(Mutex<(u64, u64, Option<String>)>, AtomicUsize);

impl HlsReport for Report {
    fn progress(&self, media_sequence: u64, discontinuity_sequence: u64) {
        let mut report = self.0.lock();
        (report.0, report.1) = (media_sequence, discontinuity_sequence);
    }
    fn listed(&self, segments: usize, _target_s: u64) {
        self.1.store(segments, Ordering::Relaxed);
    }
    fn error(&self, text: Option<String>) {
        self.0.lock().2 = text;
    }
    fn fps(&self) -> Option<f64> {
        Some(25.0)
    }
}

struct Bench {
    hub: Arc<StreamHub>,
    demand: watch::Sender<Demand>,
    cancel: CancellationToken,
    report: Arc<Report>,
    lingering: Lingering,
    live: LiveIndex,
    encoders: Arc<Semaphore>,
    dir: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

fn begin(root: &Path, budget: u64) -> Bench {
    begin_with(root, budget, 3)
}

fn begin_with(root: &Path, budget: u64, window_segments: u32) -> Bench {
    let (slug, fence) = (Slug::parse("door").unwrap(), Fence { epoch: Epoch(9), revision: 1 });
    let metrics = Arc::new(WorkerMetrics::new(&prometheus::Registry::new()).unwrap());
    let (hub, report, lingering) = (Arc::new(StreamHub::default()), Arc::new(Report::default()), Lingering::default());
    let (live, encoders) = (LiveIndex::default(), Arc::new(Semaphore::new(2)));
    let stream = HlsStream {
        slug: slug.clone(),
        fence,
        params: HlsParams {
            segment_seconds: 1,
            window_segments,
            part_ms: 200,
            always_on: false,
            renditions: RenditionSet::NONE.with(Rendition::P240),
        },
        hub: hub.clone(),
        dir: SegmentDir::new(root, &slug, fence, DiskUse::new(budget)),
        live: live.publish(&slug, fence),
        hardware: Hardware::software(),
        encoders: encoders.clone(),
        metrics: metrics.stream(&slug),
        report: report.clone(),
        plan: SegmentPlan::default(),
        trace: StreamTrace::new(slug.clone(), fence, &Span::none(), None),
        waiting: Waiting::default(),
        encoded: StreamHub::default(),
    };
    let lingering_too = lingering.clone();
    let output =
        HlsOutput { stream, lingering: lingering_too, first_media_sequence: 100, first_discontinuity_sequence: 7 };
    let (demand, receiver) = watch::channel(Demand { hls: true, ..Demand::default() });
    let cancel = CancellationToken::new();
    let task = tokio::spawn(output.run(OutputDemand { demand: receiver, cancel: cancel.clone(), hls_always: false }));
    Bench { hub, demand, cancel, report, lingering, live, encoders, dir: root.join("door/9-1"), task }
}

impl Bench {
    /// Waits until `seen` is true of the media playlist; it is empty while there is none.
    async fn until(&self, seen: impl Fn(&str) -> bool) -> String {
        self.until_of("source", seen).await
    }

    async fn until_of(&self, rendition: &str, seen: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let text = std::fs::read_to_string(self.dir.join(format!("{rendition}.m3u8"))).unwrap_or_default();
            if seen(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "last seen of {rendition}: {text} {:?}", self.report.0.lock());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until so many outputs listen.
    async fn until_listeners(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.hub.subscribers() != count {
            assert!(Instant::now() < deadline, "{} listen", self.hub.subscribers());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until HLS fails with a sentence that has `text` in it; empty: until it does not fail.
    async fn until_error(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let error = self.report.0.lock().2.clone().unwrap_or_default();
            if error.contains(text) && error.is_empty() == text.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "last seen: {error}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn publish(&self, units: &[AccessUnit], timeline: u64) {
        while self.hub.subscribers() == 0 {
            tokio::task::yield_now().await;
        }
        for unit in units {
            self.hub.publish(AccessUnit { timeline, ..unit.clone() });
        }
    }

    async fn end(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
        assert!(!self.dir.join("index.m3u8").exists());
        self.lingering.close().await;
        assert!(!self.dir.exists());
    }
}

fn clip() -> Vec<AccessUnit> {
    clip_of(320, 240, 0)
}

fn clip_of(width: i32, height: i32, b_pictures: u32) -> Vec<AccessUnit> {
    Clip { width, height, fps: 25, pictures: 130, group: 25, b_pictures }.encode()
}

#[tokio::test]
async fn a_break_of_time_is_a_discontinuity_and_numbers_go_on() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip());
    let bench = begin(root.path(), u64::MAX);
    bench.publish(&units, 1).await;
    bench.until(|text| text.contains("9-1/source/104.m4s")).await;
    assert!(bench.dir.join("index.m3u8").exists());
    bench.publish(&units[25..60], 2).await;
    let text = bench.until(|text| text.contains("/106.m4s")).await;
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:103\n#EXT-X-DISCONTINUITY-SEQUENCE:7\n"), "{text}");
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("#EXTINF") || *l == "#EXT-X-DISCONTINUITY").collect();
    // The rest before the break is a segment, because its parts may have been fetched.
    let rest = ["#EXTINF:1.00000,", "#EXTINF:1.00000,", "#EXTINF:0.20000,", "#EXT-X-DISCONTINUITY", "#EXTINF:1.00000,"];
    assert_eq!(lines, rest, "{text}");
    bench.end().await;
}

#[tokio::test]
async fn demand_that_ends_takes_the_playlists_and_numbers_never_go_back() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip());
    let bench = begin(root.path(), u64::MAX);
    bench.publish(&units, 1).await;
    bench.until(|text| text.contains("/104.m4s")).await;
    bench.demand.send_replace(Demand::default());
    bench.until(str::is_empty).await;
    while bench.hub.subscribers() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(bench.dir.join("source/104.m4s").exists());
    bench.hub.forget();
    bench.demand.send_replace(Demand { hls: true, ..Demand::default() });
    bench.publish(&units, 2).await;
    let text = bench.until(|text| text.contains("EXTINF")).await;
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:8\n") && !text.contains("/104.m4s"), "{text}");
    bench.end().await;
}

#[tokio::test]
async fn over_the_budget_the_playlist_gets_shorter_before_it_goes() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip());
    // Five whole groups. Segments are a few boxes larger than their pictures.
    let segments: Vec<u64> =
        units[..125].chunks(25).map(|group| group.iter().map(|u| u.data.len() as u64).sum::<u64>() + 1500).collect();
    let four = segments.windows(4).map(|s| s.iter().sum()).max().unwrap_or(u64::MAX);
    let bench = begin_with(root.path(), four, 6);
    bench.publish(&units, 1).await;
    let text = bench.until(|text| text.contains("/104.m4s")).await;
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:101\n"), "{text}");
    assert!(!bench.dir.join("source/100.m4s").exists() && bench.dir.join("source/101.m4s").exists());
    assert_eq!(bench.report.0.lock().2, None);
    bench.end().await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_tried_again() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip());
    let bench = begin(root.path(), 10);
    let deadline = Instant::now() + Duration::from_secs(20);
    bench.publish(&units, 1).await;
    while bench.report.0.lock().2.is_none() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let text = bench.report.0.lock().2.clone().unwrap();
    assert!(text.contains("budget of 10 bytes"), "{text}");
    assert!(!bench.dir.join("index.m3u8").exists());
    bench.end().await;
}

/// Parts, and the playlist that announces them.
#[tokio::test]
async fn parts_can_be_had_before_their_segment_is_whole() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip());
    let bench = begin(root.path(), u64::MAX);
    bench.publish(&units[..40], 1).await;
    bench.until(|text| text.contains("/100.m4s")).await;
    let reader = bench.live.find(&Slug::parse("door").unwrap(), Fence { epoch: Epoch(9), revision: 1 }).unwrap();
    let query = Query { msn: Some(101), part: Some(1), skip: false };
    let text = tokio::time::timeout(Duration::from_secs(20), reader.playlist(Rendition::Source, query)).await;
    let text = text.unwrap().unwrap();
    assert!(text.contains("URI=\"9-1/source/101.1.m4s\"") && !text.contains("/101.m4s"), "{text}");
    assert!(text.contains("#EXT-X-PRELOAD-HINT:TYPE=PART"), "{text}");
    bench.end().await;
}

/// Everything of `rendition` that its playlist lists, one after the other.
fn play(bench: &Bench, playlist: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in playlist.lines() {
        let init = line.strip_prefix("#EXT-X-MAP:URI=\"").map(|uri| uri.trim_end_matches('"'));
        if let Some(uri) = init.or_else(|| Some(line).filter(|line| line.ends_with(".m4s"))) {
            let path = uri.strip_prefix("9-1/").unwrap();
            bytes.extend(std::fs::read(bench.dir.join(path)).unwrap());
        }
    }
    bytes
}

/// Streams of a file as ffprobe sees them: codec, width, height, packets; no word of an error.
fn probe(root: &Path, bytes: &[u8]) -> Vec<String> {
    let file = root.join("played.mp4");
    std::fs::write(&file, bytes).unwrap();
    let entries = "stream=codec_name,width,height,channels,nb_read_frames";
    let output = std::process::Command::new("ffprobe")
        .args(["-v", "warning", "-count_frames", "-show_entries", entries, "-of", "compact=p=0:nk=1"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_rendition_that_is_wanted_has_the_numbers_of_the_source() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip_of(640, 360, 0));
    let bench = begin_with(root.path(), u64::MAX, 6);
    bench.demand.send_replace(Demand {
        hls: true,
        renditions: RenditionSet::NONE.with(Rendition::P240),
        ..Demand::default()
    });
    // The source comes first.
    bench.publish(&units[..1], 1).await;
    bench.until_listeners(2).await;
    bench.publish(&units[1..], 1).await;
    let low = bench.until_of("240p", |text| text.contains("/103.m4s")).await;
    assert!(low.contains("#EXT-X-MEDIA-SEQUENCE:100\n"), "{low}");
    assert_eq!(probe(root.path(), &play(&bench, &low)), ["h264|426|240|100"]);
    let source = bench.until(|text| text.contains("/103.m4s")).await;
    let times = |text: &str| {
        text.lines()
            .filter(|l| l.contains("DATE-TIME") || l.starts_with("#EXTINF"))
            .map(str::to_owned)
            .take(8)
            .collect::<Vec<_>>()
    };
    assert_eq!(times(&low), times(&source));
    let index = std::fs::read_to_string(bench.dir.join("index.m3u8")).unwrap();
    assert!(index.contains("RESOLUTION=640x360") && index.contains("RESOLUTION=426x240"), "{index}");
    bench.demand.send_replace(Demand { hls: true, ..Demand::default() });
    bench.until_of("240p", str::is_empty).await;
    assert!(bench.dir.join("source.m3u8").exists());
    bench.end().await;
}

#[tokio::test]
async fn b_pictures_and_audio_come_out_as_they_went_in() {
    let root = tempfile::tempdir().unwrap();
    for b_pictures in [0, 2] {
        let units = clip_of(320, 240, b_pictures);
        let bench = begin_with(root.path(), u64::MAX, 6);
        while bench.hub.subscribers() == 0 {
            tokio::task::yield_now().await;
        }
        let audio = crate::test_units::audio();
        for (n, unit) in units.iter().enumerate() {
            bench.hub.publish(AccessUnit { timeline: 1, ..unit.clone() });
            // 40 ms of G.711 with each picture, in the presentation order.
            let pts = Duration::from_millis(40 * n as u64);
            let data = bytes::Bytes::from(vec![0xd5; 320]);
            bench.hub.publish(AccessUnit {
                data,
                pts,
                is_key: false,
                timeline: 1,
                audio: Some(audio.clone()),
                ..unit.clone()
            });
        }
        let text = bench.until(|text| text.contains("/104.m4s")).await;
        assert_eq!(probe(root.path(), &play(&bench, &text)), ["h264|320|240|125"]);
        let text = bench.until_of("audio", |text| text.contains("/102.m4s")).await;
        let heard = probe(root.path(), &play(&bench, &text));
        assert!(heard[0].starts_with("aac|"), "{heard:?}");
        bench.until_of("index", |text| text.contains("TYPE=AUDIO") && text.contains("mp4a.40.2")).await;
        bench.end().await;
    }
}
