//! How busy the machine is, as far as this process may use it: what the kernel tells in `/proc`, and in the files of
//! its control groups (cgroup v2) where these set a limit. Parsing is pure; one small task samples each second.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rsm_shared::wire::messages::Load;
use tokio::sync::watch;

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// Samples kept: the first and the last are 5 s apart.
const SAMPLES: usize = 6;
/// Control groups above this process that are looked at; container runtimes nest four or five.
const MAX_LEVELS: usize = 16;

/// Something that is used up over time: how much of it was used, and how much there was, since some beginning. In
/// whatever unit, the same for both.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Account {
    used: f64,
    of: f64,
}

/// What was read at one time. The first account of processor time is the machine's, then come the limited groups'.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sample {
    cpu: Vec<Account>,
    /// Share, 0 to 1.
    memory: f32,
}

/// Samples until the receivers are gone.
pub async fn sample(into: watch::Sender<Load>) {
    let began = Instant::now();
    let mut samples = VecDeque::new();
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = into.closed() => return,
            _ = tick.tick() => {}
        }
        // The kernel makes these files up as they are read, which takes a while on a machine with many processors.
        let Ok(sample) = tokio::task::spawn_blocking(move || read(Path::new("/"), began.elapsed())).await else {
            return;
        };
        if samples.len() >= SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
        if let Some(load) = load(&samples) {
            into.send_replace(load);
        }
    }
}

/// The mean of what was sampled; the tightest limit counts.
fn load(samples: &VecDeque<Sample>) -> Option<Load> {
    let (first, last) = (samples.front()?, samples.back()?);
    // A group's limit was set or taken away meanwhile: the accounts cannot be told apart, the machine's is always there.
    let comparable = if first.cpu.len() == last.cpu.len() { last.cpu.len() } else { 1 };
    let shares = first.cpu.iter().zip(&last.cpu).take(comparable).map(|(a, b)| share(b.used - a.used, b.of - a.of));
    Some(Load { cpu: shares.fold(0.0, f32::max), memory: last.memory })
}

/// `part` of `whole`, within 0 and 1.
fn share(part: f64, whole: f64) -> f32 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) as f32 } else { 0.0 }
}

/// Reads everything below `root`, `elapsed` after the first time. What is missing limits nothing.
fn read(root: &Path, elapsed: Duration) -> Sample {
    let text = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let mut cpu = vec![machine_cpu(&text(root.join("proc/stat"))).unwrap_or(Account { used: 0.0, of: 0.0 })];
    let mut memory = machine_memory(&text(root.join("proc/meminfo"))).unwrap_or(0.0);
    for group in groups(&text(root.join("proc/self/cgroup"))) {
        let file = |name: &str| text(root.join("sys/fs/cgroup").join(&group).join(name));
        if let Some(cores) = cpu_quota(&file("cpu.max"))
            && let Some(used) = number_of(&file("cpu.stat"), "usage_usec")
        {
            cpu.push(Account { used, of: elapsed.as_secs_f64() * 1e6 * cores });
        }
        if let Some(share) = group_memory(&file("memory.max"), &file("memory.current"), &file("memory.stat")) {
            memory = memory.max(share);
        }
    }
    Sample { cpu, memory }
}

/// The groups that this process is in, from its own up to the root, as paths relative to the mount.
fn groups(text: &str) -> Vec<PathBuf> {
    let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::/")) else { return Vec::new() };
    Path::new(path).ancestors().take(MAX_LEVELS).map(Path::to_path_buf).collect()
}

/// Processors that `cpu.max` allows: `<quota> <period>`, in microseconds; `None` without a limit.
fn cpu_quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// The first line of `/proc/stat`, in ticks: all but idle and waiting for disks counts as used.
fn machine_cpu(text: &str) -> Option<Account> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // Guests' time is in user's already (proc(5)).
    let ticks: Vec<f64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let (idle, waiting) = (ticks.get(3)?, ticks.get(4)?);
    let of: f64 = ticks.iter().sum();
    Some(Account { used: of - idle - waiting, of })
}

