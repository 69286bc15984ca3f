//! What is registered and what is known of it: the one table that routes, relay and control share. It is a copy in
//! memory of the links in the store, bounded by `api.max_links`, plus what workers say. No lock here is ever held
//! across an await.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::JpegParams;
use rsm_shared::stream::state::{Reason, StreamState, VideoInfo};
use tokio::sync::{Notify, broadcast, watch};

use crate::store::links::CameraLink;

/// State changes that wait for a slow reader; one that lags looks at the directory instead.
const CHANGES: usize = 1024;

/// One registered stream. Shared by all who need it; links are replaced, entries stay.
pub struct Entry {
    pub slug: Slug,
    link: Mutex<Arc<CameraLink>>,
    view: watch::Sender<Arc<View>>,
    pub wishes: Wishes,
}

/// What is known of a stream, as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub state: StreamState,
    pub reason: Option<Reason>,
    pub since: jiff::Timestamp,
    /// The worker that owns the stream.
    pub worker: Option<String>,
    /// Of the newest claim; `None` while nobody owns the stream.
    pub fence: Option<Fence>,
    /// `host:port` where that owner's segments are served.
    pub http: Option<String>,
    /// Epoch of the newest placement.
    pub epoch: Option<u64>,
    pub video: Option<VideoInfo>,
    pub restarts: u32,
    /// When the camera's last picture came, by this process's clock.
    pub last_media: Option<Instant>,
    pub hls_error: Option<String>,
}

/// A change of state, as it is told to viewers that asked for events.
#[derive(Clone, Debug)]
pub struct StateChange {
    pub slug: Slug,
    pub view: Arc<View>,
}

/// All streams. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    table: Arc<RwLock<Table>>,
    changes: broadcast::Sender<StateChange>,
    /// Wakes the reconciler: something was added, changed, removed or wished for.
    pub wake: Arc<Notify>,
}

#[derive(Default)]
struct Table {
    by_id: BTreeMap<i64, Arc<Entry>>,
    by_slug: HashMap<Slug, Arc<Entry>>,
}

impl Directory {
    /// With the links of the store.
    pub fn new(links: Vec<CameraLink>) -> Self {
        let (changes, _) = broadcast::channel(CHANGES);
        let directory = Self { table: Arc::default(), changes, wake: Arc::new(Notify::new()) };
        for link in links {
            directory.put(link);
        }
        directory
    }

    /// Adds a link, or replaces the one of that id. Call after the store has it.
    pub fn put(&self, link: CameraLink) -> Arc<Entry> {
        let link = Arc::new(link);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let entry = match table.by_id.get(&link.id) {
            Some(entry) => {
                *entry.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
                entry.clone()
            }
            None => {
                let entry = Arc::new(Entry::new(link));
                table.by_id.insert(entry.link().id, entry.clone());
                table.by_slug.insert(entry.slug.clone(), entry.clone());
                entry
            }
        };
        drop(table);
        self.wake.notify_one();
        entry
    }

    /// Removes a link. Call after the store has removed it.
    pub fn remove(&self, id: i64) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.by_id.remove(&id) {
            table.by_slug.remove(&entry.slug);
        }
        drop(table);
        self.wake.notify_one();
    }

    /// The stream of that slug.
    pub fn by_slug(&self, slug: &str) -> Option<Arc<Entry>> {
        let slug = Slug::parse(slug).ok()?;
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_slug.get(&slug).cloned()
    }

    /// The stream of that id.
    pub fn by_id(&self, id: i64) -> Option<Arc<Entry>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned()
    }

    /// Every stream, by id.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_id.values().cloned().collect()
    }

    /// How many streams are registered.
    pub fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_id.len()
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts what is known of a stream; tells a change of state or reason to those who listen.
    pub fn show(&self, entry: &Entry, view: View) {
        let view = Arc::new(view);
        let before = entry.view.send_replace(view.clone());
        let told = (before.state, before.reason.as_ref()) != (view.state, view.reason.as_ref());
        if told {
            // No listener is no error.
            let _ = self.changes.send(StateChange { slug: entry.slug.clone(), view });
        }
    }

    /// State changes of all streams from now on.
    pub fn changes(&self) -> broadcast::Receiver<StateChange> {
        self.changes.subscribe()
    }
}

