//! Keeps NATS in shape: what is missing is made, what was lost is written again, and health says when it is away.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rsm_shared::bus::BusError;
use rsm_shared::bus::tickets;
use rsm_shared::bus::topology::{self, Found};
use rsm_shared::ops::health::Dependency;
use rsm_shared::stream::names::Zone;
use rsm_shared::wire::messages::Priority;
use rsm_shared::wire::ticket_queue::TicketQueue;
use tracing::{debug, warn};

use super::arbiter::Wish;
use super::outcomes::Done;
use super::queue_watch::Stand;
use super::reconciler::{MAX_TASKS, Reconciler};
use super::tracked::ANSWER_AGE;

/// Topology and stored records are looked at this often, and at each connect.
const TOPOLOGY: Duration = Duration::from_secs(20);
/// After a failed try. A cluster that just began needs a few seconds.
const TOPOLOGY_RETRY: Duration = Duration::from_secs(1);
/// How far the queues have come is asked this often while tickets wait.
const DELIVERED: Duration = Duration::from_secs(1);

/// What a task of the reconciler brought back.
pub enum Finished {
    /// `None` for a command that leads to nothing worth knowing.
    Command(Option<Done>),
    /// Whether a stream was missing: NATS is new or was wiped, and what it held must be written again.
    Topology { fresh: bool, found: Result<Found, BusError> },
    /// How far a queue has come.
    Queue { zone: Zone, priority: Priority, result: Result<TicketQueue, BusError> },
}

/// How NATS stands.
pub(super) struct NatsWatch {
    pub next_topology: Instant,
    under_way: bool,
    fault: Option<String>,
    /// The topology was seen to be whole once.
    ready: bool,
    next_delivered: Instant,
    /// A stream was missing, and what it held is not yet written again.
    fresh: bool,
    /// Zones whose queues were asked for last.
    asked: BTreeSet<Zone>,
    /// Queues with tickets waiting, as they were when they last moved; two for each zone at most.
    stands: HashMap<(Zone, Priority), Stand>,
}

impl NatsWatch {
    pub fn new(now: Instant) -> Self {
        Self {
            next_topology: now,
            under_way: false,
            fault: None,
            ready: false,
            next_delivered: now,
            fresh: false,
            asked: BTreeSet::new(),
            stands: HashMap::new(),
        }
    }

    /// Whether it is time to look: a zone that was not asked for yet does not wait for the next look. One that was, and
    /// failed, does.
    fn is_due(&self, zones: &BTreeSet<Zone>, now: Instant) -> bool {
        !self.under_way && (now >= self.next_topology || !zones.is_subset(&self.asked))
    }
}

/// Every zone that needs queues: those of links are 64 at most, those of workers as many as operators give them.
fn zones<'a>(of_links: impl Iterator<Item = &'a Zone>, of_workers: impl Iterator<Item = &'a Zone>) -> BTreeSet<Zone> {
    let mut zones = BTreeSet::from([Zone::default_zone()]);
    for zone in of_links.chain(of_workers) {
        if !zones.contains(zone) {
            zones.insert(zone.clone());
        }
    }
    zones
}

impl Reconciler {
    /// Keeps NATS in shape, and says when it is away.
    pub(super) fn check_nats(&mut self, wishes: &[Wish], now: Instant) {
        let connected = self.executor.bus.connected();
        self.metrics.nats_connected.set(i64::from(connected));
        if let Some(refusal) = self.executor.bus.refusal() {
            self.health.fault(Dependency::Nats, refusal);
        } else if !connected {
            self.health.fault(
                Dependency::Nats,
                "not connected to NATS; running streams go on, nothing can be started or stopped",
            );
        } else if let Some(fault) = &self.nats.fault {
            self.health.fault(Dependency::Nats, fault.clone());
        } else if self.nats.ready {
            self.health.well(Dependency::Nats);
        }
        if !connected {
            // Silence says nothing now.
            self.nats.stands.clear();
            return;
        }
        let zones = zones(
            wishes.iter().map(|wish| &wish.zone),
            self.arbiter.roster().live().flat_map(|session| session.zones.iter()),
        );
        if self.nats.is_due(&zones, now) {
            self.nats.under_way = true;
            self.nats.asked.clone_from(&zones);
            let (bus, replicas) = (self.executor.bus.clone(), self.executor.replicas);
            self.tasks.spawn(async move {
                let zones: Vec<Zone> = zones.into_iter().collect();
                let mut fresh = false;
                let found = topology::ensure(&bus, &zones, replicas, &mut fresh).await;
                Finished::Topology { fresh, found }
            });
        }
    }

