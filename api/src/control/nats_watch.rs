//! Keeps NATS in shape: what is missing is made, what was lost is written again, and health says when it is away.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rsm_shared::bus::BusError;
use rsm_shared::bus::topology::Found;
use rsm_shared::stream::names::Zone;
use rsm_shared::wire::messages::Priority;
use tracing::warn;

use super::plan::Told;
use super::reconciler::{MAX_STEPS, Reconciler};
use super::tracked::ANSWER_AGE;

/// Topology and stored records are looked at this often, and at each connect.
const TOPOLOGY: Duration = Duration::from_secs(20);
/// After a failed try. A cluster that just began needs a few seconds.
const TOPOLOGY_RETRY: Duration = Duration::from_secs(1);
/// How far the queues have come is asked this often while tickets wait.
const DELIVERED: Duration = Duration::from_secs(1);

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
}

impl NatsWatch {
    pub fn new(now: Instant) -> Self {
        Self { next_topology: now, under_way: false, fault: None, ready: false, next_delivered: now, fresh: false }
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
            zones.extend(self.roster.live().flat_map(|s| s.zones.iter().cloned()));
            self.steps.spawn(self.executor.clone().topology(zones.into_iter().collect()));
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
                let told = self.placements.values().filter(|t| t.is_told_before(now, ANSWER_AGE)).count();
                if std::mem::take(&mut self.nats.fresh)
                    || found.desired_records < u64::try_from(told).unwrap_or(u64::MAX)
                {
                    if told > 0 {
                        warn!("NATS has lost its store; writing everything again");
                    }
                    for tracked in self.placements.values_mut() {
                        tracked.told = Told::Never;
                        tracked.ticket = None;
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

    pub(super) fn ask_delivered(&mut self, waiting: BTreeSet<Zone>, now: Instant) {
        if waiting.is_empty() || now < self.nats.next_delivered {
            return;
        }
        self.nats.next_delivered = now + DELIVERED;
        for zone in waiting {
            for priority in Priority::ALL {
                if self.steps.len() < MAX_STEPS {
                    self.steps.spawn(self.executor.clone().queue(zone.clone(), priority));
                }
            }
        }
    }
}
