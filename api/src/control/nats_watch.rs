//! Keeps NATS in shape: what is missing is made, what was lost is written again, and health says when it is away.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rsm_shared::bus::BusError;
use rsm_shared::bus::tickets::{self, Queue};
use rsm_shared::bus::topology::{self, Found};
use rsm_shared::stream::names::Zone;
use rsm_shared::wire::messages::Priority;
use tracing::warn;

use super::outcomes::Done;
use super::reconciler::{MAX_TASKS, Reconciler};
use super::tracked::ANSWER_AGE;

/// Topology and stored records are looked at this often, and at each connect.
const TOPOLOGY: Duration = Duration::from_secs(20);
/// After a failed try. A cluster that just began needs a few seconds.
const TOPOLOGY_RETRY: Duration = Duration::from_secs(1);
/// A queue that has tickets, and workers that wait, and moves nothing for this long is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// How far the queues have come is asked this often while tickets wait.
const DELIVERED: Duration = Duration::from_secs(1);

/// What a task of the reconciler brought back.
pub enum Finished {
    /// `None` for a command that leads to nothing worth knowing.
    Command(Option<Done>),
    /// Whether a stream was missing: NATS is new or was wiped, and what it held must be written again.
    Topology { fresh: bool, found: Result<Found, BusError> },
    /// How far a queue has come.
    Queue { zone: Zone, priority: Priority, result: Result<Queue, BusError> },
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
    /// Queues with tickets waiting, as they were when they last moved; two for each zone at most.
    stands: HashMap<(Zone, Priority), (Instant, Queue)>,
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
            stands: HashMap::new(),
        }
    }
}

impl Reconciler {
    /// Keeps NATS in shape, and says when it is away.
    pub(super) fn check_nats(&mut self, now: Instant) {
        let connected = self.executor.bus.connected();
        self.metrics.nats_connected.set(i64::from(connected));
        if let Some(refusal) = self.executor.bus.refusal() {
            self.health.fault("nats", refusal);
        } else if !connected {
            self.health
                .fault("nats", "not connected to NATS; running streams go on, nothing can be started or stopped");
        } else if let Some(fault) = &self.nats.fault {
            self.health.fault("nats", fault.clone());
        } else if self.nats.ready {
            self.health.well("nats");
        }
        if connected && !self.nats.under_way && now >= self.nats.next_topology {
            self.nats.under_way = true;
            let mut zones: BTreeSet<Zone> = self.directory.all().iter().map(|e| e.link().zone.clone()).collect();
            zones.insert(Zone::default_zone());
            zones.extend(self.arbiter.roster().live().flat_map(|s| s.zones.iter().cloned()));
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
                if std::mem::take(&mut self.nats.fresh)
                    || found.desired_records < u64::try_from(told).unwrap_or(u64::MAX)
                {
                    if self.arbiter.store_lost() > 0 && told > 0 {
                        warn!("NATS has lost its store; writing everything again");
                    }
                }
            }
            Err(e) => {
                if self.nats.fault.is_none() {
                    warn!("JetStream is not ready: {e}");
                }
                self.nats.fault = Some(format!("JetStream is not ready: {e}"));
                self.nats.next_topology = now + TOPOLOGY_RETRY;
            }
        }
    }

    /// Asks how far the queues have come that have tickets waiting.
    pub(super) fn ask_queues(&mut self, now: Instant) {
        let waiting = self.arbiter.waiting();
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

    pub(super) fn note_queue(&mut self, zone: &Zone, priority: Priority, found: Result<Queue, BusError>, now: Instant) {
        let queue = match found {
            Ok(queue) => queue,
            Err(e) => return warn!(%zone, "{e}"),
        };
        self.arbiter.note_queue(zone, priority, queue, now);
        let (since, before) = self.nats.stands.entry((zone.clone(), priority)).or_insert((now, queue));
        if !queue.stands_still_since(before) || queue.unacknowledged > 0 {
            (*since, *before) = (now, queue);
        } else if now.saturating_duration_since(*since) >= STUCK {
            *since = now;
            let (bus, zone) = (self.executor.bus.clone(), zone.clone());
            self.tasks.spawn(async move {
                if let Err(e) = tickets::recreate(&bus, &zone, priority).await {
                    warn!(%zone, "{e}");
                }
                Finished::Command(None)
            });
        }
    }
}