    pub(super) fn note_topology(&mut self, fresh: bool, found: Result<Found, BusError>, now: Instant) {
        self.nats.under_way = false;
        // Kept until everything is in shape: a round that failed half-way must not forget it.
        self.nats.fresh |= fresh;
        match found {
            Ok(found) => {
                self.nats.fault = None;
                self.nats.ready = true;
                self.nats.next_topology = now + TOPOLOGY;
                let told = self.arbiter.told_before(now, ANSWER_AGE);
                let fewer = found.desired_records < u64::try_from(told).unwrap_or(u64::MAX);
                if (std::mem::take(&mut self.nats.fresh) || fewer) && self.arbiter.store_lost() > 0 && told > 0 {
                    warn!("NATS has lost its store; writing everything again");
                }
            }
            Err(e) => {
                if self.nats.fault.is_none() {
                    warn!(repeats = true, error = %e, "JetStream is not ready, trying again");
                }
                self.nats.fault = Some(format!("JetStream is not ready: {e}"));
                self.nats.next_topology = now + TOPOLOGY_RETRY;
            }
        }
    }

    /// Asks how far the queues have come that have tickets waiting. Also while the topology is not whole: a consumer
    /// that nobody leads keeps it from being so.
    pub(super) fn ask_queues(&mut self, now: Instant) {
        let mut waiting = self.arbiter.waiting();
        waiting.retain(|zone| self.nats.asked.contains(zone));
        self.nats.stands.retain(|(zone, _), _| waiting.contains(zone));
        if waiting.is_empty() || now < self.nats.next_delivered {
            return;
        }
        self.nats.next_delivered = now + DELIVERED;
        for zone in waiting {
            for priority in Priority::ALL {
                if self.tasks.len() < MAX_TASKS {
                    let (bus, zone) = (self.executor.bus.clone(), zone.clone());
                    self.tasks.spawn(async move {
                        let result = tickets::queue(&bus, &zone, priority).await;
                        Finished::Queue { zone, priority, result }
                    });
                }
            }
        }
    }

    pub(super) fn note_queue(
        &mut self,
        zone: &Zone,
        priority: Priority,
        found: Result<TicketQueue, BusError>,
        now: Instant,
    ) {
        let seen = match found {
            Ok(queue) => {
                self.arbiter.note_queue(zone, priority, queue, now);
                Some(queue)
            }
            // Each second, while it lasts: what is done about it is what a person is told.
            Err(e) => {
                debug!(%zone, priority = priority.as_str(), error = %e, "the queue of start tickets cannot be looked at");
                None
            }
        };
        let why = match self.nats.stands.entry((zone.clone(), priority)) {
            Entry::Occupied(mut stand) => stand.get_mut().look(seen, now),
            Entry::Vacant(none) => {
                none.insert(Stand::new(seen, now));
                None
            }
        };
        if let Some(why) = why {
            let (bus, zone) = (self.executor.bus.clone(), zone.clone());
            self.tasks.spawn(async move {
                if let Err(e) = tickets::recreate(&bus, &zone, priority, why).await {
                    warn!(repeats = true, %zone, error = %e, "the consumer of start tickets cannot be made anew");
                }
                Finished::Command(None)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_zone_is_looked_after_at_once_and_tried_again_at_leisure() {
        let (north, start) = (Zone::parse("north").unwrap(), Instant::now());
        let mut watch = NatsWatch::new(start);
        let without = zones([].iter(), [].iter());
        assert_eq!(without, BTreeSet::from([Zone::default_zone()]));
        assert!(watch.is_due(&without, start), "the first look");
        (watch.asked, watch.next_topology) = (without.clone(), start + TOPOLOGY);
        assert!(!watch.is_due(&without, start));
        for with in [zones([north.clone()].iter(), [].iter()), zones([].iter(), [north.clone()].iter())] {
            assert!(watch.is_due(&with, start), "{with:?}");
            let waits = NatsWatch { under_way: true, asked: without.clone(), ..NatsWatch::new(start) };
            assert!(!waits.is_due(&with, start), "one look at a time");
            let failed =
                NatsWatch { asked: with.clone(), next_topology: start + TOPOLOGY_RETRY, ..NatsWatch::new(start) };
            assert!(!failed.is_due(&with, start), "a failure is not repeated with every pass");
            assert!(failed.is_due(&with, start + TOPOLOGY_RETRY));
        }
    }
}
