//! Watchers of a stream that record every error: over a WebSocket as a viewer does, or on NATS as a foreign consumer
//! does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use rsm_simulator::schedule::Schedule;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::viewer::frame_number;
use super::{eventually, within};

/// The cameras of a farm. The clip is long, because ages are known only up to its length.
pub const FPS: u32 = 25;
pub const CLIP_SECONDS: u32 = 60;
/// A picture that was captured this much before one already shown is stale. A new owner may begin with the newest key
/// picture, which is up to a group of pictures (one second) old.
const STALE: Duration = Duration::from_secs(2);
/// Demand for a consumer of our own is said again this often, and holds this long.
const DEMAND_EVERY: Duration = Duration::from_secs(2);
const DEMAND_TTL_MS: u64 = 6000;

/// Observations of one watcher.
#[derive(Clone, Debug, Default)]
pub struct WatchObservations {
    pub frames: u64,
    /// Between two frames, or since the last one.
    pub longest_gap: Duration,
    pub last: Option<Instant>,
    /// Frames older than the newest shown one.
    pub stale: u64,
    /// Age of the oldest frame when it was seen.
    pub oldest: Duration,
    /// The socket was closed, by whomever.
    pub closed: bool,
    /// Capture time of the newest frame, since the Unix epoch.
    newest: Duration,
}

impl WatchObservations {
    fn frame(&mut self, jpeg: &[u8]) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.longest_gap = self.longest_gap.max(now - last);
        }
        self.frames += 1;
        let Some(number) = frame_number(jpeg) else { return };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = Schedule::new(FPS, CLIP_SECONDS).unwrap().age(number, unix);
        let captured = unix.saturating_sub(age);
        self.stale += u64::from(captured + STALE < self.newest);
        self.newest = self.newest.max(captured);
        self.oldest = self.oldest.max(age);
    }

    fn until_now(mut self) -> Self {
        if let Some(last) = self.last {
            self.longest_gap = self.longest_gap.max(last.elapsed());
        }
        self
    }

    fn begin(&mut self) {
        (self.longest_gap, self.oldest) = (Duration::ZERO, Duration::ZERO);
        self.last = self.last.map(|_| Instant::now());
    }
}

