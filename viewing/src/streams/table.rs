//! What can be watched and what is known of it: the one table that viewers' routes, relay and HLS share. In the API it
//! follows the links and what workers say; in a relay it follows what the API writes to NATS. It holds no address of a
//! camera and no credential. No lock here is ever held across an await.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::{AudioInfo, Reason, StreamState, VideoInfo};
use rsm_shared::wire::latest_frame::KnownOwners;
use tokio::sync::{Notify, watch};

use super::changed::ChangedStreams;
use super::overrides::JpegOverrides;
use super::start_trace::StartTrace;
use super::stream_demand::StreamDemand;

/// Owners remembered of one stream: a player still fetches the last segments of one that was replaced.
const MAX_OWNERS: usize = 4;
/// Target duration of a stream whose playlists nobody has read here yet.
const UNKNOWN_TARGET: Duration = Duration::from_secs(6);
/// Longest target duration that counts: a camera that sends a key frame each half minute.
const MAX_TARGET: Duration = Duration::from_secs(30);
/// What a worker's answer may take beyond the time that it waits for a part.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// One stream. Shared by all who need it; offers are replaced, streams stay.
pub struct Stream {
    pub slug: Slug,
    offer: Mutex<Arc<Offer>>,
    view: watch::Sender<Arc<View>>,
    /// The newest owners and where their segments are served, the newest last; at most [`MAX_OWNERS`].
    owners: Mutex<VecDeque<(Fence, String)>>,
    /// Target duration of its HLS as a playlist said last, seconds; 0 before one did.
    target_s: AtomicU64,
    pub demand: Arc<StreamDemand>,
    pub start: StartTrace,
}

/// What viewers may know of a camera link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub id: i64,
    pub name: String,
    pub zone: Zone,
    pub created: jiff::Timestamp,
    /// `false` after an operator's stop: viewers are refused.
    pub enabled: bool,
    pub always_on: bool,
    /// Where it differs from the configuration's bounds.
    pub jpeg: JpegOverrides,
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
    pub audio: Option<AudioInfo>,
    pub restarts: u32,
    /// When the camera's last picture came, by this process's clock.
    pub last_media: Option<Instant>,
    pub hls_error: Option<String>,
}

/// All streams. Cheap to clone.
#[derive(Clone, Default)]
pub struct Streams {
    table: Arc<RwLock<StreamTable>>,
    /// Wakes whoever starts streams: something was added, changed, removed or wished for.
    pub wake: Arc<Notify>,
    /// Wakes whoever tells others: something that they are told has changed.
    pub untold: Arc<Notify>,
    /// For those who follow them.
    pub changed: ChangedStreams,
}

#[derive(Default)]
struct StreamTable {
    by_id: BTreeMap<i64, Arc<Stream>>,
    by_slug: HashMap<Slug, Arc<Stream>>,
}

impl Streams {
    /// Adds a stream, or replaces the offer of the one with that slug. An id belongs to one stream only: another that
    /// has it goes, and is returned.
    pub fn put(&self, slug: &Slug, offer: Offer) -> (Arc<Stream>, Option<Arc<Stream>>) {
        let id = offer.id;
        let mut table = self.table.write();
        let mut tells_more = true;
        let stream = match table.by_slug.get(slug) {
            Some(stream) => {
                tells_more = *stream.offer() != offer;
                let before = std::mem::replace(&mut *stream.offer.lock(), Arc::new(offer));
                let stream = stream.clone();
                if before.id != id {
                    table.by_id.remove(&before.id);
                }
                stream
            }
            None => {
                let stream = Arc::new(Stream::new(slug.clone(), offer));
                table.by_slug.insert(slug.clone(), stream.clone());
                stream
            }
        };
        let other = table.by_id.insert(id, stream.clone()).filter(|other| other.slug != *slug);
        if let Some(other) = &other {
            table.by_slug.remove(&other.slug);
        }
        drop(table);
        if let Some(other) = &other {
            self.changed.note(&other.slug, id);
        }
        if tells_more {
            self.changed.note(slug, id);
        }
        self.wake.notify_one();
        self.untold.notify_one();
        (stream, other)
    }

