//! One subscription per watched stream, whatever the number of viewers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prometheus::IntCounter;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::frames::Frames;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::frame_headers::FrameHeaders;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use super::latest::{Latest, Verdict};
use crate::streams::Stream;

/// How long a subscription outlives its last viewer: a page that is reloaded finds it warm.
const LINGER: Duration = Duration::from_secs(5);
/// Pause after a subscription failed.
const RETRY: Duration = Duration::from_millis(500);

/// One JPEG. Shared by all viewers, not copied.
pub struct Frame {
    pub jpeg: Bytes,
    pub headers: FrameHeaders,
    /// When it reached this process.
    pub received: Instant,
    /// Counts the frames of this subscription, from 1: the gap between two shows what was skipped.
    pub number: u64,
}

impl Frame {
    /// When the picture was captured, by this process's clock: the worker says how long ago it was when the frame
    /// left, so the clocks of two hosts need not agree.
    pub fn captured(&self) -> Instant {
        let age = self.headers.published_at_us.saturating_sub(self.headers.captured_at_us);
        self.received.checked_sub(Duration::from_micros(age)).unwrap_or(self.received)
    }
}

/// Why the viewers of a stream are sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Stopped,
    Removed,
}

/// Newest frame of one stream, and whether it ended.
struct Feed {
    frames: watch::Sender<Option<Arc<Frame>>>,
    end: watch::Sender<Option<End>>,
}

/// What one viewer holds on to. While any is there, the stream stays subscribed.
pub struct Watching {
    /// The newest frame.
    pub frames: watch::Receiver<Option<Arc<Frame>>>,
    /// Set once, when the stream is stopped or removed.
    pub end: watch::Receiver<Option<End>>,
}

/// Waits for the end of a stream.
pub async fn ended(end: &mut watch::Receiver<Option<End>>) -> End {
    let why = end.wait_for(Option::is_some).await.ok().and_then(|why| *why);
    match why {
        Some(why) => why,
        // The feed is gone without an end; that is up to whoever waits beside this.
        None => std::future::pending().await,
    }
}

/// All watched streams. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    bus: Bus,
    table: Mutex<Table>,
    /// Streams remembered at most.
    max_links: usize,
    counts: HubCounts,
}

/// What the hub counts; the metrics themselves stand in the API's table.
#[derive(Clone)]
pub struct HubCounts {
    /// Frames of a stale owner, or older than one already shown.
    pub stale: IntCounter,
    /// Frames without usable headers.
    pub malformed: IntCounter,
}

#[derive(Default)]
struct Table {
    /// Subscribed now.
    feeds: HashMap<Slug, Arc<Feed>>,
    /// What was seen of streams that were ever watched, so that a stale owner stays stale while nobody looks. At
    /// most `max_links`.
    seen: HashMap<Slug, Arc<Mutex<Latest>>>,
}

impl Hub {
    /// Over a connection made for frames; of at most `max_links` streams.
    pub fn new(bus: Bus, max_links: u64, counts: HubCounts) -> Self {
        let max_links = usize::try_from(max_links).unwrap_or(usize::MAX).max(1);
        Self(Arc::new(Shared { bus, table: Mutex::default(), max_links, counts }))
    }

    /// Joins the viewers of a stream; subscribes for the first. Call inside the runtime that relays.
    pub fn watch(&self, stream: &Arc<Stream>) -> Watching {
        let mut table = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = table.feeds.get(&stream.slug) {
            return feed.watching();
        }
        let feed = Arc::new(Feed { frames: watch::channel(None).0, end: watch::channel(None).0 });
        let watching = feed.watching();
        table.feeds.insert(stream.slug.clone(), feed.clone());
        if table.seen.len() >= self.0.max_links && !table.seen.contains_key(&stream.slug) {
            let Table { feeds, seen } = &mut *table;
            seen.retain(|slug, _| feeds.contains_key(slug));
        }
        let seen = table.seen.entry(stream.slug.clone()).or_default().clone();
        drop(table);
        let (shared, stream) = (self.0.clone(), stream.clone());
        tokio::spawn(async move {
            let mut end = feed.end.subscribe();
            tokio::select! {
                () = feed.follow(&shared, &stream, &seen) => {}
                // Never an error: `feed` holds the sender.
                _ = end.wait_for(Option::is_some) => {}
            }
        });
        watching
    }

    /// Sends the viewers of a stream away.
    pub fn end(&self, slug: &Slug, why: End) {
        let mut table = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        let feed = table.feeds.remove(slug);
        if why == End::Removed {
            table.seen.remove(slug);
        }
        drop(table);
        if let Some(feed) = feed {
            feed.end.send_replace(Some(why));
        }
    }

    /// Streams that are subscribed now.
    pub fn subscribed(&self) -> usize {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner).feeds.len()
    }
}

impl Feed {
    fn watching(&self) -> Watching {
        Watching { frames: self.frames.subscribe(), end: self.end.subscribe() }
    }

    /// Puts the newest frame into the slot until nobody watched for [`LINGER`].
    async fn follow(self: &Arc<Self>, shared: &Shared, stream: &Stream, seen: &Mutex<Latest>) {
        let slug = &stream.slug;
        let mut number = 0;
        loop {
            let zone = &stream.offer().zone;
            let mut frames = match Frames::open(&shared.bus, zone, slug, None).await {
                Ok(frames) => frames,
                Err(e) => {
                    debug!(stream = %slug, "{e}");
                    if self.unwatched(RETRY).await && self.close(shared, slug) {
                        return;
                    }
                    continue;
                }
            };
            tokio::select! {
                () = self.take(&mut frames, shared, stream, seen, &mut number) => tokio::time::sleep(RETRY).await,
                () = self.abandoned(shared, slug) => return,
                () = moved(stream, zone) => debug!(stream = %slug, from = %zone, "its frames come from another zone now"),
            }
        }
    }

    async fn take(
        &self,
        frames: &mut Frames,
        shared: &Shared,
        stream: &Stream,
        seen: &Mutex<Latest>,
        number: &mut u64,
    ) {
        while let Some((headers, jpeg)) = frames.next().await {
            let Some(headers) = headers else {
                shared.counts.malformed.inc();
                continue;
            };
            let verdict = seen.lock().unwrap_or_else(PoisonError::into_inner).admit(&headers, stream.known());
            match verdict {
                Verdict::Stale => shared.counts.stale.inc(),
                Verdict::New => {
                    *number += 1;
                    let frame = Frame { jpeg, headers, received: Instant::now(), number: *number };
                    self.frames.send_replace(Some(Arc::new(frame)));
                }
            }
        }
    }

    /// Returns once nobody has watched for [`LINGER`] and the feed is out of the table.
    async fn abandoned(self: &Arc<Self>, shared: &Shared, slug: &Slug) {
        loop {
            self.frames.closed().await;
            if self.unwatched(LINGER).await && self.close(shared, slug) {
                return;
            }
        }
    }

    async fn unwatched(&self, pause: Duration) -> bool {
        tokio::time::sleep(pause).await;
        self.frames.receiver_count() == 0
    }

    /// Takes the feed out of the table; not when a viewer came. Viewers join under the same lock.
    fn close(self: &Arc<Self>, shared: &Shared, slug: &Slug) -> bool {
        let mut table = shared.table.lock().unwrap_or_else(PoisonError::into_inner);
        if self.frames.receiver_count() > 0 {
            return false;
        }
        if table.feeds.get(slug).is_some_and(|feed| Arc::ptr_eq(feed, self)) {
            table.feeds.remove(slug);
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
