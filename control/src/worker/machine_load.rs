//! The load of the machine, as far as this process may use it: parsed from `/proc`, and from the files of control groups
//! (cgroup v2) where these set a limit. The caller reads the files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rsm_model::wire::messages::Load;

/// Control groups above this process that are read; container runtimes nest four or five.
const MAX_LEVELS: usize = 16;

/// An amount that is used up over time: how much of it was used, and how much there was, since one beginning. Both have
/// the same unit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Account {
    used: f64,
    of: f64,
}

/// The load at one time. The first account of processor time is the machine's, then come those of limited groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadSample {
    cpu: Vec<Account>,
    /// Share, 0 to 1.
    memory: f32,
}

impl LoadSample {
    /// Takes a sample, `elapsed` after the first one. `text` gives the text of a file by its path below the root, and
    /// an empty one for a missing file, which limits nothing.
    pub fn take(text: impl Fn(&Path) -> String, elapsed: Duration) -> Self {
        let text = |path: PathBuf| text(&path);
        let mut cpu = vec![machine_cpu(&text("proc/stat".into())).unwrap_or(Account { used: 0.0, of: 0.0 })];
        let mut memory = machine_memory(&text("proc/meminfo".into())).unwrap_or(0.0);
        for group in groups(&text("proc/self/cgroup".into())) {
            let file = |name: &str| text(Path::new("sys/fs/cgroup").join(&group).join(name));
            if let Some(cores) = cpu_quota(&file("cpu.max"))
                && let Some(used) = number_of(&file("cpu.stat"), "usage_usec")
            {
                cpu.push(Account { used, of: elapsed.as_secs_f64() * 1e6 * cores });
            }
            if let Some(share) = group_memory(&file("memory.max"), &file("memory.current"), &file("memory.stat")) {
                memory = memory.max(share);
            }
        }
        Self { cpu, memory }
    }
}

/// The mean over the samples, the oldest first; the tightest limit counts. `None` without samples.
pub fn mean_load(samples: &VecDeque<LoadSample>) -> Option<Load> {
    let (first, last) = (samples.front()?, samples.back()?);
    // When the limit of a group was set or removed meanwhile, its accounts cannot be compared; the machine's always can.
    let comparable = if first.cpu.len() == last.cpu.len() { last.cpu.len() } else { 1 };
    let shares = first.cpu.iter().zip(&last.cpu).take(comparable).map(|(a, b)| share(b.used - a.used, b.of - a.of));
    Some(Load { cpu: shares.fold(0.0, f32::max), memory: last.memory })
}

/// `part` of `whole`, within 0 and 1.
fn share(part: f64, whole: f64) -> f32 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) as f32 } else { 0.0 }
}

/// The groups of this process, from its own up to the root, as paths relative to the mount.
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

/// The first line of `/proc/stat`, in ticks: all but idle time and waiting for disks counts as used.
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
    use std::collections::HashMap;

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
        let first = [
            ("proc/stat", "cpu  0 0 0 100 0 0 0 0\n"),
            ("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 90 kB\n"),
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/a/cpu.stat", "usage_usec 1000000\nuser_usec 5\n"),
            ("sys/fs/cgroup/a/b/memory.max", "100\n"),
            ("sys/fs/cgroup/a/b/memory.current", "70\n"),
        ];
        let mut files: HashMap<&str, &str> = HashMap::from(first);
        let sample = |files: &HashMap<&str, &str>, seconds| {
            let text = |path: &Path| files.get(path.to_str().unwrap()).copied().unwrap_or_default().to_owned();
            LoadSample::take(text, Duration::from_secs(seconds))
        };
        let first = sample(&files, 0);
        files.insert("proc/stat", "cpu  100 0 0 1000 0 0 0 0\n");
        files.insert("sys/fs/cgroup/a/cpu.stat", "usage_usec 2000000\nuser_usec 5\n");
        let last = sample(&files, 5);
        // A tenth of the machine, but one second of the 2.5 that the group may use.
        let seen = mean_load(&VecDeque::from([first, last])).unwrap();
        assert!((seen.cpu - 0.4).abs() < 1e-6 && (seen.memory - 0.7).abs() < 1e-6, "{seen:?}");
        let unlimited = sample(&HashMap::new(), 0);
        assert_eq!(mean_load(&VecDeque::from([unlimited])), Some(Load::default()));
    }
}
