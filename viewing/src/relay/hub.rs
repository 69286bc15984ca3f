//! One subscription per watched stream and width, whatever the number of viewers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntCounter;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::frames::Frames;
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::latest_frame::{FrameDecision, LatestFrame};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::frame::Frame;
use super::slot::{Slot, StreamEnd, Watching};
use crate::closing::Closing;
use crate::streams::{Stream, View};

/// A subscription outlives its last viewer by this time: a page that is reloaded finds it warm.
const LINGER: Duration = Duration::from_secs(5);
/// Pause after a subscription failed.
const RETRY: Duration = Duration::from_millis(500);

/// The frames of one stream: those of its own width, or of a step of the ladder.
type FeedKey = (Slug, Option<JpegWidth>);

/// One subscription and the slot that its viewers share.
struct FrameFeed {
    key: FeedKey,
    slot: watch::Sender<Slot>,
    /// When a viewer joined last.
    joined: Mutex<Instant>,
    /// The stream was stopped or removed.
    over: CancellationToken,
}

/// All watched streams. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<HubState>);

struct HubState {
    bus: Bus,
    table: Mutex<FeedTable>,
    /// Streams remembered at most, in each width.
    max_links: usize,
    closing: Closing,
    counts: HubCounts,
}

/// Counters of the hub; the metrics themselves are declared in `metrics::serving`.
#[derive(Clone)]
pub struct HubCounts {
    /// Frames of a stale owner, or older than one already shown.
    pub stale: IntCounter,
    /// Frames without usable headers.
    pub malformed: IntCounter,
}

#[derive(Default)]
struct FeedTable {
    /// Subscribed now.
    feeds: HashMap<FeedKey, Arc<FrameFeed>>,
    /// Newest frames of all streams that were ever watched, so that a stale owner stays stale while the stream has no
    /// viewer. At most [`most_seen`].
    seen: HashMap<FeedKey, Arc<Mutex<LatestFrame>>>,
}

impl Hub {
    /// Over a connection made for frames; of at most `max_links` streams.
    pub fn new(bus: Bus, max_links: u64, closing: Closing, counts: HubCounts) -> Self {
        let max_links = usize::try_from(max_links).unwrap_or(usize::MAX).max(1);
        Self(Arc::new(HubState { bus, table: Mutex::default(), max_links, closing, counts }))
    }

    /// Joins the viewers of a stream, in its own width or a step of the ladder; subscribes for the first. Call inside
    /// the runtime that relays.
    pub fn watch(&self, stream: &Arc<Stream>, width: Option<JpegWidth>) -> Watching {
        let key = (stream.slug.clone(), width);
        let mut table = self.0.table.lock();
        if let Some(feed) = table.feeds.get(&key) {
            return feed.join();
        }
        let slot = watch::Sender::new(Slot::default());
        let feed = Arc::new(FrameFeed {
            key: key.clone(),
            slot,
            joined: Mutex::new(Instant::now()),
            over: CancellationToken::new(),
        });
        let watching = feed.join();
        table.feeds.insert(key.clone(), feed.clone());
        if table.seen.len() >= most_seen(self.0.max_links) && !table.seen.contains_key(&key) {
            let FeedTable { feeds, seen } = &mut *table;
            seen.retain(|key, _| feeds.contains_key(key));
        }
        let seen = table.seen.entry(key).or_default().clone();
        drop(table);
        let (shared, stream) = (self.0.clone(), stream.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = feed.over.cancelled() => {}
                () = feed.follow(&shared, &stream, &seen) => {}
                () = feed.follow_events(&shared, &stream) => {}
            }
        });
        watching
    }
    /// The newest frame of a stream in that width, if it is subscribed and has one.
    pub fn newest(&self, slug: &Slug, width: Option<JpegWidth>) -> Option<Arc<Frame>> {
        let table = self.0.table.lock();
        let feed = table.feeds.get(&(slug.clone(), width))?;
        feed.slot.borrow().frame.clone()
    }

    /// Ends the viewers of a stream, of every width: marks their slots, and each viewer closes its own connection. HLS
    /// players are not among them.
    pub fn end(&self, slug: &Slug, why: StreamEnd) {
        let mut table = self.0.table.lock();
        let mut ended = Vec::new();
        for width in widths() {
            let key = (slug.clone(), width);
            ended.extend(table.feeds.remove(&key));
            if why == StreamEnd::Removed {
                table.seen.remove(&key);
            }
        }
        drop(table);
        for feed in ended {
            feed.slot.send_modify(|slot| slot.end = Some(why));
            feed.over.cancel();
        }
    }

    /// Subscriptions now: streams, each in each width that is watched.
    pub fn subscribed(&self) -> usize {
        self.0.table.lock().feeds.len()
    }
}

