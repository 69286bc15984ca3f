//! Limits of the machine and of this user, against the needs of the configuration.

use nix::sys::resource::{Resource, getrlimit};

use super::patient::{Patient, RoleName};
use super::report::Check;

/// Descriptors of an idle process: libraries, database, connections.
const OWN_FILES: u64 = 200;
/// Descriptors of one stream at most: its sockets over UDP, its pipelines' event descriptors, a segment that is
/// written.
const FILES_PER_STREAM: u64 = 12;
/// Streams for each core, when the configuration does not say; as a worker reckons.
const STREAMS_PER_CORE: u64 = 100;
/// Memory of one stream that is watched as HLS, MB; docs/cost.md has the measurement.
const MB_PER_STREAM: u64 = 5;
/// Receive buffer that rtspsrc demands of GStreamer's udpsrc, bytes.
const UDP_BUFFER: u64 = 524_288;

pub fn look(patient: &Patient) -> Vec<Check> {
    let config = &patient.config;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let capacity = match config.worker.capacity {
        0 => cores * STREAMS_PER_CORE,
        capacity => capacity.into(),
    };
    let mut checks = Vec::new();
    if patient.readable {
        // Each process has a limit of its own; the neediest counts.
        let mut needs = Vec::new();
        if patient.does(RoleName::Api) || patient.does(RoleName::Relay) {
            needs.push((config.api.max_viewers + OWN_FILES, "api.max_viewers", config.api.max_viewers));
        }
        if patient.does(RoleName::Worker) {
            needs.push((capacity * FILES_PER_STREAM + OWN_FILES, "worker.capacity", capacity));
        }
        if let (Ok((soft, hard)), Some(need)) = (getrlimit(Resource::RLIMIT_NOFILE), needs.into_iter().max()) {
            checks.push(files(soft, hard, need));
        }
    }
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    if patient.does(RoleName::Worker) {
        checks.extend(memory(&text("/proc/meminfo"), capacity, config.worker.max_memory_percent.into()));
    }
    checks.push(user(nix::unistd::geteuid().is_root()));
    checks
}

/// Compares the allowed open files with those that one process may reach. Pure.
fn files(soft: u64, hard: u64, (need, key, value): (u64, &str, u64)) -> Check {
    let found = format!("{soft} allowed; {key} of {value} may come to {need}");
    if soft >= need {
        return Check::ok("open_files", found);
    }
    let advice = if hard >= need {
        format!("ulimit -n {need}, in a systemd unit LimitNOFILE={need}")
    } else {
        format!("LimitNOFILE={need} in a systemd unit, or nofile in /etc/security/limits.conf (the most is {hard} now)")
    };
    Check::warning("open_files", found, advice)
}

/// Compares the memory in `/proc/meminfo`, kilobytes there, with the streams that a worker would take. Pure.
fn memory(meminfo: &str, capacity: u64, max_percent: u64) -> Option<Check> {
    let value = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    let (total, available) = (value("MemTotal:")? / 1000, value("MemAvailable:")? / 1000);
    let need = capacity * MB_PER_STREAM;
    let found = format!("{available} of {total} MB available; {capacity} streams of one worker may take {need} MB");
    let used_percent = (total.saturating_sub(available)) * 100 / total.max(1);
    if used_percent >= max_percent {
        let advice = "free memory: a worker takes no streams above worker.max_memory_percent";
        return Some(Check::failure("memory", found, advice));
    }
    if available < need {
        let advice = "set worker.capacity to what fits; a worker takes no more streams above worker.max_memory_percent";
        return Some(Check::warning("memory", found, advice));
    }
    Some(Check::ok("memory", found))
}

/// Compares the kernel's largest receive buffer with the needs of `cameras` over UDP.
pub fn udp_buffers(cameras: i64) -> Option<Check> {
    let max = std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse().ok()?;
    Some(buffers(max, cameras))
}

fn buffers(max: u64, cameras: i64) -> Check {
    let found = format!("receive buffers of up to {max} bytes, {cameras} cameras over UDP");
    if max >= UDP_BUFFER || cameras == 0 {
        return Check::ok("udp_buffers", found);
    }
    let advice = format!("large pictures may lose packets: sysctl -w net.core.rmem_max={UDP_BUFFER}, or use TCP");
    Check::warning("udp_buffers", found, advice)
}

fn user(root: bool) -> Check {
    match root {
        false => Check::ok("user", "not root"),
        true => Check::warning("user", "root", "run rsm as a user of its own: it needs no privilege"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Status;

    #[test]
    fn limits_below_what_may_be_needed_are_warned_of_with_what_to_set() {
        assert_eq!(files(1024, 4096, (1024, "k", 1)).status, Status::Ok);
        let check = files(1024, 4096, (4096, "api.max_viewers", 3896));
        assert!(check.status == Status::Warning && check.advice.starts_with("ulimit -n 4096"), "{check:?}");
        let check = files(1024, 4096, (5200, "api.max_viewers", 5000));
        assert!(check.advice.starts_with("LimitNOFILE=5200") && check.advice.contains("4096"), "{check:?}");
    }

    #[test]
    fn small_buffers_matter_to_cameras_over_udp_only() {
        for (max, cameras, want) in
            [(212_992, 0, Status::Ok), (212_992, 1, Status::Warning), (UDP_BUFFER, 1, Status::Ok)]
        {
            assert_eq!(buffers(max, cameras).status, want, "{max} {cameras}");
        }
    }

    #[test]
    fn memory_is_judged_as_a_worker_does() {
        let meminfo = |available: u64| format!("MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable:   {available} kB\n");
        for (available, want) in [(4_000_000, Status::Ok), (900_000, Status::Warning), (700_000, Status::Failure)] {
            assert_eq!(memory(&meminfo(available), 200, 90).unwrap().status, want, "{available}");
        }
        assert_eq!(memory("", 200, 90), None);
    }
}
