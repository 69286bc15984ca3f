//! Keeps NATS in shape: makes streams and consumers that are missing, notices when stored records were lost, and reports
//! to health while NATS is away.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rsm_control::api::arbiter::Arbiter;
use rsm_control::api::placement::ANSWER_AGE;
use rsm_control::api::queue_progress::QueueProgress;
use rsm_shared::backoff::jittered;
use rsm_shared::bus::BusError;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::tickets;
use rsm_shared::bus::topology::{self, Found};
use rsm_shared::ops::health::{Dependency, Health};
use rsm_shared::stream::names::Zone;
use rsm_shared::wire::messages::Priority;
use rsm_shared::wire::ticket_queue::TicketQueue;
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, warn};

/// Topology and stored records are checked this often, and at each connect.
const TOPOLOGY: Duration = Duration::from_secs(20);
/// At most this long after a failed check; half of it at least. A cluster that just began needs a few seconds.
const TOPOLOGY_RETRY: Duration = Duration::from_secs(1);
/// The state of queues is read this often while tickets wait.
const QUEUES: Duration = Duration::from_secs(1);
/// Most requests under way; reads of further queues wait for the next time.
const MAX_REQUESTS: usize = 64;

/// The answer of NATS to one request.
pub enum NatsReport {
    /// The topology was checked. `fresh`: a stream was missing, so NATS is new or was wiped, and what it held must be
    /// written again.
    Topology { fresh: bool, found: Result<Found, BusError> },
    /// The state of one queue.
    Queue { zone: Zone, priority: Priority, result: Result<TicketQueue, BusError> },
    /// The consumer of a queue was made anew, or the log says why not.
    ConsumerRecreated,
}

/// The shape of NATS as far as it is known, and the requests that are under way about it.
pub struct NatsWatch {
    bus: Bus,
    /// Copies of each stored record.
    replicas: usize,
    requests: JoinSet<NatsReport>,
    schedule: Schedule,
    fault: Option<String>,
    /// The topology was whole once.
    ready: bool,
    /// A stream was missing, and what it held is not yet written again.
    fresh: bool,
    next_queues: Instant,
    /// The progress of queues with tickets waiting; two for each zone at most.
    queues: HashMap<(Zone, Priority), QueueProgress>,
}

/// When to check the topology.
struct Schedule {
    next: Instant,
    under_way: bool,
    /// The zones of the last check.
    checked: BTreeSet<Zone>,
}

impl Schedule {
    fn new(now: Instant) -> Self {
        Self { next: now, under_way: false, checked: BTreeSet::new() }
    }

