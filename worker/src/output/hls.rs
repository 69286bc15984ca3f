//! HLS: while it is wanted, the encoded pictures of a stream as segments on disk and a playlist over them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::spec::HlsParams;
use tokio::time::Instant;

use super::wish::Wish;
use crate::hls::disk::{DiskError, Lingering, SegmentDir};
use crate::hls::playlist::{Listed, Variant, Window};
use crate::hls::segmenter::{Cut, Segment, Segmenter};
use crate::media::access_unit::{AccessUnit, VideoParameters};
use crate::media::hub::{StreamHub, Subscription};
use crate::media::queue::{MAX_BYTES, MAX_UNITS, Popped};
use crate::metrics::StreamSeries;
use crate::pipeline::PipelineError;
use crate::pipeline::to_cmaf::{CmafFeeder, CmafOutput, CmafPipeline};

/// Wait after a failure: doubled each time from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A muxer that was told to end has this long to hand out the rest.
const FINISH_DEADLINE: Duration = Duration::from_secs(2);

/// How far HLS has come, and what ails it. Read by the heartbeat.
pub trait HlsReport: Send + Sync + 'static {
    /// The numbers that the next segment gets.
    fn progress(&self, media_sequence: u64, discontinuity_sequence: u64);
    /// A sentence for people while HLS cannot be made; `None` when it can.
    fn error(&self, text: Option<String>);
    /// Pictures per second as measured.
    fn fps(&self) -> Option<f64>;
}

/// What the output of one stream needs.
pub struct HlsOutput {
    pub slug: String,
    pub fence: Fence,
    pub params: HlsParams,
    pub hub: Arc<StreamHub>,
    pub dir: SegmentDir,
    pub lingering: Lingering,
    pub metrics: StreamSeries,
    pub report: Arc<dyn HlsReport>,
    pub first_media_sequence: u64,
    pub first_discontinuity_sequence: u64,
}

/// Why HLS stops for a while.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("HLS cannot be muxed")]
    Pipeline(#[from] PipelineError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the camera sends key pictures too rarely for HLS; set its key frame interval to 1 to 4 seconds")]
    NoKeyPicture,
}

/// Why a muxer is ended without a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// The next unit is of other time or parameters, or units are missing.
    Timeline,
    /// Nobody wants HLS now, or the stream ends.
    Unwanted,
}

impl HlsOutput {
    /// Runs until the stream ends; leaves no playlist, and no file after the lingering.
    pub async fn run(self, mut wish: Wish) {
        let prefix = format!("{}/source", self.fence.dir_name());
        let target = Duration::from_secs(u64::from(self.params.segment_seconds));
        let window = Window::new(self.params.window_segments as usize, target);
        let mut state = State {
            output: self,
            prefix,
            target,
            window,
            buried: VecDeque::new(),
            next_init: 0,
            sequence: 0,
            discontinuity: 0,
            unbroken: false,
            multivariant: String::new(),
        };
        state.sequence = state.output.first_media_sequence;
        state.discontinuity = state.output.first_discontinuity_sequence;
        state.report_progress();
        state.serve(&mut wish).await;
        let State { output, .. } = state;
        output.report.error(None);
        output.dir.retire(&output.lingering).await;
    }
}

/// A segment or an init file that no playlist lists.
struct Buried {
    until: Instant,
    sequence: u64,
    len: u64,
    init: u64,
}

struct State {
    output: HlsOutput,
    /// What the media playlist's URIs begin with.
    prefix: String,
    target: Duration,
    window: Window,
    /// Kept for players that have an older playlist; at most as many as a window lists, times two.
    buried: VecDeque<Buried>,
    next_init: u64,
    /// Of the next segment.
    sequence: u64,
    discontinuity: u64,
    /// A segment has that number.
    unbroken: bool,
    /// As last written; empty when there is none.
    multivariant: String,
}