    /// Removes a stream.
    pub fn remove(&self, id: i64) {
        let mut table = self.table.write();
        let removed = table.by_id.remove(&id);
        if let Some(stream) = &removed {
            table.by_slug.remove(&stream.slug);
        }
        drop(table);
        if let Some(stream) = removed {
            self.changed.note(&stream.slug, id);
        }
        self.wake.notify_one();
        self.untold.notify_one();
    }

    /// The stream of that slug.
    pub fn by_slug(&self, slug: &str) -> Option<Arc<Stream>> {
        let slug = Slug::parse(slug).ok()?;
        self.table.read().by_slug.get(&slug).cloned()
    }

    /// The stream of that id.
    pub fn by_id(&self, id: i64) -> Option<Arc<Stream>> {
        self.table.read().by_id.get(&id).cloned()
    }

    /// Every stream, by id.
    pub fn all(&self) -> Vec<Arc<Stream>> {
        self.table.read().by_id.values().cloned().collect()
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.table.read().by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts what is known of a stream.
    pub fn show(&self, stream: &Stream, view: View) {
        if let (Some(fence), Some(http)) = (view.fence, &view.http) {
            stream.remember(fence, http);
        }
        let view = Arc::new(view);
        let before = stream.view.send_replace(view.clone());
        if !before.tells_the_same(&view) {
            self.changed.note(&stream.slug, stream.offer().id);
            self.untold.notify_one();
        }
    }
}

impl Stream {
    fn new(slug: Slug, offer: Offer) -> Self {
        let state = if offer.enabled { StreamState::Idle } else { StreamState::Stopped };
        Self {
            slug,
            demand: Arc::default(),
            start: StartTrace::default(),
            owners: Mutex::default(),
            target_s: AtomicU64::new(0),
            view: watch::Sender::new(Arc::new(View {
                state,
                reason: None,
                since: jiff::Timestamp::now(),
                worker: None,
                fence: None,
                http: None,
                epoch: None,
                video: None,
                audio: None,
                restarts: 0,
                last_media: None,
                hls_error: None,
            })),
            offer: Mutex::new(Arc::new(offer)),
        }
    }

    /// What viewers may know of its link.
    pub fn offer(&self) -> Arc<Offer> {
        self.offer.lock().clone()
    }

    /// What is known as of now.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// What is known, for those who wait for a change of this one stream.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// What decides whether a frame counts.
    pub fn known(&self) -> KnownOwners {
        let view = self.view.borrow();
        KnownOwners { shown: view.fence, newest: view.epoch.map(Epoch) }
    }

    /// `host:port` where an owner serves its segments, if it is one of the newest few.
    pub fn served_at(&self, fence: Fence) -> Option<String> {
        let owners = self.owners.lock();
        owners.iter().find(|(owner, _)| *owner == fence).map(|(_, http)| http.clone())
    }

    /// A playlist of its HLS named this target duration.
    pub fn saw_target(&self, target: Duration) {
        self.target_s.store(target.as_secs(), Ordering::Relaxed);
    }

    /// How long an answer may take that its worker gives when it has what is asked for: three target durations, as
    /// long as workers wait, and the way.
    pub fn longest_wait(&self) -> Duration {
        let target = match self.target_s.load(Ordering::Relaxed) {
            0 => UNKNOWN_TARGET,
            seconds => Duration::from_secs(seconds).min(MAX_TARGET),
        };
        target * 3 + ON_THE_WAY
    }

