//! The kernel's numbers of this process, under the names that every Prometheus client uses. They are read at each
//! request.
//!
//! The `process` feature of the prometheus crate was weighed: it brings the procfs crate for the same numbers, and its help
//! texts do not tell an operator what to do about them.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::time::ClockId;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::table::{Seen, SeenCounter};

crate::metrics_table! {
    /// Metrics of every process about itself.
    pub struct ProcessTable {
        /// Processor time that this process has used, of all its threads. A rate near the number of cores: the machine is
        /// full, give it fewer streams.
        pub cpu_seconds: SeenCounter = "process_cpu_seconds_total",
        /// Memory in use. When it grows without more streams or viewers, tell the developers.
        pub resident_bytes: Seen = "process_resident_memory_bytes",
        /// Descriptors in use: about one for each viewer, camera and file. Near process_max_fds connections are refused.
        pub open_fds: Seen = "process_open_fds",
        /// Descriptors that this process may have. Raise it (ulimit -n, LimitNOFILE) before process_open_fds is there.
        pub max_fds: Seen = "process_max_fds",
        /// Threads of this process.
        pub threads: Seen = "process_threads",
        /// When this process began, since the Unix epoch. A change is a restart: the logs before it say why.
        pub start_time: Seen = "process_start_time_seconds",
    }
}

/// Reads `/proc` at each request; a value that cannot be read has no sample.
pub struct ProcessFacts {
    table: ProcessTable,
    /// Seconds since the Unix epoch; read once, as it is measured against the clock of the machine, which may be set.
    started: Option<f64>,
}

impl ProcessFacts {
    /// Makes the metrics of this process.
    ///
    /// # Errors
    /// Never: the names are valid.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self { table: ProcessTable::unregistered()?, started: started() })
    }
}

impl Collector for ProcessFacts {
    fn desc(&self) -> Vec<&Desc> {
        let t = &self.table;
        let gauges = [&t.resident_bytes, &t.open_fds, &t.max_fds, &t.threads, &t.start_time];
        std::iter::once(t.cpu_seconds.desc()).chain(gauges.map(Seen::desc)).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let t = &self.table;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let gauges = [
            (&t.resident_bytes, field(&status, "VmRSS:").map(|kib| kib * 1024.0)),
            (&t.threads, field(&status, "Threads:")),
            (&t.open_fds, open_fds()),
            (&t.max_fds, getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| as_f64(soft))),
            (&t.start_time, self.started),
        ];
        let gauges = gauges.into_iter().filter_map(|(line, value)| Some(line.value(value?)));
        let cpu = ClockId::CLOCK_PROCESS_CPUTIME_ID.now().ok().map(|time| Duration::from(time).as_secs_f64());
        cpu.map(|seconds| t.cpu_seconds.value(seconds)).into_iter().chain(gauges).collect()
    }
}

/// A number of `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// Since Linux 6.2 the directory's size is their number; before that it is zero and they have to be counted.
fn open_fds() -> Option<f64> {
    const FDS: &str = "/proc/self/fd";
    match std::fs::metadata(FDS).ok()?.len() {
        // The one that reads the directory is not meant.
        0 => Some(as_f64((std::fs::read_dir(FDS).ok()?.count() as u64).saturating_sub(1))),
        fds => Some(as_f64(fds)),
    }
}

/// Boot time and this process's own beginning after it.
fn started() -> Option<f64> {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let boot = field(&std::fs::read_to_string("/proc/stat").ok()?, "btime ")?;
    Some(boot + start_ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)? / as_f64(u64::try_from(ticks).ok()?))
}

/// The 22nd field of `/proc/self/stat` (proc(5)). The second may hold anything, spaces and parentheses too.
fn start_ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and seconds far below 2^52, and limits where it does not matter"
)]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_of_this_process_is_there_and_likely() {
        let families = ProcessFacts::new().unwrap().collect();
        let names: Vec<&str> = families.iter().map(MetricFamily::name).collect();
        for spec in ProcessTable::SPECS {
            assert!(names.contains(&spec.name), "{} in {names:?}", spec.name);
        }
        let gauge = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            family.get_metric()[0].get_gauge().get_value()
        };
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((now - 86_400.0..now + 2.0).contains(&gauge("process_start_time_seconds")));
        assert!(gauge("process_resident_memory_bytes") > 1e6);
        assert!(gauge("process_threads") >= 1.0);
        assert!((3.0..=gauge("process_max_fds")).contains(&gauge("process_open_fds")));
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        for name in ["(rsm)", "(a b) c)", "((()"] {
            assert_eq!(start_ticks(&format!("7 {name} {rest}")), Some(4711.0), "{name}");
        }
        assert_eq!(start_ticks("7 (rsm) S 1"), None);
    }
}