impl State {
    async fn serve(&mut self, wish: &mut Wish) {
        let mut retry = RETRY.0;
        while self.wait_until_wanted(wish).await {
            let before = self.sequence;
            match self.produce(wish).await {
                Ok(()) => retry = RETRY.0,
                Err(fault) => {
                    self.withdraw_after(&fault).await;
                    retry = if self.sequence > before { RETRY.0 } else { retry };
                    wish.pause(retry).await;
                    self.sweep().await;
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
    }

    /// Until HLS is wanted; removes meanwhile what has lingered long enough. `false` when the stream ends.
    async fn wait_until_wanted(&mut self, wish: &mut Wish) -> bool {
        loop {
            let next = self.buried.front().map(|buried| buried.until);
            let sweep = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                wanted = wish.until_hls() => return wanted,
                () = sweep => self.sweep().await,
            }
        }
    }

    /// One muxer after the other while HLS is wanted.
    async fn produce(&mut self, wish: &mut Wish) -> Result<(), Fault> {
        let subscription = self.output.hub.subscribe();
        let mut first = None;
        loop {
            let first_unit = tokio::select! {
                unit = subscription.next_key(first.take()) => unit,
                () = wish.until_no_hls() => break,
            };
            let (ended, next) = self.mux(first_unit, &subscription, wish).await?;
            if ended == Break::Unwanted {
                break;
            }
            first = next;
        }
        self.withdraw().await;
        Ok(())
    }

    /// One muxer, from a key picture to a break. Gives back the unit behind the break.
    async fn mux(
        &mut self,
        first: Arc<AccessUnit>,
        subscription: &Subscription,
        wish: &mut Wish,
    ) -> Result<(Break, Option<Arc<AccessUnit>>), Fault> {
        let (mut pipeline, output) = CmafPipeline::start(&first.video).await?;
        let mut run = MuxRun {
            segmenter: Segmenter::new(self.target, true),
            began: first.arrived_wall,
            video: first.video.clone(),
            init: None,
            output,
        };
        let (feeder, failed) = pipeline.split();
        let result = tokio::select! {
            ended = self.feed_and_write(&mut run, feeder, first, subscription, wish) => ended,
            error = failed => Err(error.into()),
        };
        // The muxer's thread may be waiting for room: without a receiver it does not.
        drop(run);
        pipeline.stop().await;
        result
    }

    async fn feed_and_write(
        &mut self,
        run: &mut MuxRun,
        feeder: &mut CmafFeeder,
        first: Arc<AccessUnit>,
        subscription: &Subscription,
        wish: &mut Wish,
    ) -> Result<(Break, Option<Arc<AccessUnit>>), Fault> {
        let ended = {
            let feeding = async {
                tokio::select! {
                    fed = feed(feeder, first, subscription) => fed,
                    () = wish.until_no_hls() => Ok((Break::Unwanted, None)),
                }
            };
            tokio::select! {
                fed = feeding => fed?,
                written = self.write_all(run) => {
                    written?;
                    return Err(PipelineError::Ended.into());
                }
            }
        };
        if ended.0 == Break::Timeline {
            feeder.end();
            // What does not come in time is lost; a break is there anyway.
            if let Ok(written) = tokio::time::timeout(FINISH_DEADLINE, self.write_all(run)).await {
                written?;
            }
            if let Some(rest) = run.segmenter.finish() {
                self.write_segment(run, rest).await?;
            }
        }
        self.break_time();
        Ok(ended)
    }

    /// Writes what the muxer makes until it ends.
    async fn write_all(&mut self, run: &mut MuxRun) -> Result<(), Fault> {
        while let Some(output) = run.output.recv().await {
            for cut in run.segmenter.push(output) {
                match cut {
                    Cut::Init(parts) => {
                        self.output.dir.write_init(self.next_init, parts).await?;
                        run.init = Some(self.next_init);
                        self.next_init += 1;
                    }
                    Cut::Segment(segment) => self.write_segment(run, segment).await?,
                }
            }
        }
        Ok(())
    }

    async fn write_segment(&mut self, run: &MuxRun, segment: Segment) -> Result<(), Fault> {
        let Some(init) = run.init else { return Ok(()) };
        self.sweep().await;
        let (sequence, len) = (self.sequence, segment.len());
        let at = run.began + segment.start;
        let duration = segment.duration;
        self.output.dir.write_segment(sequence, segment.parts).await?;
        self.sequence += 1;
        self.unbroken = true;
        let gone = self.window.push(Listed { sequence, duration, len, discontinuity: self.discontinuity, init, at });
        self.bury(gone);
        let multivariant = self.multivariant(&run.video);
        let changed = (multivariant != self.multivariant).then(|| multivariant.clone());
        self.output.dir.write_playlists(self.window.render(&self.prefix), changed).await?;
        self.multivariant = multivariant;
        self.output.metrics.hls_segment(len);
        self.output.report.error(None);
        self.report_progress();
        Ok(())
    }

    /// Bandwidth is rounded up to two digits, so that the file changes seldom.
    fn multivariant(&self, video: &VideoParameters) -> String {
        let (peak, average) = self.window.bandwidth();
        let fps = self.output.report.fps().or(video.declared_fps);
        Variant {
            codecs: &video.rfc6381,
            width: video.width,
            height: video.height,
            frame_rate: fps,
            peak: two_digits_up(peak),
            average: two_digits_up(average),
            uri: "source.m3u8",
        }
        .render()
    }

    /// Nothing is playable any more; the files stay for a window's time.
    async fn withdraw(&mut self) {
        self.output.dir.remove_playlists().await;
        self.multivariant.clear();
        let gone = self.window.clear();
        self.bury(gone);
        self.window = Window::new(self.output.params.window_segments as usize, self.target);
    }

    async fn withdraw_after(&mut self, fault: &Fault) {
        self.output.report.error(Some(fault.to_string()));
        self.output.metrics.output_failed("hls");
        let detail = std::error::Error::source(fault).map(ToString::to_string);
        tracing::warn!(stream = %self.output.slug, error = %fault, detail, "HLS stops for a while");
        self.break_time();
        self.withdraw().await;
        if matches!(fault, Fault::Disk(_)) {
            // Room is what is missing: give back what nobody lists.
            self.buried.iter_mut().for_each(|buried| buried.until = Instant::now());
            self.sweep().await;
        }
    }

    fn bury(&mut self, gone: Vec<Listed>) {
        let until = Instant::now() + self.target * self.output.params.window_segments;
        self.buried.extend(gone.into_iter().map(|s| Buried { until, sequence: s.sequence, len: s.len, init: s.init }));
    }

    /// Removes the segments whose time is over, and the init files that no later segment needs.
    async fn sweep(&mut self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        let mut inits = Vec::new();
        while let Some(buried) = self.buried.pop_front_if(|buried| buried.until <= now) {
            gone.push((buried.sequence, buried.len));
            let last_of_init = self.buried.front().map_or(self.window.first_init(), |next| Some(next.init));
            if last_of_init != Some(buried.init) && buried.init + 1 < self.next_init {
                inits.push(buried.init);
            }
        }
        if !gone.is_empty() {
            self.output.dir.remove_segments(gone).await;
        }
        if !inits.is_empty() {
            self.output.dir.remove_inits(inits).await;
        }
    }

    /// What comes next does not follow what was. Numbers go up by one per break that a playlist shows: one without a
    /// segment before it shows nowhere.
    fn break_time(&mut self) {
        self.discontinuity += u64::from(std::mem::take(&mut self.unbroken));
        self.report_progress();
    }

    fn report_progress(&self) {
        self.output.report.progress(self.sequence, self.discontinuity);
    }
}

/// What belongs to one muxer's life.
struct MuxRun {
    segmenter: Segmenter,
    /// When its first picture reached the worker.
    began: SystemTime,
    video: Arc<VideoParameters>,
    init: Option<u64>,
    output: CmafOutput,
}

/// Feeds units until one does not belong to the same timeline.
async fn feed(
    feeder: &mut CmafFeeder,
    first: Arc<AccessUnit>,
    subscription: &Subscription,
) -> Result<(Break, Option<Arc<AccessUnit>>), Fault> {
    let timeline = first.timeline;
    let (mut units, mut bytes) = (0, 0);
    let mut unit = first;
    loop {
        if unit.is_key {
            (units, bytes) = (0, 0);
        }
        (units, bytes) = (units + 1, bytes + unit.data.len());
        if units > MAX_UNITS || bytes > MAX_BYTES {
            // The muxer keeps a whole group; without this bound it would keep an endless one.
            return Err(Fault::NoKeyPicture);
        }
        feeder.push(&unit).await?;
        unit = match subscription.next().await {
            Popped::Unit(next) if next.timeline == timeline => next,
            Popped::Unit(next) => return Ok((Break::Timeline, Some(next))),
            Popped::Lost(_) => return Ok((Break::Timeline, None)),
        };
    }
}

fn two_digits_up(value: u64) -> u64 {
    let mut unit = 1;
    while value / unit >= 100 {
        unit *= 10;
    }
    value.div_ceil(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::disk::DiskUse;
    use crate::metrics::StreamMetrics;
    use crate::pipeline::test_clip::Clip;
    use rsm_shared::stream::demand::Demand;
    use rsm_shared::stream::fence::Epoch;
    use rsm_shared::stream::slug::Slug;
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    #[derive(Default)]
    struct Report(Mutex<(u64, u64, Option<String>)>);

    impl HlsReport for Report {
        fn progress(&self, media_sequence: u64, discontinuity_sequence: u64) {
            let mut report = self.0.lock().unwrap();
            (report.0, report.1) = (media_sequence, discontinuity_sequence);
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
        let (slug, fence) = (Slug::parse("door").unwrap(), Fence { epoch: Epoch(9), revision: 1 });
        let metrics = Arc::new(StreamMetrics::new(&prometheus::Registry::new()).unwrap());
        let (hub, report, lingering) =
            (Arc::new(StreamHub::default()), Arc::new(Report::default()), Lingering::default());
        let output = HlsOutput {
            slug: slug.to_string(),
            fence,
            params: HlsParams { segment_seconds: 1, window_segments: 3 },
            hub: hub.clone(),
            dir: SegmentDir::new(root, &slug, fence, DiskUse::new(budget)),
            lingering: lingering.clone(),
            metrics: metrics.stream(&slug),
            report: report.clone(),
            first_media_sequence: 100,
            first_discontinuity_sequence: 7,
        };
        let (demand, receiver) = watch::channel(Demand { jpeg: None, hls: true });
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
        bench.demand.send_replace(Demand { jpeg: None, hls: true });
        bench.publish(&units, 2).await;
        let text = bench.until(|text| text.contains("EXTINF")).await;
        assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:8\n") && !text.contains("/104.m4s"), "{text}");
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

    #[test]
    fn rounds_bandwidth_up() {
        for (value, want) in [(0, 0), (7, 7), (99, 99), (101, 110), (4_123_456, 4_200_000), (4_200_000, 4_200_000)] {
            assert_eq!(two_digits_up(value), want);
        }
    }
}
