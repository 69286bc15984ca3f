//! What must hold in every history, and what is seen of it: a relay that judges frames as the real one does.

use std::collections::HashMap;

use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::frame_headers::FrameHeaders;
use rsm_shared::wire::latest_frame::{FrameDecision, KnownOwners, LatestFrame};

use crate::world::{Ms, World};

#[derive(Default)]
pub struct Checks {
    seen: HashMap<Slug, Seen>,
    /// Epochs that were ever given out; they only grow.
    epochs: HashMap<Slug, Epoch>,
    /// Pipelines started.
    pub starts: u32,
    /// Camera sessions that are open, by stream.
    pub sessions: HashMap<Slug, u32>,
    /// The most that were open at a time of an exclusive camera.
    pub exclusive_most: u32,
    /// Frames of stale owners that were refused.
    pub refused: u64,
    pub failure: Option<String>,
}

#[derive(Default)]
struct Seen {
    latest: LatestFrame,
    /// What the API said last; kept while it is away.
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

    /// What the relay is told of a stream.
    pub fn tell(&mut self, slug: &Slug, known: KnownOwners) {
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
        // What the newest owner shows may be late when its network was; of nobody else.
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

    /// Why the world is not yet as it should be: every wanted stream delivers and has one owner, the newest (I3); what
    /// is not wanted runs nowhere (I4).
    pub fn unsettled(&self) -> Option<String> {
        for (slug, link) in &self.registered {
            let aside = self.poison.contains(slug);
            let owners = self.owners(slug);
            if aside {
                continue;
            }
            if link.enabled {
                let newest = self.newest(slug);
                // A hand-off that nobody takes up leaves the stream with its earlier owner.
                let handed = self.api.handed_from(slug);
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