/// The stream's own width, and the ladder's.
fn widths() -> impl Iterator<Item = Option<JpegWidth>> {
    std::iter::once(None).chain(JpegWidth::all().map(Some))
}

/// Highest number of streams and widths whose newest frame is remembered.
fn most_seen(max_links: usize) -> usize {
    max_links.saturating_mul(widths().count())
}

impl FrameFeed {
    fn join(&self) -> Watching {
        *self.joined.lock() = Instant::now();
        self.slot.subscribe()
    }

    /// Puts the newest frame into the slot until there was no viewer for [`LINGER`].
    async fn follow(self: &Arc<Self>, shared: &HubState, stream: &Stream, seen: &Mutex<LatestFrame>) {
        let (slug, width) = &self.key;
        let mut number = 0;
        loop {
            let zone = &stream.offer().zone;
            let mut frames = match Frames::open(&shared.bus, zone, slug, *width).await {
                Ok(frames) => frames,
                Err(e) => {
                    debug!(stream = %slug, error = %e, "the subscription to frames failed");
                    tokio::time::sleep(RETRY).await;
                    if self.close(shared) {
                        return;
                    }
                    continue;
                }
            };
            tokio::select! {
                () = self.take(&mut frames, shared, stream, seen, &mut number) => tokio::time::sleep(RETRY).await,
                () = self.abandoned(shared) => return,
                () = moved(stream, zone) => debug!(stream = %slug, from = %zone, "the stream moved to another zone; its frames are subscribed there"),
            }
        }
    }

    async fn take(
        &self,
        frames: &mut Frames,
        shared: &HubState,
        stream: &Stream,
        seen: &Mutex<LatestFrame>,
        number: &mut u64,
    ) {
        while let Some((headers, jpeg)) = frames.next().await {
            let Some(headers) = headers else {
                shared.counts.malformed.inc();
                continue;
            };
            let verdict = seen.lock().admit(&headers, stream.known());
            match verdict {
                FrameDecision::Stale => shared.counts.stale.inc(),
                FrameDecision::New => {
                    *number += 1;
                    let frame = Arc::new(Frame::new(jpeg, headers, *number));
                    self.slot.send_modify(|slot| slot.frame = Some(frame));
                }
            }
        }
    }

    /// Puts events into the slot: that the state changed, and that the process says goodbye.
    async fn follow_events(&self, shared: &HubState, stream: &Stream) {
        let mut views = stream.views();
        let shown = |view: &View| (view.state, view.reason.clone());
        let mut last = shown(&views.borrow_and_update());
        let changes = async {
            while views.changed().await.is_ok() {
                let now = shown(&views.borrow_and_update());
                if now != last {
                    last = now;
                    self.slot.send_modify(|slot| slot.news += 1);
                }
            }
        };
        let goodbye = async {
            shared.closing.begun().await;
            self.slot.send_modify(|slot| slot.closing = true);
        };
        tokio::join!(changes, goodbye);
        // Never: the stream holds the sender of its views.
        std::future::pending().await
    }

    /// Returns once there was no viewer for [`LINGER`] and the feed is out of the table.
    async fn abandoned(self: &Arc<Self>, shared: &HubState) {
        loop {
            self.slot.closed().await;
            let joined = *self.joined.lock();
            // A request for one picture joins and leaves in between, and another may follow.
            tokio::time::sleep(LINGER).await;
            let again = *self.joined.lock() != joined;
            if !again && self.close(shared) {
                return;
            }
        }
    }

    /// Takes the feed out of the table; not when a viewer came. Viewers join under the same lock.
    fn close(self: &Arc<Self>, shared: &HubState) -> bool {
        let mut table = shared.table.lock();
        if self.slot.receiver_count() > 0 {
            return false;
        }
        if table.feeds.get(&self.key).is_some_and(|feed| Arc::ptr_eq(feed, self)) {
            table.feeds.remove(&self.key);
        }
        true
    }
}

/// Returns once the stream is not in `zone` any more. Where it goes it is placed anew, and that shows in its view.
async fn moved(stream: &Stream, zone: &Zone) {
    let mut views = stream.views();
    while stream.offer().zone == *zone {
        if views.changed().await.is_err() {
            // Never: the stream holds the sender.
            return std::future::pending().await;
        }
    }
}