/// A viewer over WebSocket that stays.
pub struct Watcher {
    pub slug: String,
    seen: Arc<Mutex<WatchObservations>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// `base` is `http://host:port`.
    pub async fn open(base: &str, slug: &str) -> Self {
        let url = format!("{}/ws/stream/{slug}/", base.replace("http://", "ws://"));
        let (mut socket, _) = within("a WebSocket", tokio_tungstenite::connect_async(url)).await.unwrap();
        let seen = Arc::new(Mutex::new(WatchObservations::default()));
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                match message {
                    Message::Binary(jpeg) => noted.lock().frame(&jpeg),
                    Message::Close(_) => break,
                    _ => {}
                }
            }
            noted.lock().closed = true;
        });
        Self { slug: slug.to_owned(), seen, task }
    }

    pub fn seen(&self) -> WatchObservations {
        self.seen.lock().clone().until_now()
    }

    /// Gaps and ages count from now on.
    pub fn begin(&self) {
        self.seen.lock().begin();
    }

    /// Waits for `count` more frames, of which none may be stale.
    pub async fn more(&self, count: u64) {
        self.goes_on(count).await;
        self.fine();
    }

    /// Waits for `count` more frames, however old: where two live workers hand a stream over, the new one may be as far
    /// behind the other as the machine is busy.
    pub async fn goes_on(&self, count: u64) {
        let before = self.seen().frames;
        let what = format!("{count} more frames of {}", self.slug);
        let seen = eventually(&what, async || self.seen(), |seen| seen.closed || seen.frames >= before + count).await;
        assert!(!seen.closed, "the socket of {} was closed: {seen:?}", self.slug);
    }

    /// The socket is open, and nothing stale came.
    pub fn fine(&self) {
        let seen = self.seen();
        assert!(!seen.closed, "the socket of {} was closed: {seen:?}", self.slug);
        assert_eq!(seen.stale, 0, "{} showed stale frames: {seen:?}", self.slug);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Messages on the frame subject of one stream.
#[derive(Clone, Debug, Default)]
pub struct OnNats {
    pub frames: u64,
    /// Every `Rsm-Fence` (epoch, revision) in the order of first sight, with the frames that carried it.
    pub fences: Vec<((u64, u64), u64)>,
    pub longest_gap: Duration,
    pub last: Option<Instant>,
    /// `Rsm-Published-At` of the newest frame, microseconds since the Unix epoch.
    pub published_at_us: u64,
}

/// A consumer of our own that reads the frames of every stream, and wants those that it was told of.
pub struct NatsWatcher {
    seen: Arc<Mutex<BTreeMap<String, OnNats>>>,
    tasks: [JoinHandle<()>; 2],
}

impl NatsWatcher {
    /// Looks at all frames, and says demand for `wanted`.
    pub async fn open(url: &str, wanted: Vec<String>) -> Self {
        let options = async_nats::ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(100));
        let client = within("a connection to nats-server", options.connect(url)).await.unwrap();
        let mut frames = client.subscribe("rsm.v1.frame.default.*").await.unwrap();
        within("a subscription", client.flush()).await.unwrap();
        let seen = Arc::new(Mutex::new(BTreeMap::<String, OnNats>::new()));
        let noted = seen.clone();
        let reading = tokio::spawn(async move {
            while let Some(frame) = frames.next().await {
                let slug = frame.subject.rsplit('.').next().unwrap().to_owned();
                let headers = frame.headers.unwrap_or_default();
                let header = |name: &str| headers.get(name).map_or("", |value| value.as_str());
                let fence = header("Rsm-Fence").split_once('.').expect("a fence");
                let fence = (fence.0.parse().unwrap(), fence.1.parse().unwrap());
                let mut all = noted.lock();
                let stream = all.entry(slug).or_default();
                let now = Instant::now();
                if let Some(last) = stream.last.replace(now) {
                    stream.longest_gap = stream.longest_gap.max(now - last);
                }
                stream.frames += 1;
                stream.published_at_us = header("Rsm-Published-At").parse().unwrap();
                match stream.fences.iter_mut().find(|(known, _)| *known == fence) {
                    Some((_, count)) => *count += 1,
                    None => stream.fences.push((fence, 1)),
                }
            }
        });
        let wanting = tokio::spawn(async move {
            let demand = format!(
                r#"{{"v":1,"from":"watcher","ttl_ms":{DEMAND_TTL_MS},"jpeg":{{"max_fps":5,"max_width":160,"quality":70}}}}"#
            );
            let mut tick = tokio::time::interval(DEMAND_EVERY);
            loop {
                tick.tick().await;
                for slug in &wanted {
                    let _ = client.publish(format!("rsm.v1.demand.default.{slug}"), demand.clone().into()).await;
                }
            }
        });
        Self { seen, tasks: [reading, wanting] }
    }

    pub fn seen(&self, slug: &str) -> OnNats {
        let mut seen = self.seen.lock().get(slug).cloned().unwrap_or_default();
        seen.longest_gap = seen.longest_gap.max(seen.last.map_or(Duration::ZERO, |last| last.elapsed()));
        seen
    }

    /// Gaps count from now on.
    pub fn begin(&self) {
        for stream in self.seen.lock().values_mut() {
            (stream.longest_gap, stream.last) = (Duration::ZERO, Some(Instant::now()));
        }
    }

    /// Waits for `count` more frames of each of these streams.
    pub async fn more(&self, slugs: &[String], count: u64) {
        let wanted: Vec<u64> = slugs.iter().map(|slug| self.seen(slug).frames + count).collect();
        for (slug, wanted) in slugs.iter().zip(wanted) {
            let what = format!("{count} more frames of {slug} on NATS");
            eventually(&what, async || self.seen(slug), |seen| seen.frames >= wanted).await;
        }
    }
}

impl Drop for NatsWatcher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
