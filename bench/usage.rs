//! Resources of the system's processes, read from /proc.

use std::path::Path;

use crate::harness::system::System;

/// Clock ticks per second in /proc/*/stat (USER_HZ, 100 on every Linux that Debian ships).
const TICKS: f64 = 100.0;

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    pub role: String,
    pub cpu_seconds: f64,
    pub rss_mb: f64,
    /// Proportional set size: memory with its share of pages that several processes use; 0 where the kernel does not
    /// tell.
    pub pss_mb: f64,
    pub threads: usize,
    pub descriptors: usize,
}

/// All of them, and the files that they wrote.
pub struct Usage {
    processes: Vec<Process>,
    pub hls_files: usize,
}

impl Usage {
    /// As it is now.
    pub fn of(system: &System) -> Self {
        let roles = ["api", "worker", "nats-server"];
        let processes = roles.iter().filter_map(|role| Some(Process::read(role, system.process(role)?.pid))).collect();
        Self { processes, hls_files: files(&system.data_dir().join("hls")) }
    }

    /// Role by role, with a later reading.
    pub fn beside<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = (&'a str, &'a Process, &'a Process)> {
        self.processes.iter().filter_map(|before| {
            let after = later.processes.iter().find(|p| p.role == before.role)?;
            Some((before.role.as_str(), before, after))
        })
    }
}

impl Process {
    /// As it is now.
    pub fn read(role: &str, pid: u32) -> Self {
        let dir = format!("/proc/{pid}");
        let stat = std::fs::read_to_string(format!("{dir}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or_else(Vec::new, |(_, rest)| rest.split(' ').collect());
        // utime and stime are fields 14 and 15 of proc(5), counted from the state, which is field 3.
        let ticks = |n: usize| fields.get(n).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
        let status = std::fs::read_to_string(format!("{dir}/status")).unwrap_or_default();
        let shared = std::fs::read_to_string(format!("{dir}/smaps_rollup")).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            line.split_whitespace().next().and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0)
        };
        Self {
            role: role.to_owned(),
            cpu_seconds: (ticks(11) + ticks(12)) / TICKS,
            rss_mb: value(&status, "VmRSS:") / 1024.0,
            pss_mb: value(&shared, "Pss:") / 1024.0,
            threads: value(&status, "Threads:") as usize,
            descriptors: std::fs::read_dir(format!("{dir}/fd")).map_or(0, Iterator::count),
        }
    }
}

fn files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}
