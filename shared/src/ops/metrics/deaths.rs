//! Counts of the processes with this place in `rsm up` that a signal ended. A process that dies cannot count its own
//! death: its parent does, and passes the counts to the process that it starts instead.

use std::fmt;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::table::SeenCounter;

/// The environment variable that the counts are passed in, as `SIGSEGV=2,other=1`.
pub const VARIABLE: &str = "RSM_DEATHS";
/// Values of the label: the signals of faults, the one that the kernel sends when memory runs out, and all others.
const SIGNALS: [&str; 7] = ["SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGSEGV", OTHER];
const OTHER: &str = "other";

crate::metrics_table! {
    /// The counts that `rsm up` keeps for its children.
    pub struct DeathTable {
        /// Ends by a signal of the processes that had this one's place below rsm up, since rsm up began. Of SIGSEGV, SIGBUS,
        /// SIGILL, SIGFPE and SIGABRT: a fault of the program, see RsmProcessDied in the runbook. Of SIGKILL: look at the
        /// memory of the machine.
        pub deaths: SeenCounter = "rsm_deaths_by_signal_total" by ["signal"],
    }
}

/// Ends by each signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deaths([u64; SIGNALS.len()]);

impl Deaths {
    /// Those that the parent passed on; none where there is no such parent, and none of what is not understood.
    #[must_use]
    pub fn passed_on() -> Self {
        std::env::var(VARIABLE).map(|text| Self::read(&text)).unwrap_or_default()
    }

    fn read(text: &str) -> Self {
        let count_of = |signal: &str| text.split(',').find_map(|part| part.strip_prefix(signal)?.strip_prefix('='));
        Self(SIGNALS.map(|signal| count_of(signal).and_then(|count| count.parse().ok()).unwrap_or(0)))
    }

    /// Counts one, by the name of its signal, such as `SIGSEGV`.
    pub fn count(&mut self, signal: &str) {
        let known = SIGNALS.iter().position(|known| *known == signal).unwrap_or(SIGNALS.len() - 1);
        self.0[known] += 1;
    }
}

/// As [`VARIABLE`] holds them.
impl fmt::Display for Deaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = SIGNALS.iter().zip(self.0).filter(|(_, count)| *count > 0);
        for (i, (signal, count)) in counts.enumerate() {
            write!(f, "{}{signal}={count}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Shows those that the parent passed on.
pub(super) struct DeathsSeen {
    table: DeathTable,
    deaths: Deaths,
}

impl DeathsSeen {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self { table: DeathTable::unregistered()?, deaths: Deaths::passed_on() })
    }
}

impl Collector for DeathsSeen {
    fn desc(&self) -> Vec<&Desc> {
        vec![self.table.deaths.desc()]
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 deaths")]
    fn collect(&self) -> Vec<MetricFamily> {
        let counts = SIGNALS.iter().zip(self.deaths.0).map(|(signal, count)| ([*signal], count as f64));
        vec![self.table.deaths.family(counts)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_are_written() {
        let mut deaths = Deaths::default();
        assert_eq!(deaths.to_string(), "");
        ["SIGSEGV", "SIGKILL", "SIGUSR1", "SIGSEGV"].into_iter().for_each(|signal| deaths.count(signal));
        assert_eq!(deaths.to_string(), "SIGKILL=1,SIGSEGV=2,other=1");
        assert_eq!(Deaths::read(&deaths.to_string()), deaths);
        for nonsense in ["", ",", "SIGSEGV", "SIGSEGV=x", "SIGX=3", "SIGSEGV=-1"] {
            assert_eq!(Deaths::read(nonsense), Deaths::default(), "{nonsense}");
        }
    }

    #[test]
    fn every_signal_has_a_sample_from_the_beginning() {
        let families = DeathsSeen::new().unwrap().collect();
        assert_eq!(families[0].get_metric().len(), SIGNALS.len());
    }
}
