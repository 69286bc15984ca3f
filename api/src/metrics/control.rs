//! Metrics of control: only the API has them.

use std::time::Duration;

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec};
use rsm_control::api::observer::{ClaimChange, CommandResult, Observer, Workforce};
use rsm_viewing::metrics::samples::show_all;

/// From a camera that answers at once to one whose worker has to be declared dead first; seconds.
const START_BUCKETS: [f64; 12] = [0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0];

rsm_shared::metrics_table! {
    /// Counters of workers and of the commands that they get.
    #[derive(Clone)]
    pub struct ControlTable {
        /// Worker processes: live, draining (they let others take over), lost (they fell silent without a goodbye, and are
        /// not back; forgotten after 15 minutes). Of lost ones: look at their machine, and at the log that they left.
        pub workers: IntGaugeVec = "rsm_workers" by ["state"],
        /// Streams that all live workers run at most.
        pub capacity: IntGauge = "rsm_farm_capacity",
        /// Streams that all live workers would take now: as capacity, memory and processor allow. At 0 new streams wait:
        /// add a worker.
        pub room: IntGauge = "rsm_farm_room",
        /// Time from the moment a stream was wanted, or had to be placed anew, until it is running. Starts that the camera
        /// held up do not count; rsm_stream_state tells of those. When it grows: see whether workers have room, and whether
        /// NATS and the disk of the database are quick.
        pub start_seconds: Histogram = "rsm_stream_start_seconds" in START_BUCKETS,
        /// Commands by kind and outcome: start and stop as NATS took them, store when no epoch could be committed before.
        /// Errors are tried again; the log has the cause.
        pub commands: IntCounterVec = "rsm_commands_total" by ["kind", "outcome"],
        /// Streams that live workers own.
        pub claims: IntGauge = "rsm_claims",
        /// Changes of a stream's owner: claimed by a new one, released by a stop, and why it moves: failover, drain,
        /// rebalance, quarantined. Failovers without a lost worker: heartbeats do not come through in time.
        pub claim_changes: IntCounterVec = "rsm_claim_changes_total" by ["reason"],
    }
}

/// The metrics of control. Cheap to clone.
#[derive(Clone)]
pub struct ControlMetrics {
    table: ControlTable,
    pub nats_connected: IntGauge,
}

impl ControlMetrics {
    /// Every sample of the closed sets is there from the beginning, so that the first one shows as an increase.
    pub fn new(table: ControlTable, nats_connected: IntGauge) -> Self {
        show_all(&table.claim_changes, ClaimChange::ALL.map(|change| [change.as_str()]));
        show_all(&table.commands, CommandResult::ALL.map(CommandResult::labels));
        let metrics = Self { table, nats_connected };
        metrics.count_workers(Workforce::default());
        metrics
    }

    /// A stream runs, `after` it was wanted or lost its owner.
    pub fn started(&self, after: Duration) {
        self.table.start_seconds.observe(after.as_secs_f64());
    }
}

impl Observer for ControlMetrics {
    fn claim_changed(&self, change: ClaimChange) {
        self.table.claim_changes.with_label_values(&[change.as_str()]).inc();
    }

    fn command_ended(&self, result: CommandResult) {
        self.table.commands.with_label_values(&result.labels()).inc();
    }

    fn count_claims(&self, streams: usize) {
        self.table.claims.set(i64::try_from(streams).unwrap_or(i64::MAX));
    }

    fn count_workers(&self, now: Workforce) {
        for (state, count) in [("live", now.live), ("draining", now.draining), ("lost", now.lost)] {
            self.table.workers.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.table.capacity.set(i64::try_from(now.capacity).unwrap_or(i64::MAX));
        self.table.room.set(i64::try_from(now.room).unwrap_or(i64::MAX));
    }
}