/// Share of the machine's memory that is not available for programs.
fn machine_memory(text: &str) -> Option<f32> {
    let (total, available) = (number_of(text, "MemTotal:")?, number_of(text, "MemAvailable:")?);
    Some(share(total - available, total))
}

/// Share of a group's memory, without file pages that can be dropped at any time; `None` without a limit.
fn group_memory(max: &str, current: &str, stat: &str) -> Option<f32> {
    let (max, current): (f64, f64) = (max.trim().parse().ok()?, current.trim().parse().ok()?);
    (max > 0.0).then(|| share(current - number_of(stat, "inactive_file").unwrap_or(0.0), max))
}

/// The number behind `key` in lines of a key and a number.
fn number_of(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key).filter(|rest| rest.starts_with(' ')))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas() {
        for (text, want) in [
            ("max 100000\n", None),
            ("200000 100000\n", Some(2.0)),
            ("50000 100000", Some(0.5)),
            ("0 100000", None),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(cpu_quota(text), want, "{text:?}");
        }
    }

    #[test]
    fn the_machine() {
        let account = machine_cpu("cpu  100 5 45 800 40 0 6 4 50 0\ncpu0 1 1 1 1 1 1 1 1\n");
        assert_eq!(account, Some(Account { used: 160.0, of: 1000.0 }));
        for broken in ["", "cpu\n", "cpu  1 2 3\n", "cpu  a b c d e\n"] {
            assert_eq!(machine_cpu(broken), None, "{broken:?}");
        }
        assert_eq!(machine_memory("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   250 kB\n"), Some(0.75));
        assert_eq!(machine_memory("MemTotal: 1000 kB\n"), None);
    }

    #[test]
    fn a_groups_memory() {
        let stat = "anon 5\nfile 900\ninactive_file 600\nactive_file 300\n";
        for (max, current, stat, want) in [
            ("max\n", "1000\n", stat, None),
            ("2000\n", "1600\n", stat, Some(0.5)),
            ("2000\n", "1600\n", "", Some(0.8)),
            ("2000\n", "9000\n", "", Some(1.0)),
            ("", "", "", None),
            ("0", "0", "", None),
        ] {
            assert_eq!(group_memory(max, current, stat), want, "{max:?} {current:?}");
        }
    }

    #[test]
    fn groups_up_to_the_root() {
        let paths = |text| groups(text).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(paths("0::/\n"), [""]);
        assert_eq!(
            paths("4:memory:/x\n0::/system.slice/rsm.service\n"),
            ["system.slice/rsm.service", "system.slice", ""]
        );
        assert!(paths("4:memory:/x\n").is_empty(), "version 1 only");
        assert_eq!(groups(&format!("0::/{}", "a/".repeat(99))).len(), MAX_LEVELS);
    }

    #[test]
    fn the_tightest_limit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/stat", "cpu  0 0 0 100 0 0 0 0\n");
        write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 90 kB\n");
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/cpu.max", "50000 100000\n");
        write("sys/fs/cgroup/a/cpu.stat", "usage_usec 1000000\nuser_usec 5\n");
        write("sys/fs/cgroup/a/b/memory.max", "100\n");
        write("sys/fs/cgroup/a/b/memory.current", "70\n");
        let first = read(dir.path(), Duration::ZERO);
        write("proc/stat", "cpu  100 0 0 1000 0 0 0 0\n");
        write("sys/fs/cgroup/a/cpu.stat", "usage_usec 2000000\nuser_usec 5\n");
        let last = read(dir.path(), Duration::from_secs(5));
        // A tenth of the machine, but one second of the 2.5 that the group may use.
        let seen = load(&VecDeque::from([first, last])).unwrap();
        assert!((seen.cpu - 0.4).abs() < 1e-6 && (seen.memory - 0.7).abs() < 1e-6, "{seen:?}");
        // Without any of these files nothing is limited.
        let nothing = read(&dir.path().join("proc"), Duration::ZERO);
        assert_eq!(load(&VecDeque::from([nothing])), Some(Load::default()));
    }

    #[tokio::test]
    async fn this_machine_has_memory_in_use() {
        let (sender, mut load) = watch::channel(Load::default());
        tokio::spawn(sample(sender));
        load.wait_for(|load| load.memory > 0.0).await.unwrap();
    }
}
