//! The table of streams that viewers' routes, relay and HLS share. In the API it follows the links and the workers'
//! reports; in a relay it follows the records that the API writes to NATS. It holds no address of a camera and no
//! credential. No lock here is ever held across an await.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use rsm_shared::stream::slug::Slug;
use tokio::sync::Notify;

use super::changed::ChangedStreams;
use super::stream::{Offer, Stream, View};
use super::wake::Wake;

/// All streams. Cheap to clone.
#[derive(Clone, Default)]
pub struct Streams {
    table: Arc<RwLock<StreamTable>>,
    /// Wakes the reconciler: a stream was added, changed, removed or wanted.
    pub wake: Wake,
    /// Wakes the publisher of the directory: something that relays get has changed.
    pub unpublished: Arc<Notify>,
    /// Changes for clients that follow streams.
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
        let mut changed = true;
        let stream = match table.by_slug.get(slug) {
            Some(stream) => {
                changed = *stream.offer() != offer;
                let before = stream.replace_offer(offer);
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
        if changed {
            self.changed.note(slug, id);
        }
        if let Some(other) = &other {
            self.wake.note(&other.slug);
        }
        self.wake.note(slug);
        self.unpublished.notify_one();
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
            self.wake.note(&stream.slug);
        }
        self.unpublished.notify_one();
    }

    /// The stream of that slug.
    pub fn by_slug(&self, slug: &str) -> Option<Arc<Stream>> {
        self.get(&Slug::parse(slug).ok()?)
    }

    /// The same, for a name that was checked.
    pub fn get(&self, slug: &Slug) -> Option<Arc<Stream>> {
        self.table.read().by_slug.get(slug).cloned()
    }

    /// The stream of that id.
    pub fn by_id(&self, id: i64) -> Option<Arc<Stream>> {
        self.table.read().by_id.get(&id).cloned()
    }

    /// Every stream, by id.
    pub fn all(&self) -> Vec<Arc<Stream>> {
        self.table.read().by_id.values().cloned().collect()
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.table.read().by_id.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces the state of a stream.
    pub fn show(&self, stream: &Stream, view: View) {
        let view = Arc::new(view);
        let before = stream.replace_view(view.clone());
        if !before.is_same_to_relays(&view) {
            self.changed.note(&stream.slug, stream.offer().id);
            self.unpublished.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rsm_shared::stream::fence::{Epoch, Fence};
    use rsm_shared::stream::names::Zone;
    use rsm_shared::stream::state::StreamState;

    use super::*;
    use crate::streams::JpegOverrides;

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
        stream.saw_media(Fence { epoch: Epoch(1), revision: 1 }, Instant::now());
        assert_eq!(stream.last_media(), None, "clients see no owner");
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
        streams.unpublished.notified().await;
        stream.saw_media(Fence { epoch: Epoch(1), revision: 1 }, Instant::now());
        let mut news = std::pin::pin!(streams.unpublished.notified());
        assert!(futures_util::poll!(news.as_mut()).is_pending());
        streams.show(&stream, View { restarts: 1, ..(*stream.view()).clone() });
        assert!(futures_util::poll!(news).is_ready());
    }
}
