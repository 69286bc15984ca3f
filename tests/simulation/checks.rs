//! The invariants of every history, and the relay that observes it: it judges frames as the real one does.

use std::collections::HashMap;

use rsm_model::stream::fence::{Epoch, Fence};
use rsm_model::stream::slug::Slug;
use rsm_model::wire::frame_headers::FrameHeaders;
use rsm_model::wire::latest_frame::{FrameDecision, KnownOwners, LatestFrame};

use crate::world::{Ms, World};

#[derive(Default)]
pub struct Checks {
    seen: HashMap<Slug, RelayedStream>,
    /// The last epoch of each stream; they only grow.
    epochs: HashMap<Slug, Epoch>,
    /// Pipelines started.
    pub starts: u32,
    /// Open camera sessions, by stream.
    pub sessions: HashMap<Slug, u32>,
    /// The most sessions of one exclusive camera that were open at a time.
    pub exclusive_most: u32,
    /// Frames of stale owners that were refused.
    pub refused: u64,
    pub failure: Option<String>,
}

#[derive(Default)]
struct RelayedStream {
    latest: LatestFrame,
    /// The last owners that the API published; kept while it is away.
    known: KnownOwners,
    fence: Option<Fence>,
    at: Ms,
    captured: Ms,
    longest_gap: Ms,
}

impl Checks {
    pub fn fail(&mut self, text: String) {
        self.failure.get_or_insert(text);
    }

    /// Epochs strictly grow: one that was used is never used again (I6).
    pub fn epoch(&mut self, slug: &Slug, epoch: Epoch) {
        if let Some(before) = self.epochs.insert(slug.clone(), epoch)
            && epoch <= before
        {
            self.fail(format!("{slug}: epoch {epoch} after {before}"));
        }
    }

    /// The API publishes the owners of a stream.
    pub fn publish(&mut self, slug: &Slug, known: KnownOwners) {
        self.seen.entry(slug.clone()).or_default().known = known;
    }

    pub fn longest_gap(&self, slug: &Slug) -> Ms {
        self.seen.get(slug).map_or(0, |seen| seen.longest_gap)
    }

    pub fn last_frame(&self, slug: &Slug) -> Option<(Ms, Fence)> {
        let seen = self.seen.get(slug)?;
        Some((seen.at, seen.fence?))
    }

    pub fn session(&mut self, slug: &Slug, exclusive: bool, change: i32) {
        let open = self.sessions.entry(slug.clone()).or_default();
        *open = open.saturating_add_signed(change);
        if exclusive {
            self.exclusive_most = self.exclusive_most.max(*open);
        }
    }
}

impl World {
    /// A frame reaches the relay.
    pub fn relay(&mut self, slug: Slug, fence: Fence, seq: u64, captured: Ms) {
        let now = self.now;
        let newest = self.newest(&slug);
        let headers =
            FrameHeaders { fence, seq, captured_at_us: captured * 1000, published_at_us: 0, width: 1, height: 1 };
        let seen = self.checks.seen.entry(slug.clone()).or_default();
        if seen.latest.admit(&headers, seen.known) == FrameDecision::Stale {
            self.checks.refused += 1;
            return;
        }
        // Two owners never alternate in front of a viewer (I1, I2).
        let stale = seen.fence.is_some_and(|before| fence < before);
        // Frames of the newest owner may be late when its network was; those of others may not.
        let back = seen.captured > captured + 700 && Some(fence.epoch) != newest;
        if seen.at > 0 {
            seen.longest_gap = seen.longest_gap.max(now - seen.at);
        }
        (seen.fence, seen.at) = (Some(fence), now);
        let before = std::mem::replace(&mut seen.captured, captured);
        if stale {
            self.checks.fail(format!("{slug}: a frame of {fence:?} after a newer owner's"));
        }
        if back {
            self.checks.fail(format!("{slug}: a frame of {captured} ms was shown after one of {before} ms"));
        }
    }

    /// Why the world has not settled: every wanted stream delivers and has one owner, the newest (I3); other streams run
    /// nowhere (I4).
    pub fn unsettled(&self) -> Option<String> {
        for (slug, link) in &self.registered {
            let owners = self.owners(slug);
            if self.poison.contains(slug) {
                continue;
            }
            if link.enabled {
                let newest = self.newest(slug);
                // A hand-off that no worker takes up leaves the stream with its earlier owner.
                let handed = self.api.earlier_epoch(slug);
                if owners.len() != 1 || (Some(owners[0].1.epoch) != newest && handed != Some(owners[0].1.epoch)) {
                    return Some(format!("{slug} should have one owner of {newest:?}, has {owners:?}"));
                }
                match self.checks.last_frame(slug) {
                    Some((at, fence)) if self.now - at < 2000 && fence == owners[0].1 => {}
                    other => return Some(format!("{slug} should be seen of {:?}, is {other:?}", owners[0].1)),
                }
            } else if !link.enabled && !owners.is_empty() {
                return Some(format!("{slug} is stopped and runs at {owners:?}"));
            }
        }
        let gone =
            self.database.keys().find(|slug| !self.registered.contains_key(slug) && !self.owners(slug).is_empty());
        gone.map(|slug| format!("{slug} was removed and runs at {:?}", self.owners(slug)))
    }

    /// Live workers that own a stream, and the fence.
    pub fn owners(&self, slug: &Slug) -> Vec<(usize, Fence)> {
        let live = self.workers.iter().enumerate().filter(|(_, worker)| worker.alive);
        live.filter_map(|(n, worker)| Some((n, worker.holding.get(slug)?.fence))).collect()
    }
}