    fn remember(&self, fence: Fence, http: &str) {
        let mut owners = self.owners.lock();
        match owners.iter().position(|(owner, _)| *owner >= fence) {
            Some(at) if owners[at].0 == fence => {
                if owners[at].1 != http {
                    http.clone_into(&mut owners[at].1);
                }
            }
            at => {
                let at = at.unwrap_or(owners.len());
                owners.insert(at, (fence, http.to_owned()));
            }
        }
        if owners.len() > MAX_OWNERS {
            owners.pop_front();
        }
    }
}

impl View {
    /// Whether relays would be told the same. Of the pictures' age they are told nothing: it changes with each.
    pub fn tells_the_same(&self, other: &Self) -> bool {
        let Self { state, reason, since, worker, fence, http, epoch, video, audio, restarts, last_media: _, hls_error } =
            self;
        (state, reason, since, worker, fence)
            == (&other.state, &other.reason, &other.since, &other.worker, &other.fence)
            && (http, epoch, video, restarts) == (&other.http, &other.epoch, &other.video, &other.restarts)
            && (audio, hls_error) == (&other.audio, &other.hls_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(id: i64) -> Offer {
        Offer {
            id,
            name: "Yard".into(),
            zone: Zone::default_zone(),
            created: jiff::Timestamp::UNIX_EPOCH,
            enabled: true,
            always_on: false,
            jpeg: JpegOverrides::default(),
        }
    }

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

    #[test]
    fn an_id_and_a_slug_belong_to_one_stream() {
        let streams = Streams::default();
        let (first, none) = streams.put(&slug("a"), offer(1));
        assert!(none.is_none());
        let (_, other) = streams.put(&slug("b"), offer(1));
        assert!(Arc::ptr_eq(&other.unwrap(), &first), "the newer one has the id");
        assert!(streams.by_slug("a").is_none());
        streams.put(&slug("b"), offer(2));
        assert!(streams.by_id(1).is_none());
        assert_eq!((streams.len(), streams.by_id(2).unwrap().slug.as_str()), (1, "b"));
        streams.remove(2);
        assert!(streams.is_empty() && streams.by_slug("b").is_none());
    }

    #[test]
    fn the_newest_owners_are_remembered() {
        let streams = Streams::default();
        let (stream, _) = streams.put(&slug("a"), offer(1));
        let fence = |epoch| Fence { epoch: Epoch(epoch), revision: 1 };
        for epoch in [3, 4, 2, 5, 6, 6] {
            let view =
                View { fence: Some(fence(epoch)), http: Some(format!("w{epoch}:1")), ..(*stream.view()).clone() };
            streams.show(&stream, view);
        }
        assert_eq!(stream.served_at(fence(2)), None, "the oldest is forgotten");
        for epoch in [3, 4, 5, 6] {
            assert_eq!(stream.served_at(fence(epoch)), Some(format!("w{epoch}:1")));
        }
        streams.show(&stream, View { http: Some("moved:2".into()), ..(*stream.view()).clone() });
        assert_eq!(stream.served_at(fence(6)), Some("moved:2".into()));
        streams.show(&stream, View { fence: None, http: None, ..(*stream.view()).clone() });
        assert_eq!((stream.known().shown, stream.served_at(fence(6))), (None, Some("moved:2".into())));
    }

    #[test]
    fn a_wait_follows_the_target_duration_within_bounds() {
        let (stream, _) = Streams::default().put(&slug("a"), offer(1));
        assert_eq!(stream.longest_wait(), Duration::from_secs(20));
        for (target, wait) in [(1, 5), (4, 14), (30, 92), (4000, 92)] {
            stream.saw_target(Duration::from_secs(target));
            assert_eq!(stream.longest_wait(), Duration::from_secs(wait));
        }
    }

    #[test]
    fn what_is_told_of_a_stream_is_noted_when_it_changes() {
        let streams = Streams::default();
        let newest = streams.changed.newest();
        let (stream, _) = streams.put(&slug("a"), offer(1));
        assert_eq!(*newest.borrow(), 1);
        streams.put(&slug("a"), offer(1));
        streams.show(&stream, View { last_media: Some(Instant::now()), ..(*stream.view()).clone() });
        assert_eq!(*newest.borrow(), 1, "nothing else is told");
        streams.put(&slug("a"), Offer { name: "Garden".into(), ..offer(1) });
        streams.show(&stream, View { state: StreamState::Running, ..(*stream.view()).clone() });
        streams.remove(1);
        streams.remove(1);
        assert_eq!(*newest.borrow(), 4);
    }

    #[tokio::test]
    async fn the_age_of_pictures_is_no_news() {
        let streams = Streams::default();
        let (stream, _) = streams.put(&slug("a"), offer(1));
        streams.untold.notified().await;
        streams.show(&stream, View { last_media: Some(Instant::now()), ..(*stream.view()).clone() });
        let mut news = std::pin::pin!(streams.untold.notified());
        assert!(futures_util::poll!(news.as_mut()).is_pending());
        streams.show(&stream, View { restarts: 1, ..(*stream.view()).clone() });
        assert!(futures_util::poll!(news).is_ready());
    }
}
