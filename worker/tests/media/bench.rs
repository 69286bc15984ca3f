//! An engine without NATS, and its output.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rsm_shared::ops::traces::Span;
use rsm_shared::stream::camera_link::{CameraUrl, Credentials};
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::{HlsParams, JpegParams, StreamSpec, Transport};
use rsm_shared::wire::frame_headers::FrameHeaders;
use rsm_worker::hls::disk::DiskUse;
use rsm_worker::hls::lingering::Lingering;
use rsm_worker::hls::live::LiveIndex;
use rsm_worker::metrics::{FrameLoss, WorkerMetrics};
use rsm_worker::output::frames::FrameSink;
use rsm_worker::pipeline::elements;
use rsm_worker::pipeline::hardware::Hardware;
use rsm_worker::source::open::AddressPolicy;
use rsm_worker::source::opener::{Cameras, Opener as _};
use rsm_worker::stream::camera_watch::CameraWatch;
use rsm_worker::stream::engine::{Engine, Timing};
use rsm_worker::stream::pacer::StartPacer;
use rsm_worker::stream::supervisor::{StreamContext, StreamHandle, spawn};
use rsm_worker::stream_trace::StreamTrace;
use tokio::sync::watch;

/// Longer than anything here takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Keeps every frame's headers, and the first and last picture.
#[derive(Default)]
pub struct Sink(Mutex<Vec<(FrameHeaders, Bytes)>>);

impl Sink {
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    pub fn first(&self) -> Option<(FrameHeaders, Bytes)> {
        self.0.lock().first().cloned()
    }

    pub fn last(&self) -> Option<(FrameHeaders, Bytes)> {
        self.0.lock().last().cloned()
    }

    pub fn grew_always(&self) -> bool {
        self.0.lock().windows(2).all(|pair| pair[1].0.seq > pair[0].0.seq)
    }
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
        self.0.lock().push((headers, jpeg));
        Box::pin(std::future::ready(Ok(())))
    }

    fn max_frame_bytes(&self) -> usize {
        1 << 20
    }
}

pub struct Bench {
    pub sink: Arc<Sink>,
    engine: Arc<Engine>,
    demand: watch::Sender<Demand>,
    root: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        elements::init().unwrap();
        let (sink, root) = (Arc::new(Sink::default()), tempfile::tempdir().unwrap());
        let timing = Timing {
            stall_timeout: Duration::from_secs(2),
            first_picture: Duration::from_secs(2),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(1),
            ..Timing::default()
        };
        let opener = Arc::new(Cameras { addresses: AddressPolicy::any() });
        let engine = Engine {
            frames: sink.clone(),
            hls_root: root.path().to_owned(),
            timing,
            pacer: StartPacer::default(),
            metrics: Arc::new(WorkerMetrics::new(&prometheus::Registry::new()).unwrap()),
            hardware: Hardware::software(),
            watch: CameraWatch::new(opener.reach()),
            opener,
            disk: DiskUse::new(64 << 20),
            lingering: Lingering::default(),
            live: LiveIndex::default(),
            encoders: Arc::new(tokio::sync::Semaphore::new(2)),
        };
        Self { sink, engine: Arc::new(engine), demand: watch::Sender::default(), root }
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A stream with both outputs wanted, or none.
    pub fn spawn(&self, url: &str, wanted: bool) -> StreamHandle {
        self.spawn_over(url, wanted, "auto")
    }

    pub fn spawn_over(&self, url: &str, wanted: bool, transport: &str) -> StreamHandle {
        self.want(wanted, wanted);
        let parsed = CameraUrl::parse(url).unwrap();
        let credentials = parsed.username.zip(parsed.password);
        let (slug, fence) = (Slug::parse("door").unwrap(), Fence { epoch: Epoch(9), revision: 1 });
        spawn(StreamContext {
            start: Span::none(),
            trace: StreamTrace::new(slug.clone(), fence, &Span::none(), None),
            slug,
            zone: Zone::default_zone(),
            fence,
            spec: StreamSpec {
                url: parsed.url,
                credentials: credentials.map(|(username, password)| Credentials { username, password }),
                transport: match transport {
                    "udp" => Transport::Udp,
                    "tcp" => Transport::Tcp,
                    _ => Transport::Auto,
                },
                tls_insecure: false,
                hls: HlsParams {
                    segment_seconds: 1,
                    window_segments: 6,
                    part_ms: 0,
                    always_on: false,
                    renditions: RenditionSet::NONE,
                },
            },
            first_media_sequence: 1,
            first_discontinuity_sequence: 0,
            demand: self.demand.subscribe(),
            engine: self.engine.clone(),
        })
    }

    pub fn want(&self, jpeg: bool, hls: bool) {
        let jpeg = jpeg.then_some(JpegParams { max_fps: 10, max_width: 640, quality: 80 });
        self.demand.send_replace(Demand { jpeg, hls, ..Demand::default() });
    }

    /// A playlist, empty while it is not there.
    pub fn read(&self, name: &str) -> String {
        let dir: PathBuf = self.root.path().join("door/9-1");
        std::fs::read_to_string(dir.join(name)).unwrap_or_default()
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, seen: impl Fn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !seen() {
            let playlist = self.read("source.m3u8");
            assert!(Instant::now() < deadline, "no {what}; {} frames; last playlist: {playlist}", self.sink.count());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Nothing may be left on disk.
    pub async fn close(self) {
        self.engine.lingering.close().await;
        assert_eq!(std::fs::read_dir(self.root.path()).unwrap().count(), 0);
        assert_eq!(self.engine.disk.used(), 0);
    }
}

/// Files and sockets of this process.
pub fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