impl Entry {
    fn new(link: Arc<CameraLink>) -> Self {
        let state = if link.enabled { StreamState::Idle } else { StreamState::Stopped };
        Self {
            slug: link.slug.clone(),
            wishes: Wishes::default(),
            view: watch::Sender::new(Arc::new(View {
                state,
                reason: None,
                since: jiff::Timestamp::now(),
                worker: None,
                fence: None,
                http: None,
                epoch: None,
                video: None,
                restarts: 0,
                last_media: None,
                hls_error: None,
            })),
            link: Mutex::new(link),
        }
    }

    /// The link as it is now.
    pub fn link(&self) -> Arc<CameraLink> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known as of now.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// What is known, for those who wait for a change of this one stream.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }
}

/// Who wants what of one stream through this process. Counters and deadlines, no queue.
pub struct Wishes {
    begun: Instant,
    /// Viewers that get JPEG frames now.
    jpeg_viewers: AtomicU32,
    /// JPEG is wanted until then, by snapshots; milliseconds after `begun`.
    jpeg_until: AtomicU64,
    /// HLS is wanted until then; milliseconds after `begun`.
    hls_until: AtomicU64,
    /// Something is wanted by others (relays, consumers on NATS) until then; milliseconds after `begun`.
    elsewhere_until: AtomicU64,
    /// When anything was wanted last; milliseconds after `begun`, 0 for never.
    last_wanted: AtomicU64,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            jpeg_viewers: AtomicU32::new(0),
            jpeg_until: AtomicU64::new(0),
            hls_until: AtomicU64::new(0),
            elsewhere_until: AtomicU64::new(0),
            last_wanted: AtomicU64::new(0),
        }
    }
}

impl Wishes {
    fn now(&self) -> u64 {
        // One more, so that 0 can mean "never".
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// A JPEG viewer came; it counts until the guard is dropped.
    pub fn jpeg_viewer(self: &Wishes, entry: &Arc<Entry>) -> JpegViewer {
        self.jpeg_viewers.fetch_add(1, Ordering::Relaxed);
        self.touch();
        JpegViewer(entry.clone())
    }

    /// JPEG is wanted for `hold` from now.
    pub fn want_jpeg(&self, hold: Duration) {
        self.jpeg_until.fetch_max(self.now() + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.touch();
    }

    /// HLS is wanted for `hold` from now.
    pub fn want_hls(&self, hold: Duration) {
        self.hls_until.fetch_max(self.now() + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.touch();
    }

    /// Others said on NATS that they want something for `hold` from now; whether they did not before.
    pub fn wanted_elsewhere(&self, hold: Duration) -> bool {
        let now = self.now();
        let before =
            self.elsewhere_until.fetch_max(now + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.touch();
        before <= now
    }

    /// Whether others want something now.
    pub fn elsewhere(&self) -> bool {
        self.elsewhere_until.load(Ordering::Relaxed) > self.now()
    }

    /// Forgets every wish with a deadline: the stream was stopped. Viewers end by themselves.
    pub fn clear(&self) {
        self.jpeg_until.store(0, Ordering::Relaxed);
        self.hls_until.store(0, Ordering::Relaxed);
        self.elsewhere_until.store(0, Ordering::Relaxed);
    }

    fn touch(&self) {
        self.last_wanted.store(self.now(), Ordering::Relaxed);
    }

    /// JPEG viewers now.
    pub fn jpeg_viewers(&self) -> u32 {
        self.jpeg_viewers.load(Ordering::Relaxed)
    }

    /// What is wanted now, JPEG within `params`.
    pub fn demand(&self, params: JpegParams) -> Demand {
        let now = self.now();
        let jpeg = self.jpeg_viewers() > 0 || self.jpeg_until.load(Ordering::Relaxed) > now;
        let demand = Demand { jpeg: jpeg.then_some(params), hls: self.hls_until.load(Ordering::Relaxed) > now };
        if demand.any() {
            self.touch();
        }
        demand
    }

    /// How long nothing has been wanted; `None` when nothing ever was.
    pub fn unwanted_for(&self) -> Option<Duration> {
        match self.last_wanted.load(Ordering::Relaxed) {
            0 => None,
            last => Some(Duration::from_millis(self.now().saturating_sub(last))),
        }
    }
}

/// Counts one JPEG viewer while it lives.
pub struct JpegViewer(Arc<Entry>);

impl Drop for JpegViewer {
    fn drop(&mut self) {
        self.0.wishes.touch();
        self.0.wishes.jpeg_viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
