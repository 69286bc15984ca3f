//! Registered links: a copy in memory of the links in the store, bounded by `api.max_links`, each beside its stream in the
//! table for viewers. Only the API has it. No lock here is ever held across an await.

use std::collections::BTreeMap;
use std::ops::{Bound, Deref};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rsm_shared::stream::slug::Slug;
use rsm_viewing::streams::{Offer, Stream, Streams, Wake};

use crate::store::links::CameraLink;

pub use rsm_viewing::streams::View;

/// One registered stream and its link, shared by reference; links are replaced, entries stay.
pub struct Entry {
    stream: Arc<Stream>,
    link: Mutex<Arc<CameraLink>>,
}

/// All that is registered. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    table: Arc<RwLock<BTreeMap<i64, Arc<Entry>>>>,
    /// The streams for viewers.
    pub streams: Streams,
    /// Wakes the reconciler: something was added, changed, removed or wanted.
    pub wake: Wake,
}

impl Directory {
    /// With the links of the store.
    pub fn new(links: Vec<CameraLink>) -> Self {
        let streams = Streams::default();
        let directory = Self { table: Arc::default(), wake: streams.wake.clone(), streams };
        for link in links {
            directory.put(link);
        }
        directory
    }

    /// Adds a link, or replaces the one of that id. Call after the store has it.
    pub fn put(&self, link: CameraLink) -> Arc<Entry> {
        let link = Arc::new(link);
        let mut table = self.table.write();
        let (stream, _) = self.streams.put(&link.slug, offer(&link));
        match table.get(&link.id) {
            Some(entry) => {
                let (slug, id) = (link.slug.clone(), link.id);
                *entry.link.lock() = link;
                // Operators are told more of it than viewers.
                self.streams.changed.note(&slug, id);
                self.wake.note(&slug);
                entry.clone()
            }
            None => {
                let (slug, id) = (link.slug.clone(), link.id);
                let entry = Arc::new(Entry { stream, link: Mutex::new(link) });
                table.insert(id, entry.clone());
                self.wake.note(&slug);
                entry
            }
        }
    }

    /// Removes a link. Call after the store has removed it.
    pub fn remove(&self, id: i64) {
        let mut table = self.table.write();
        table.remove(&id);
        self.streams.remove(id);
    }

    /// The entry of that slug.
    pub fn by_slug(&self, slug: &str) -> Option<Arc<Entry>> {
        self.by_id(self.streams.by_slug(slug)?.offer().id)
    }

    /// The same, for a name that was checked.
    pub fn get(&self, slug: &Slug) -> Option<Arc<Entry>> {
        self.by_id(self.streams.get(slug)?.offer().id)
    }

    /// The entry of that id.
    pub fn by_id(&self, id: i64) -> Option<Arc<Entry>> {
        self.table.read().get(&id).cloned()
    }

    /// Every entry, by id.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.table.read().values().cloned().collect()
    }

    /// At most `most` entries with larger ids than `id`, in their order.
    pub fn after(&self, id: i64, most: usize) -> Vec<Arc<Entry>> {
        let larger = (Bound::Excluded(id), Bound::Unbounded);
        self.table.read().range(larger).take(most).map(|(_, entry)| entry.clone()).collect()
    }

    /// Number of registered links.
    pub fn len(&self) -> usize {
        self.table.read().len()
    }

    /// True when nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces the state of a stream.
    pub fn show(&self, stream: &Stream, view: View) {
        self.streams.show(stream, view);
    }
}

impl Entry {
    /// The link as it is now.
    pub fn link(&self) -> Arc<CameraLink> {
        self.link.lock().clone()
    }

    /// Its stream in the table for viewers.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }
}

impl Deref for Entry {
    type Target = Stream;
    fn deref(&self) -> &Stream {
        &self.stream
    }
}

fn offer(link: &CameraLink) -> Offer {
    Offer {
        id: link.id,
        name: link.name.clone(),
        zone: link.zone.clone(),
        created: link.created,
        enabled: link.enabled,
        always_on: link.always_on || link.hls.always_on == Some(true),
        jpeg: link.mjpeg,
    }
}
