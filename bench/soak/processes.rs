//! Which processes are there, which ended, and whether what they use creeps.

use std::time::{Duration, Instant};

use crate::harness::system::System;
use crate::usage::Process;

/// A process that lived for less says nothing of creep.
const LONG: Duration = Duration::from_secs(8 * 60);
/// Growth from a third of a process's time to its end that is none: this part, and so much beside it.
const PART: f64 = 0.25;
const MEMORY_MB: f64 = 10.0;
const DESCRIPTORS: f64 = 40.0;
const THREADS: f64 = 10.0;
/// Part of a process's time that one figure is the median of: viewers come and go.
const WINDOW: f64 = 0.1;

/// API and workers below `rsm up`, and nats-server.
pub fn of(system: &System) -> Vec<(u32, Process)> {
    let role_of = |line: &str| {
        let roles = [("api", " api "), ("worker", " worker "), ("nats-server", "/nats-server ")];
        roles.into_iter().find(|(_, word)| line.contains(word)).map(|(role, _)| role)
    };
    let family = system.family().into_iter();
    family.filter_map(|found| Some((found.pid, Process::read(role_of(&found.command_line)?, found.pid)))).collect()
}

/// One process and what it used.
struct Life {
    pid: u32,
    began: Instant,
    samples: Vec<(Instant, Process)>,
    /// It was told to end.
    told: bool,
    ended: bool,
}

/// Every process that there was.
#[derive(Default)]
pub struct Roll {
    lives: Vec<Life>,
}

impl Roll {
    /// Enters what is there now. Gives a sentence for each process that is gone and was not told to go.
    pub fn look(&mut self, there: &[(u32, Process)], now: Instant) -> Vec<String> {
        let mut faults = Vec::new();
        for life in self.lives.iter_mut().filter(|life| !life.ended) {
            if there.iter().any(|(pid, _)| *pid == life.pid) {
                continue;
            }
            life.ended = true;
            if !life.told {
                let (role, seconds) = (&life.samples[0].1.role, now.duration_since(life.began).as_secs());
                faults.push(format!("{role} {} died after {seconds} s", life.pid));
            }
        }
        for (pid, process) in there {
            // Memory is 0 of one that is ending.
            if process.rss_mb == 0.0 {
                continue;
            }
            let sample = (now, process.clone());
            match self.lives.iter_mut().find(|life| life.pid == *pid && !life.ended) {
                Some(life) => life.samples.push(sample),
                None => {
                    self.lives.push(Life { pid: *pid, began: now, samples: vec![sample], told: false, ended: false })
                }
            }
        }
        faults
    }

    /// Its end is no fault.
    pub fn expect_end(&mut self, pid: u32) {
        self.lives.iter_mut().filter(|life| life.pid == pid && !life.ended).for_each(|life| life.told = true);
    }

    /// Number of processes of a role.
    pub fn count(&self, role: &str) -> usize {
        self.alive(role).count()
    }

    /// True once all processes that were asked to end have ended.
    pub fn settled(&self) -> bool {
        self.lives.iter().all(|life| life.ended || !life.told)
    }

    /// The process of a role that began last.
    pub fn newest(&self, role: &str) -> Option<u32> {
        self.alive(role).last().map(|life| life.pid)
    }

    fn alive<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Life> {
        self.lives.iter().filter(move |life| !life.ended && life.samples[0].1.role == role)
    }

    /// A sentence for each process and what of it creeps.
    pub fn creep(&self) -> Vec<String> {
        self.lives.iter().filter(|life| life.length() >= LONG).flat_map(Life::creep).collect()
    }

    /// Memory, descriptors and threads of each process.
    pub fn lines(&self) -> Vec<String> {
        self.lives.iter().map(Life::line).collect()
    }
}

/// The figures that are compared: name, figure, and the growth that is tolerated beside [`PART`].
type Figure = (&'static str, fn(&Process) -> f64, f64);

const FIGURES: [Figure; 3] = [
    ("MB", |process| process.rss_mb, MEMORY_MB),
    ("descriptors", |process| process.descriptors as f64, DESCRIPTORS),
    ("threads", |process| process.threads as f64, THREADS),
];

impl Life {
    fn length(&self) -> Duration {
        self.samples.last().map_or(Duration::ZERO, |(at, _)| at.duration_since(self.began))
    }

    /// Median of a figure in the window that begins at this part of the process's time.
    fn median(&self, from: f64, figure: fn(&Process) -> f64) -> f64 {
        let part = |at: Instant| at.duration_since(self.began).as_secs_f64() / self.length().as_secs_f64().max(1.0);
        let within = self.samples.iter().filter(|(at, _)| (from..=from + WINDOW).contains(&part(*at)));
        let mut values: Vec<_> = within.map(|(_, process)| figure(process)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    }

    /// At the start, after a third, and at the end.
    fn thirds(&self, figure: fn(&Process) -> f64) -> [f64; 3] {
        [0.0, 1.0 / 3.0, 1.0 - WINDOW].map(|from| self.median(from, figure))
    }

    fn creep(&self) -> Vec<String> {
        let crept = |(name, figure, more): Figure| {
            let [_, third, end] = self.thirds(figure);
            let role = &self.samples[0].1.role;
            (end > third * (1.0 + PART) + more)
                .then(|| format!("{role} {} crept from {third:.0} to {end:.0} {name}", self.pid))
        };
        FIGURES.into_iter().filter_map(crept).collect()
    }

    fn line(&self) -> String {
        let figures = FIGURES.map(|(name, figure, _)| {
            let [start, third, end] = self.thirds(figure);
            format!("{start:.0}, {third:.0}, {end:.0} {name}")
        });
        let (role, minutes) = (&self.samples[0].1.role, self.length().as_secs_f64() / 60.0);
        format!("{role} {} over {minutes:.1} min (start, third, end): {}", self.pid, figures.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(rss_mb: f64) -> Process {
        let role = "worker".to_owned();
        Process { role, cpu_seconds: 0.0, rss_mb, pss_mb: 0.0, threads: 9, descriptors: 50 }
    }

    /// A process of ten minutes whose memory is this at each second.
    fn life(memory: impl Fn(u64) -> f64) -> Roll {
        let (mut roll, begun) = (Roll::default(), Instant::now());
        for second in 0..=600 {
            let there = [(7, process(memory(second)))];
            assert!(roll.look(&there, begun + Duration::from_secs(second)).is_empty());
        }
        roll
    }

    #[test]
    fn what_grows_from_a_third_on_creeps_and_what_grows_before_does_not() {
        assert_eq!(life(|second| 50.0 + second as f64 / 3.0).creep(), ["worker 7 crept from 127 to 240 MB"]);
        assert!(life(|second| 50.0 + second.min(200) as f64).creep().is_empty());
        // A peak is none.
        assert!(life(|second| if second % 10 == 0 { 900.0 } else { 100.0 }).creep().is_empty());
    }

    #[test]
    fn only_an_end_that_was_asked_for_is_none_to_report() {
        let (mut roll, now) = (life(|_| 60.0), Instant::now() + Duration::from_secs(900));
        assert_eq!((roll.count("worker"), roll.newest("worker")), (1, Some(7)));
        roll.expect_end(7);
        assert!(!roll.settled() && roll.look(&[(8, process(50.0))], now).is_empty() && roll.settled());
        assert_eq!(roll.newest("worker"), Some(8));
        assert_eq!(roll.look(&[], now + Duration::from_secs(5)), ["worker 8 died after 5 s"]);
    }
}
