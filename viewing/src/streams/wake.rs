//! The streams that the reconciler has to look at: something was added, changed, removed or wanted.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use rsm_shared::stream::slug::Slug;
use tokio::sync::Notify;

/// Most streams noted by name; beyond that every stream counts as noted. Relays note and never take.
const MAX_NOTED: usize = 4096;

/// Notes of streams for one task that waits. Cheap to clone.
#[derive(Clone, Default)]
pub struct Wake(Arc<WakeParts>);

#[derive(Default)]
struct WakeParts {
    notify: Notify,
    noted: Mutex<NotedStreams>,
}

/// The streams noted since they were taken last.
#[derive(Debug, PartialEq, Eq)]
pub enum NotedStreams {
    /// Too many to name.
    All,
    /// At most `MAX_NOTED`, in no order.
    These(HashSet<Slug>),
}

impl Default for NotedStreams {
    fn default() -> Self {
        Self::These(HashSet::new())
    }
}

impl Wake {
    /// Notes a stream and wakes the task. Call it after the change is in place.
    pub fn note(&self, slug: &Slug) {
        let mut noted = self.0.noted.lock();
        if let NotedStreams::These(slugs) = &mut *noted {
            slugs.insert(slug.clone());
            if slugs.len() > MAX_NOTED {
                *noted = NotedStreams::All;
            }
        }
        drop(noted);
        self.0.notify.notify_one();
    }

    /// Waits until a stream was noted since this returned last. Cancel safe.
    pub async fn woken(&self) {
        self.0.notify.notified().await;
    }

    /// The streams noted since the last call.
    pub fn take(&self) -> NotedStreams {
        std::mem::take(&mut self.0.noted.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_once_until_there_are_too_many() {
        let wake = Wake::default();
        let slug = |n: usize| Slug::parse(&format!("cam{n}")).unwrap();
        for n in [1, 2, 1] {
            wake.note(&slug(n));
        }
        assert_eq!(wake.take(), NotedStreams::These([slug(1), slug(2)].into()));
        assert_eq!(wake.take(), NotedStreams::default());
        (0..=MAX_NOTED).for_each(|n| wake.note(&slug(n)));
        assert_eq!(wake.take(), NotedStreams::All);
    }
}
