//! Counts of log lines that need attention. They are counted for the whole process, where they are written.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tracing::Level;

use super::table::SeenCounter;

crate::metrics_table! {
    /// Metrics of every process about its log.
    pub struct LogTable {
        /// Lines of the log that ask for attention, by level. A rate of errors above 0: read the log of this process.
        pub lines: SeenCounter = "rsm_log_lines_total" by ["level"],
        /// Lines of the log that were dropped because its reader did not take them. Above 0: the reader of standard error
        /// (a paused terminal, a full pipe, a log shipper) stands still or is too slow.
        pub dropped: SeenCounter = "rsm_log_lines_dropped_total",
    }
}

static WARNINGS: AtomicU64 = AtomicU64::new(0);
static ERRORS: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A line of that level is written.
pub fn count(level: &Level) {
    let counter = match *level {
        Level::WARN => &WARNINGS,
        Level::ERROR => &ERRORS,
        _ => return,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A line found no room in the queue of the log.
pub fn count_dropped() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// Lines of warnings and of errors since this process began.
pub fn so_far() -> (u64, u64) {
    (WARNINGS.load(Ordering::Relaxed), ERRORS.load(Ordering::Relaxed))
}

/// Shows them.
pub(super) struct LogLines(LogTable);

impl LogLines {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        LogTable::unregistered().map(Self)
    }
}

impl Collector for LogLines {
    fn desc(&self) -> Vec<&Desc> {
        vec![self.0.lines.desc(), self.0.dropped.desc()]
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 lines")]
    fn collect(&self) -> Vec<MetricFamily> {
        let (warnings, errors) = so_far();
        vec![
            self.0.lines.family([(["warn"], warnings as f64), (["error"], errors as f64)]),
            self.0.dropped.value(DROPPED.load(Ordering::Relaxed) as f64),
        ]
    }
}
