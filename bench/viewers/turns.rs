//! One side's turns: frames that viewers received in each window, and the resources that every process used.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::figures::median;
use crate::part_process::LoadProcess;
use crate::report::number;
use crate::usage::Process;

/// From the last viewer's first frame to the first window: buffers fill, and the cost of opening is over.
pub const SETTLE: Duration = Duration::from_secs(1);

/// Windows of one side.
#[derive(Default)]
pub struct Turns {
    /// Reports of the load.
    pub seen: Vec<Value>,
    /// Percent of one core, by role.
    pub cpu: Vec<BTreeMap<String, f64>>,
}

impl Turns {
    /// One window. `processes` are those that work meanwhile, with their roles.
    pub async fn take(&mut self, load: &mut LoadProcess, processes: &[(String, u32)], window: Duration) {
        let mut all = processes.to_vec();
        all.push(("load".to_owned(), load.0.pid()));
        let read = || all.iter().map(|(role, pid)| Process::read(role, *pid).cpu_seconds).collect::<Vec<f64>>();
        let before = read();
        let seen = load.window(window).await;
        let (after, seconds) = (read(), number(&seen["seconds"]));
        let percent = |at: usize| (after[at] - before[at]) / seconds * 100.0;
        self.cpu.push(all.iter().enumerate().map(|(at, (role, _))| (role.clone(), percent(at))).collect());
        self.seen.push(seen);
    }

    /// Median over the windows.
    pub fn median(&self, value: impl Fn(&Value) -> f64) -> f64 {
        median(self.seen.iter().map(value).collect())
    }

    /// Percent of one core, median over the windows.
    pub fn cpu_of(&self, role: &str) -> f64 {
        median(self.cpu.iter().map(|window| window.get(role).copied().unwrap_or(f64::NAN)).collect())
    }

    /// Megabytes received for each second that `role` computed, median over the windows.
    pub fn megabytes_per_cpu_second(&self, role: &str) -> f64 {
        let each = self.seen.iter().zip(&self.cpu).map(|(seen, cpu)| {
            let cpu_seconds = cpu.get(role).copied().unwrap_or(f64::NAN) / 100.0 * number(&seen["seconds"]);
            number(&seen["bytes"]) / 1e6 / cpu_seconds
        });
        median(each.collect())
    }

    /// The sum over all windows.
    pub fn sum(&self, key: &str) -> f64 {
        self.seen.iter().map(|seen| number(&seen[key])).sum()
    }

    /// Every process and its share of a core, in one line.
    pub fn shares(&self) -> String {
        let roles: Vec<&String> = self.cpu.first().map(|window| window.keys().collect()).unwrap_or_default();
        roles.iter().map(|role| format!("{role} {:.0} %", self.cpu_of(role))).collect::<Vec<_>>().join(", ")
    }

    pub fn json(&self) -> Value {
        json!({ "windows": self.seen, "cpu_percent_of_a_core": self.cpu })
    }
}
