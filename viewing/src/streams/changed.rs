//! Changes of streams by number, so that a client that follows them asks only for newer ones. A stream stands in it once,
//! with its newest change: however often it changes, a client that comes late gets it once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngExt as _;
use rsm_shared::stream::slug::Slug;
use tokio::sync::watch;

/// Streams whose newest change is kept. A client that is further behind begins anew.
const KEPT: usize = 4096;

/// The newest changes of this process. Cheap to clone.
#[derive(Clone)]
pub struct ChangedStreams(Arc<ChangesState>);

struct ChangesState {
    /// Told beside numbers: those of another process mean nothing here.
    process: String,
    kept: Mutex<KeptChanges>,
    newest: watch::Sender<u64>,
}

/// Both maps hold the same changes, at most [`KEPT`].
#[derive(Default)]
struct KeptChanges {
    by_number: BTreeMap<u64, Arc<StreamChange>>,
    by_slug: HashMap<Slug, u64>,
    /// The largest number that had to make room.
    forgotten: u64,
}

/// A stream was added, changed or removed; the table of streams shows which.
#[derive(Debug)]
pub struct StreamChange {
    /// Grows from 1 with each.
    pub number: u64,
    pub slug: Slug,
    pub id: i64,
    /// Text of the event for all clients; made when the first one asks.
    text: OnceLock<Bytes>,
}

/// Changes after a number.
#[derive(Debug)]
pub enum ChangesSince {
    /// In their order.
    Changes(Vec<Arc<StreamChange>>),
    /// Too much was forgotten meanwhile; the newest number.
    TooLate(u64),
}

impl Default for ChangedStreams {
    fn default() -> Self {
        let process = format!("{:016x}", rand::rng().random::<u64>());
        Self(Arc::new(ChangesState { process, kept: Mutex::default(), newest: watch::Sender::new(0) }))
    }
}

impl ChangedStreams {
    /// Notes that a stream changed. Call when the table of streams shows it.
    pub fn note(&self, slug: &Slug, id: i64) {
        let mut kept = self.0.kept.lock();
        let number = *self.0.newest.borrow() + 1;
        if let Some(before) = kept.by_slug.insert(slug.clone(), number) {
            kept.by_number.remove(&before);
        }
        kept.by_number.insert(number, Arc::new(StreamChange { number, slug: slug.clone(), id, text: OnceLock::new() }));
        if kept.by_number.len() > KEPT
            && let Some((number, oldest)) = kept.by_number.pop_first()
        {
            kept.by_slug.remove(&oldest.slug);
            kept.forgotten = number;
        }
        // Under the lock: numbers are published in their order.
        self.0.newest.send_replace(number);
    }

    /// At most `most` changes after `number`.
    pub fn since(&self, number: u64, most: usize) -> ChangesSince {
        let kept = self.0.kept.lock();
        if number < kept.forgotten {
            return ChangesSince::TooLate(*self.0.newest.borrow());
        }
        ChangesSince::Changes(kept.by_number.range(number + 1..).take(most).map(|(_, change)| change.clone()).collect())
    }

    /// The newest number, for clients that wait for a larger one.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// A number as clients keep it.
    pub fn mark(&self, number: u64) -> String {
        format!("{}-{number}", self.0.process)
    }

    /// The number of a mark, when it is of this process and nothing after it was forgotten.
    pub fn resume(&self, mark: &str) -> Option<u64> {
        let (process, number) = mark.split_once('-')?;
        let number = number.parse().ok().filter(|_| process == self.0.process)?;
        let kept = self.0.kept.lock();
        (kept.forgotten..=*self.0.newest.borrow()).contains(&number).then_some(number)
    }
}

impl StreamChange {
    /// Text of the event: made by `tell` the first time, the same from then on. A later state of the stream is another
    /// change.
    pub fn text(&self, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.text.get_or_init(|| make(self)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(changed: &ChangedStreams, since: u64, most: usize) -> Option<Vec<u64>> {
        match changed.since(since, most) {
            ChangesSince::Changes(changes) => Some(changes.iter().map(|change| change.number).collect()),
            ChangesSince::TooLate(_) => None,
        }
    }

    fn slug(n: usize) -> Slug {
        Slug::parse(&format!("cam-{n}")).unwrap()
    }

    #[test]
    fn several_changes_of_one_stream_are_one() {
        let changed = ChangedStreams::default();
        for n in [1, 2, 1, 1, 3] {
            changed.note(&slug(n), 1);
        }
        assert_eq!(numbers(&changed, 0, 9).unwrap(), [2, 4, 5]);
        assert_eq!(numbers(&changed, 0, 2).unwrap(), [2, 4]);
        assert_eq!(numbers(&changed, 4, 9).unwrap(), [5]);
        assert!(numbers(&changed, 5, 9).unwrap().is_empty());
        assert_eq!(*changed.newest().borrow(), 5);
    }

    #[test]
    fn what_had_to_make_room_is_too_late() {
        let changed = ChangedStreams::default();
        (0..KEPT + 10).for_each(|n| changed.note(&slug(n), 1));
        assert!(numbers(&changed, 9, 1).is_none());
        assert_eq!(numbers(&changed, 10, 1).unwrap(), [11]);
        assert_eq!(numbers(&changed, 0, 1), None);
        // A stream that changes all the time displaces no other.
        (0..KEPT).for_each(|_| changed.note(&slug(KEPT), 1));
        assert_eq!(numbers(&changed, 10, KEPT + 1).unwrap().len(), KEPT);
        assert_eq!(changed.resume(&changed.mark(9)), None);
        assert_eq!(changed.resume(&changed.mark(10)), Some(10));
    }

    #[test]
    fn a_mark_counts_in_its_process_only() {
        let (changed, other) = (ChangedStreams::default(), ChangedStreams::default());
        for changed in [&changed, &other] {
            changed.note(&slug(1), 1);
        }
        assert_eq!(changed.resume(&changed.mark(1)), Some(1));
        let process = changed.mark(0).split_once('-').unwrap().0.to_owned();
        for bad in [other.mark(1), changed.mark(2), process.clone(), format!("{process}--1"), "-".into(), String::new()]
        {
            assert_eq!(changed.resume(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_change_is_put_into_words_once() {
        let changed = ChangedStreams::default();
        changed.note(&slug(1), 7);
        let ChangesSince::Changes(changes) = changed.since(0, 1) else { panic!("nothing was forgotten") };
        assert_eq!(changes[0].text(|change| change.id.to_string().into()), "7");
        assert_eq!(changes[0].text(|_| "again".into()), "7");
    }
}
