//! A farm with a viewer of every stream, and the interruption that these saw of a fault.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::harness::farm::{Farm, Owner, Plan};
use crate::harness::watch::{NatsWatcher, Watcher};
use crate::table::{line, seconds};

/// Pause after a move, so that late effects are seen, too.
const SETTLE: Duration = Duration::from_secs(3);

async fn settle() {
    tokio::time::sleep(SETTLE).await;
}

/// The kind of viewers.
enum Looks {
    Viewers(Vec<Watcher>),
    /// A consumer on NATS: while the API is away, no other viewer can watch.
    OnNats(NatsWatcher),
}

pub struct Field {
    pub farm: Farm,
    looks: Looks,
    before: BTreeMap<String, Owner>,
    sessions: Vec<(u64, u64)>,
}

impl Field {
    /// With a viewer on every stream.
    pub async fn of(plan: Plan) -> Self {
        let farm = plan.start().await;
        let looks = Looks::Viewers(farm.watch_all().await);
        Self { farm, looks, before: BTreeMap::new(), sessions: Vec::new() }.known().await
    }

    /// With a consumer on NATS that wants every stream.
    pub async fn on_nats(plan: Plan) -> Self {
        let farm = plan.start().await;
        let watcher = NatsWatcher::open(&farm.nats.url, farm.slugs()).await;
        watcher.more(&farm.slugs(), 3).await;
        Self { farm, looks: Looks::OnNats(watcher), before: BTreeMap::new(), sessions: Vec::new() }.known().await
    }

    async fn known(mut self) -> Self {
        settle().await;
        self.before = self.farm.until_all_run().await;
        self.sessions = self.farm.until_one_session_each().await;
        self
    }

    /// Begins the measured time.
    pub async fn begin(&mut self) {
        match &self.looks {
            Looks::Viewers(watchers) => watchers.iter().for_each(Watcher::begin),
            Looks::OnNats(watcher) => watcher.begin(),
        }
    }

    /// Owners of the streams before the fault.
    pub fn before(&self) -> &BTreeMap<String, Owner> {
        &self.before
    }

    /// The worker with the most streams.
    pub fn busiest(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        for owner in self.before.values() {
            *counts.entry(&owner.worker).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned()).expect("an owner")
    }

    /// Waits until nothing is with `worker`, everything runs and is seen.
    pub async fn until_moved_from(&self, worker: &str) {
        self.farm.until_owned("streams to move", |_, owner| owner.worker != worker).await;
        match &self.looks {
            Looks::Viewers(watchers) => {
                for watcher in watchers {
                    watcher.more(3).await;
                }
            }
            Looks::OnNats(watcher) => watcher.more(&self.farm.slugs(), 3).await,
        }
    }

    /// Prints the observations since [`Field::begin`].
    pub async fn report(&self, what: &str, bound: &str, restarts_bound: &str) {
        settle().await;
        let (mut gaps, mut closed, mut stale) = (Vec::new(), 0, 0);
        match &self.looks {
            Looks::Viewers(watchers) => {
                for seen in watchers.iter().map(Watcher::seen) {
                    gaps.push(seen.longest_gap);
                    closed += usize::from(seen.closed);
                    stale += seen.stale;
                }
            }
            Looks::OnNats(watcher) => gaps.extend(self.farm.slugs().iter().map(|slug| watcher.seen(slug).longest_gap)),
        }
        gaps.sort();
        let after = self.farm.owners().await;
        let moved = after.iter().filter(|(slug, owner)| self.before[*slug].worker != owner.worker).count();
        let placed = after.iter().filter(|(slug, owner)| self.before[*slug].epoch != owner.epoch).count();
        let sessions = self.farm.sessions().await;
        let opened: u64 = self.sessions.iter().zip(&sessions).map(|(before, after)| after.1 - before.1).sum();
        line(what, &gaps.last().map_or_else(String::new, |gap| seconds(*gap)), bound);
        let unmoved = gaps.len().saturating_sub(placed);
        if placed > 0 && unmoved > 0 {
            line("  longest gap of a stream that had no part in it", &seconds(self.apart(&after)), "");
        }
        if let Looks::Viewers(_) = self.looks {
            line("  sockets closed, stale frames shown", &format!("{closed}, {stale}"), "0, 0");
        }
        line("  streams moved, placed again", &format!("{moved}, {placed}"), "");
        line("  cameras opened again", &opened.to_string(), restarts_bound);
    }

    /// Longest gap of the streams whose owner is the same.
    fn apart(&self, after: &BTreeMap<String, Owner>) -> Duration {
        let same = |slug: &str| after.get(slug) == self.before.get(slug);
        let gaps: Vec<Duration> = match &self.looks {
            Looks::Viewers(watchers) => {
                watchers.iter().filter(|w| same(&w.slug)).map(|watcher| watcher.seen().longest_gap).collect()
            }
            Looks::OnNats(watcher) => {
                self.farm.slugs().iter().filter(|slug| same(slug)).map(|slug| watcher.seen(slug).longest_gap).collect()
            }
        };
        gaps.into_iter().max().unwrap_or_default()
    }
}
