//! The whole output, from a hub to the disk.

use super::*;
use crate::hls::disk::DiskUse;
use crate::metrics::StreamMetrics;
use crate::pipeline::test_clip::Clip;
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::slug::Slug;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Report(Mutex<(u64, u64, Option<String>)>, AtomicUsize);

impl HlsReport for Report {
    fn progress(&self, media_sequence: u64, discontinuity_sequence: u64) {
        let mut report = self.0.lock().unwrap();
        (report.0, report.1) = (media_sequence, discontinuity_sequence);
    }
    fn listed(&self, segments: usize, _target_s: u64) {
        self.1.store(segments, Ordering::Relaxed);
    }
    fn error(&self, text: Option<String>) {
        self.0.lock().unwrap().2 = text;
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
    dir: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

fn begin(root: &Path, budget: u64) -> Bench {
    begin_with(root, budget, 3)
}

fn begin_with(root: &Path, budget: u64, window_segments: u32) -> Bench {
    let (slug, fence) = (Slug::parse("door").unwrap(), Fence { epoch: Epoch(9), revision: 1 });
    let metrics = Arc::new(StreamMetrics::new(&prometheus::Registry::new()).unwrap());
    let (hub, report, lingering) = (Arc::new(StreamHub::default()), Arc::new(Report::default()), Lingering::default());
    let output = HlsOutput {
        slug: slug.to_string(),
        fence,
        params: HlsParams {
            segment_seconds: 1,
            window_segments,
            part_ms: 0,
            always_on: false,
            renditions: RenditionSet::NONE,
        },
        hub: hub.clone(),
        dir: SegmentDir::new(root, &slug, fence, DiskUse::new(budget)),
        lingering: lingering.clone(),
        metrics: metrics.stream(&slug),
        report: report.clone(),
        first_media_sequence: 100,
        first_discontinuity_sequence: 7,
    };
    let (demand, receiver) = watch::channel(Demand { hls: true, ..Demand::default() });
    let cancel = CancellationToken::new();
    let task = tokio::spawn(output.run(Wish { demand: receiver, cancel: cancel.clone() }));
    Bench { hub, demand, cancel, report, lingering, dir: root.join("door/9-1"), task }
}

impl Bench {
    /// Waits until `seen` is true of the media playlist; it is empty while there is none.
    async fn until(&self, seen: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let text = std::fs::read_to_string(self.dir.join("source.m3u8")).unwrap_or_default();
            if seen(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "last seen: {text} {:?}", self.report.0.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
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
    Clip { width: 320, height: 240, fps: 25, pictures: 130, group: 25, b_pictures: 0 }.encode()
}

#[tokio::test]
async fn a_break_of_time_is_a_discontinuity_and_numbers_go_on() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip());
    let bench = begin(root.path(), u64::MAX);
    bench.publish(&units, 1).await;
    bench.until(|text| text.contains("9-1/source/104.m4s")).await;
    assert!(bench.dir.join("index.m3u8").exists());
    bench.publish(&units[25..80], 2).await;
    let text = bench.until(|text| text.contains("/106.m4s")).await;
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:104\n#EXT-X-DISCONTINUITY-SEQUENCE:7\n"), "{text}");
    assert!(text.contains("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"9-1/source/init-1.mp4\"\n"), "{text}");
    assert!(text.lines().filter(|l| l.starts_with("#EXTINF")).all(|l| l == "#EXTINF:1.00000,"), "{text}");
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
        units[..125].chunks(25).map(|group| group.iter().map(|u| u.data.len() as u64).sum::<u64>() + 600).collect();
    let four = segments.windows(4).map(|s| s.iter().sum()).max().unwrap_or(u64::MAX);
    let bench = begin_with(root.path(), four, 6);
    bench.publish(&units, 1).await;
    let text = bench.until(|text| text.contains("/104.m4s")).await;
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:101\n"), "{text}");
    assert!(!bench.dir.join("source/100.m4s").exists() && bench.dir.join("source/101.m4s").exists());
    assert_eq!(bench.report.0.lock().unwrap().2, None);
    bench.end().await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_tried_again() {
    let (root, units) = (tempfile::tempdir().unwrap(), clip());
    let bench = begin(root.path(), 10);
    let deadline = Instant::now() + Duration::from_secs(20);
    bench.publish(&units, 1).await;
    while bench.report.0.lock().unwrap().2.is_none() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let text = bench.report.0.lock().unwrap().2.clone().unwrap();
    assert!(text.contains("budget of 10 bytes"), "{text}");
    assert!(!bench.dir.join("index.m3u8").exists());
    bench.end().await;
}
