//! Resources of a group of processes: all processes that one side of a comparison needs, added up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::process::descendants;
use crate::usage::Process;

/// Processes that together do the work of one side, each with its role.
pub type Group = Vec<(String, u32)>;

/// The process itself and all below it, named by `role_of` from their command lines.
pub fn family(parent: u32, role: &str, role_of: impl Fn(&str) -> String) -> Group {
    let below = descendants(parent).into_iter().map(|found| (role_of(&found.command_line), found.pid));
    std::iter::once((role.to_owned(), parent)).chain(below).collect()
}

/// A group at one moment.
pub struct Reading {
    at: Instant,
    processes: Vec<Process>,
}

impl Reading {
    pub fn of(group: &Group) -> Self {
        let processes = group.iter().map(|(role, pid)| Process::read(role, *pid)).collect();
        Self { at: Instant::now(), processes }
    }
}

/// Resources that a group used over a window of time; memory and threads as they were at its end.
#[derive(Clone, Debug)]
pub struct Window {
    /// User and system time, in percent of one core.
    pub cpu_percent: f64,
    pub cpu_by_role: BTreeMap<String, f64>,
    /// Proportional set sizes: memory that several processes share is counted once in all.
    pub pss_mb: f64,
    /// Resident set sizes: memory that several processes share is counted in each.
    pub rss_mb: f64,
    pub threads: usize,
}

impl Window {
    /// Between two readings of one group.
    ///
    /// # Panics
    /// A process of the group ended meanwhile, so that its use is unknown.
    pub fn between(first: &Reading, second: &Reading) -> Self {
        let took = (second.at - first.at).as_secs_f64();
        let mut cpu_by_role = BTreeMap::new();
        for (before, after) in first.processes.iter().zip(&second.processes) {
            assert!(after.rss_mb > 0.0, "a process ended while it was measured: {}", after.role);
            *cpu_by_role.entry(after.role.clone()).or_insert(0.0) +=
                (after.cpu_seconds - before.cpu_seconds) / took * 100.0;
        }
        let sum = |value: fn(&Process) -> f64| second.processes.iter().map(value).sum();
        Self {
            cpu_percent: cpu_by_role.values().sum(),
            cpu_by_role,
            pss_mb: sum(|p| p.pss_mb),
            rss_mb: sum(|p| p.rss_mb),
            threads: second.processes.iter().map(|p| p.threads).sum(),
        }
    }
}

/// Several groups over the same time: whatever else the machine does, it does to all of them.
pub async fn watch<const N: usize>(groups: [&Group; N], time: Duration) -> [Window; N] {
    let first = groups.map(Reading::of);
    tokio::time::sleep(time).await;
    let mut first = first.iter();
    groups.map(|group| {
        let before = first.next().unwrap_or_else(|| unreachable!("as many as groups"));
        Window::between(before, &Reading::of(group))
    })
}

/// The middle value, the upper one of two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
