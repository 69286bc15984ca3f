//! One stream: the properties of its link that viewers may know, its state, and the addresses of its newest owners.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::{AudioInfo, Reason, StreamState, VideoInfo};
use rsm_shared::wire::latest_frame::KnownOwners;
use tokio::sync::watch;

use super::overrides::JpegOverrides;
use super::start_trace::StartTrace;
use super::stream_demand::StreamDemand;

/// Owners remembered of one stream: a player still fetches the last segments of one that was replaced.
const MAX_OWNERS: usize = 4;
/// Target duration of a stream whose playlists were not read here yet.
const UNKNOWN_TARGET: Duration = Duration::from_secs(6);
/// Longest target duration that counts: a camera that sends a key frame each half minute.
const MAX_TARGET: Duration = Duration::from_secs(30);
/// Time that a worker's answer may take beyond its wait for a part.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// One stream, shared by reference; offers are replaced, streams stay.
pub struct Stream {
    pub slug: Slug,
    offer: Mutex<Arc<Offer>>,
    view: watch::Sender<Arc<View>>,
    /// The newest owners and where their segments are served, the newest last; at most [`MAX_OWNERS`].
    owners: Mutex<VecDeque<(Fence, String)>>,
    /// Target duration of its HLS as a playlist said last, seconds; 0 before one did.
    target_s: AtomicU64,
    /// When the camera's last picture came to that owner, by this process's clock. It changes with each heartbeat, so it
    /// is no part of the view.
    last_media: Mutex<Option<(Fence, Instant)>>,
    pub demand: Arc<StreamDemand>,
    pub start: StartTrace,
}

/// Properties of a camera link that viewers may know.
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

/// State of a stream, as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub state: StreamState,
    pub reason: Option<Reason>,
    pub since: jiff::Timestamp,
    /// The worker that owns the stream.
    pub worker: Option<String>,
    /// Fence of the newest claim; `None` while no worker owns the stream.
    pub fence: Option<Fence>,
    /// `host:port` where that owner's segments are served.
    pub http: Option<String>,
    /// Epoch of the newest placement.
    pub epoch: Option<u64>,
    pub video: Option<VideoInfo>,
    pub audio: Option<AudioInfo>,
    pub restarts: u32,
    pub hls_error: Option<String>,
}

impl Stream {
    /// A stream that no worker owns yet.
    pub(super) fn new(slug: Slug, offer: Offer) -> Self {
        let state = if offer.enabled { StreamState::Idle } else { StreamState::Stopped };
        Self {
            slug,
            demand: Arc::default(),
            start: StartTrace::default(),
            owners: Mutex::default(),
            target_s: AtomicU64::new(0),
            last_media: Mutex::new(None),
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
                hls_error: None,
            })),
            offer: Mutex::new(Arc::new(offer)),
        }
    }

    /// Properties of its link that viewers may know.
    pub fn offer(&self) -> Arc<Offer> {
        self.offer.lock().clone()
    }

    /// Its state now.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Its state, for tasks that wait for a change of this one stream.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// The owners by which frames are judged.
    pub fn known(&self) -> KnownOwners {
        let view = self.view.borrow();
        KnownOwners { shown: view.fence, newest: view.epoch.map(Epoch) }
    }

    /// `host:port` where an owner serves its segments, if it is one of the newest few.
    pub fn served_at(&self, fence: Fence) -> Option<String> {
        let owners = self.owners.lock();
        owners.iter().find(|(owner, _)| *owner == fence).map(|(_, http)| http.clone())
    }

    /// The camera's last picture came to the owner of that fence at `at`. Counts only for the owner that clients see.
    pub fn saw_media(&self, fence: Fence, at: Instant) {
        if self.view.borrow().fence == Some(fence) {
            *self.last_media.lock() = Some((fence, at));
        }
    }

    /// When the camera's last picture came to the owner that clients see, by this process's clock; `None` while there is
    /// no owner, or before its first picture. Only the API knows it.
    pub fn last_media(&self) -> Option<Instant> {
        let shown = self.view.borrow().fence?;
        self.last_media.lock().filter(|(fence, _)| *fence == shown).map(|(_, at)| at)
    }

    /// A playlist of its HLS named this target duration.
    pub fn saw_target(&self, target: Duration) {
        self.target_s.store(target.as_secs(), Ordering::Relaxed);
    }

    /// Time that a worker's answer to a request for a coming part may take: three target durations, which is the wait of
    /// workers, and the way.
    pub fn longest_wait(&self) -> Duration {
        let target = match self.target_s.load(Ordering::Relaxed) {
            0 => UNKNOWN_TARGET,
            seconds => Duration::from_secs(seconds).min(MAX_TARGET),
        };
        target * 3 + ON_THE_WAY
    }

    /// Replaces its offer; the one before.
    pub(super) fn replace_offer(&self, offer: Offer) -> Arc<Offer> {
        std::mem::replace(&mut *self.offer.lock(), Arc::new(offer))
    }

    /// Replaces its state, and remembers its owner; the state before.
    pub(super) fn replace_view(&self, view: Arc<View>) -> Arc<View> {
        if let (Some(fence), Some(http)) = (view.fence, &view.http) {
            self.remember(fence, http);
        }
        self.view.send_replace(view)
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
    /// True when relays get the same record for both.
    pub fn is_same_to_relays(&self, other: &Self) -> bool {
        let Self { state, reason, since, worker, fence, http, epoch, video, audio, restarts, hls_error } = self;
        (state, reason, since, worker, fence)
            == (&other.state, &other.reason, &other.since, &other.worker, &other.fence)
            && (http, epoch, video, restarts) == (&other.http, &other.epoch, &other.video, &other.restarts)
            && (audio, hls_error) == (&other.audio, &other.hls_error)
    }
}