    /// Returns whether a check is due. A zone that was never checked does not wait for the next time; one whose check
    /// failed does.
    fn is_due(&self, zones: &BTreeSet<Zone>, now: Instant) -> bool {
        !self.under_way && (now >= self.next || !zones.is_subset(&self.checked))
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

impl NatsWatch {
    /// Watches NATS over that connection; stored records get `replicas` copies.
    pub fn new(bus: Bus, replicas: usize, now: Instant) -> Self {
        Self {
            bus,
            replicas,
            requests: JoinSet::new(),
            schedule: Schedule::new(now),
            fault: None,
            ready: false,
            fresh: false,
            next_queues: now,
            queues: HashMap::new(),
        }
    }

    /// The connection was made anew: the next check is due at once.
    pub fn reconnected(&mut self, now: Instant) {
        self.schedule.next = now;
    }

    /// The next answer; `None` while no request is under way. An error is a panic of its task. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<NatsReport, JoinError>> {
        self.requests.join_next().await
    }

    /// Takes in an answer of NATS.
    pub fn on_report(&mut self, report: NatsReport, arbiter: &mut Arbiter, now: Instant) {
        match report {
            NatsReport::Topology { fresh, found } => self.on_topology(fresh, found, arbiter, now),
            NatsReport::Queue { zone, priority, result } => self.on_queue(&zone, priority, result, arbiter, now),
            NatsReport::ConsumerRecreated => {}
        }
    }

    /// Reports the state of NATS to health, and begins a check of the topology when one is due.
    pub fn check(&mut self, arbiter: &Arbiter, health: &Health, now: Instant) {
        let connected = self.bus.connected();
        if let Some(refusal) = self.bus.refusal() {
            health.fault(Dependency::Nats, refusal);
        } else if !connected {
            health.fault(
                Dependency::Nats,
                "not connected to NATS; running streams go on, nothing can be started or stopped",
            );
        } else if let Some(fault) = &self.fault {
            health.fault(Dependency::Nats, fault.clone());
        } else if self.ready {
            health.well(Dependency::Nats);
        }
        if !connected {
            // Missing answers of queues mean nothing now.
            self.queues.clear();
            return;
        }
        let zones = zones(arbiter.streams().zones(), arbiter.roster().live().flat_map(|session| session.zones.iter()));
        if self.schedule.is_due(&zones, now) {
            self.schedule.under_way = true;
            self.schedule.checked.clone_from(&zones);
            let (bus, replicas) = (self.bus.clone(), self.replicas);
            self.requests.spawn(async move {
                let zones: Vec<Zone> = zones.into_iter().collect();
                let mut fresh = false;
                let found = topology::ensure(&bus, &zones, replicas, &mut fresh).await;
                NatsReport::Topology { fresh, found }
            });
        }
    }

    fn on_topology(&mut self, fresh: bool, found: Result<Found, BusError>, arbiter: &mut Arbiter, now: Instant) {
        self.schedule.under_way = false;
        // Kept until everything is in shape: a check that failed half-way must not forget it.
        self.fresh |= fresh;
        match found {
            Ok(found) => {
                self.fault = None;
                self.ready = true;
                self.schedule.next = now + TOPOLOGY;
                let delivered = arbiter.delivered_before(now, ANSWER_AGE);
                let fewer = found.desired_records < u64::try_from(delivered).unwrap_or(u64::MAX);
                if (std::mem::take(&mut self.fresh) || fewer) && arbiter.store_lost() > 0 && delivered > 0 {
                    warn!("NATS has lost its store; writing everything again");
                }
            }
            Err(e) => {
                if self.fault.is_none() {
                    warn!(repeats = true, error = %e, "JetStream is not ready, trying again");
                }
                self.fault = Some(format!("JetStream is not ready: {e}"));
                self.schedule.next = now + jittered(TOPOLOGY_RETRY, rand::random());
            }
        }
    }

    /// Reads the state of queues that have tickets waiting, also while the topology is not whole: a consumer without a
    /// leader keeps it from being so.
    pub fn read_queues(&mut self, mut waiting: BTreeSet<Zone>, now: Instant) {
        waiting.retain(|zone| self.schedule.checked.contains(zone));
        self.queues.retain(|(zone, _), _| waiting.contains(zone));
        if waiting.is_empty() || now < self.next_queues {
            return;
        }
        self.next_queues = now + QUEUES;
        for zone in waiting {
            for priority in Priority::ALL {
                if self.requests.len() < MAX_REQUESTS {
                    let (bus, zone) = (self.bus.clone(), zone.clone());
                    self.requests.spawn(async move {
                        let result = tickets::queue(&bus, &zone, priority).await;
                        NatsReport::Queue { zone, priority, result }
                    });
                }
            }
        }
    }

    fn on_queue(
        &mut self,
        zone: &Zone,
        priority: Priority,
        found: Result<TicketQueue, BusError>,
        arbiter: &mut Arbiter,
        now: Instant,
    ) {
        let seen = match found {
            Ok(queue) => {
                arbiter.on_queue(zone, priority, queue, now);
                Some(queue)
            }
            // It comes each second while it lasts, so operators get a line only when the consumer is made anew.
            Err(e) => {
                debug!(%zone, priority = priority.as_str(), error = %e, "the state of a queue of start tickets cannot be read");
                None
            }
        };
        let why = match self.queues.entry((zone.clone(), priority)) {
            Entry::Occupied(mut progress) => progress.get_mut().observe(seen, now),
            Entry::Vacant(none) => {
                none.insert(QueueProgress::new(seen, now));
                None
            }
        };
        if let Some(why) = why {
            let (bus, zone) = (self.bus.clone(), zone.clone());
            self.requests.spawn(async move {
                if let Err(e) = tickets::recreate(&bus, &zone, priority, why).await {
                    warn!(repeats = true, %zone, error = %e, "the consumer of start tickets cannot be made anew");
                }
                NatsReport::ConsumerRecreated
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_zone_is_checked_at_once_and_a_failed_one_at_leisure() {
        let (north, start) = (Zone::parse("north").unwrap(), Instant::now());
        let mut schedule = Schedule::new(start);
        let without = zones([].iter(), [].iter());
        assert_eq!(without, BTreeSet::from([Zone::default_zone()]));
        assert!(schedule.is_due(&without, start), "the first check");
        (schedule.checked, schedule.next) = (without.clone(), start + TOPOLOGY);
        assert!(!schedule.is_due(&without, start));
        for with in [zones([north.clone()].iter(), [].iter()), zones([].iter(), [north.clone()].iter())] {
            assert!(schedule.is_due(&with, start), "{with:?}");
            let waits = Schedule { under_way: true, checked: without.clone(), ..Schedule::new(start) };
            assert!(!waits.is_due(&with, start), "one check at a time");
            let failed = Schedule { checked: with.clone(), next: start + TOPOLOGY_RETRY, ..Schedule::new(start) };
            assert!(!failed.is_due(&with, start), "a failure is not repeated with every pass");
            assert!(failed.is_due(&with, start + TOPOLOGY_RETRY));
        }
    }
}
