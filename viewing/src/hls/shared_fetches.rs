//! One request under way for each object, whatever the number of players that ask for it; and the answers, kept for a
//! while. A player that leaves does not end the request that others wait for.
//!
//! moka's own coalescing (`get_with`) runs the request inside the task of the first caller: when that player leaves, the
//! others begin anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use moka::future::Cache;
use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::sync::watch;

/// Requests under way: at most one for each object, and no more than there are turns for requests.
type PendingFetches<K, V> = Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>;

/// Answers by the object that was asked for. Cheap to clone.
pub struct SharedFetches<K, V> {
    kept: Cache<K, V>,
    /// True for answers that are kept.
    keep: fn(&V) -> bool,
    under_way: PendingFetches<K, V>,
    /// Answers that the request of another player had brought.
    hits: IntCounter,
}

impl<K, V> Clone for SharedFetches<K, V> {
    fn clone(&self) -> Self {
        Self { kept: self.kept.clone(), keep: self.keep, under_way: self.under_way.clone(), hits: self.hits.clone() }
    }
}

impl<K, V> SharedFetches<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Keeps in `kept` the answers that `keep` selects.
    pub fn new(kept: Cache<K, V>, keep: fn(&V) -> bool, hits: IntCounter) -> Self {
        Self { kept, keep, under_way: Arc::default(), hits }
    }

    /// The answer that is kept, or the one to the request under way, or to the request that `ask` makes. `None` when that
    /// ended without an answer, which is a mistake in the program.
    pub async fn get<F>(&self, key: K, ask: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        if let Some(answer) = self.kept.get(&key).await {
            self.hits.inc();
            return Some(answer);
        }
        let mut coming = self.join(key, ask);
        let answer = coming.wait_for(Option::is_some).await.ok()?;
        answer.clone()
    }

    fn join<F>(&self, key: K, ask: impl FnOnce() -> F) -> watch::Receiver<Option<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = self.under_way.lock();
        if let Some(coming) = under_way.get(&key) {
            self.hits.inc();
            return coming.clone();
        }
        let (tell, coming) = watch::channel(None);
        under_way.insert(key.clone(), coming.clone());
        let entry = PendingEntry { under_way: self.under_way.clone(), key: key.clone() };
        let (kept, keep, asked) = (self.kept.clone(), self.keep, ask());
        tokio::spawn(async move {
            // One that has just ended is kept by now.
            let answer = match kept.get(&key).await {
                Some(answer) => answer,
                None => {
                    let answer = asked.await;
                    if keep(&answer) {
                        kept.insert(key, answer.clone()).await;
                    }
                    answer
                }
            };
            drop(entry);
            tell.send_replace(Some(answer));
        });
        coming
    }

    #[cfg(test)]
    pub fn kept(&self) -> &Cache<K, V> {
        &self.kept
    }
}

/// Removes a request from those under way when it ends, also by a panic.
struct PendingEntry<K: Eq + Hash, V> {
    under_way: PendingFetches<K, V>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for PendingEntry<K, V> {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, poll};
    use tokio::sync::oneshot;

    fn shared() -> SharedFetches<u32, Result<u32, ()>> {
        let hits = IntCounter::new("hits", "hits").unwrap();
        SharedFetches::new(Cache::new(10), Result::is_ok, hits)
    }

    #[tokio::test]
    async fn who_asks_meanwhile_or_later_makes_no_request() {
        let shared = shared();
        let (answer, asked) = oneshot::channel();
        let mut first = Box::pin(shared.get(1, || async { Ok(asked.await.unwrap()) }));
        assert!(poll!(&mut first).is_pending());
        let mut second = Box::pin(shared.get(1, || async { panic!("asked twice") }));
        assert!(poll!(&mut second).is_pending());
        answer.send(7).unwrap();
        assert_eq!((first.await, second.await), (Some(Ok(7)), Some(Ok(7))));
        assert_eq!(shared.get(1, || async { panic!("asked again") }).await, Some(Ok(7)));
        assert_eq!(shared.hits.get(), 2);
        assert!(shared.under_way.lock().is_empty());
    }

    #[tokio::test]
    async fn the_leaving_of_who_asked_first_ends_nothing() {
        let shared = shared();
        let (answer, asked) = oneshot::channel();
        let mut first = Box::pin(shared.get(1, || async { Ok(asked.await.unwrap()) }));
        assert!(poll!(&mut first).is_pending());
        let second = shared.get(1, || async { panic!("asked twice") });
        drop(first);
        answer.send(7).unwrap();
        assert_eq!(second.await, Some(Ok(7)));
    }

    #[tokio::test]
    async fn what_is_not_kept_and_what_ended_in_a_panic_is_asked_for_again() {
        let shared = shared();
        assert_eq!(shared.get(1, || async { Err(()) }).await, Some(Err(())));
        assert_eq!(shared.get(1, || async { panic!("on purpose") }.map(|()| Ok(0))).await, None);
        assert_eq!(shared.get(1, || async { Ok(7) }).await, Some(Ok(7)));
        assert!(shared.under_way.lock().is_empty());
    }
}
