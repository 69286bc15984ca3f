//! Which worker process owns each stream, kept up to date with every heartbeat: nothing derives it anew in each pass.

use std::collections::HashMap;

use rsm_model::stream::fence::Fence;
use rsm_model::stream::names::SessionId;
use rsm_model::stream::slug::Slug;

/// The processes that report each stream: one for each in general, two during a hand-off; as many as there are live
/// workers at most.
#[derive(Debug, Default)]
pub struct Owners(HashMap<Slug, Vec<(Fence, SessionId)>>);

impl Owners {
    /// Notes that `session` owns the stream under `fence`, which replaces the fence that it reported before.
    pub fn set(&mut self, slug: &Slug, session: &SessionId, fence: Fence) {
        let holders = self.0.entry(slug.clone()).or_default();
        match holders.iter_mut().find(|(_, holder)| holder == session) {
            Some(holder) => holder.0 = fence,
            None => holders.push((fence, session.clone())),
        }
    }

    /// Notes that `session` owns the stream no longer.
    pub fn unset(&mut self, slug: &Slug, session: &SessionId) {
        let Some(holders) = self.0.get_mut(slug) else { return };
        holders.retain(|(_, holder)| holder != session);
        if holders.is_empty() {
            self.0.remove(slug);
        }
    }

    /// The process that owns a stream by the newest fence; of two with one fence the first in the order of sessions.
    pub fn newest(&self, slug: &Slug) -> Option<&SessionId> {
        let holders = self.0.get(slug)?;
        let newest = holders.iter().max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
        newest.map(|(_, session)| session)
    }

    /// Streams that have an owner.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether no stream has an owner.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_model::stream::fence::Epoch;

    #[test]
    fn the_newest_fence_owns_and_the_next_one_follows_when_it_leaves() {
        let (mut owners, yard) = (Owners::default(), Slug::parse("yard").unwrap());
        let session = |name: &str| SessionId::parse(name).unwrap();
        let fence = |epoch, revision| Fence { epoch: Epoch(epoch), revision };
        owners.set(&yard, &session("w1-a"), fence(1, 1));
        owners.set(&yard, &session("w2-a"), fence(2, 1));
        assert_eq!(owners.newest(&yard), Some(&session("w2-a")));
        owners.set(&yard, &session("w1-a"), fence(2, 2));
        assert_eq!((owners.newest(&yard), owners.len()), (Some(&session("w1-a")), 1));
        owners.unset(&yard, &session("w1-a"));
        assert_eq!(owners.newest(&yard), Some(&session("w2-a")));
        owners.unset(&yard, &session("w2-a"));
        assert!(owners.newest(&yard).is_none() && owners.is_empty());
    }
}
