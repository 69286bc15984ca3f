//! The numbers of all processes combined: rows of streams and workers, and the line above them. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::grid::{Cell, Column, Row};
use super::scrape::{Process, StreamNumbers, Target, TargetRole};

/// Columns of streams.
pub const STREAMS: [Column; 10] = [
    Column { title: "stream", width: 20, meaning: "slug of the camera" },
    Column { title: "state", width: 12, meaning: "as the API shows it" },
    Column { title: "fps", width: 6, meaning: "pictures from the camera for each second" },
    Column { title: "kbit/s", width: 8, meaning: "what the camera sends" },
    Column { title: "age s", width: 7, meaning: "since the last picture, right to a second" },
    Column { title: "viewers", width: 7, meaning: "of all APIs and relays" },
    Column { title: "jpeg/s", width: 7, meaning: "JPEG frames that the worker publishes" },
    Column { title: "restarts", width: 8, meaning: "camera sessions begun anew by its workers" },
    Column { title: "worker", width: 18, meaning: "who runs it" },
    Column { title: "name", width: 24, meaning: "what people call it" },
];
/// Columns of workers.
pub const WORKERS: [Column; 9] = [
    Column { title: "worker", width: 20, meaning: "its name" },
    Column { title: "state", width: 9, meaning: "live, draining, or silent: its numbers do not come" },
    Column { title: "streams", width: 7, meaning: "that it owns" },
    Column { title: "capacity", width: 8, meaning: "that it would own at most" },
    Column { title: "load %", width: 7, meaning: "how full or busy it is, as it is judged for new streams" },
    Column { title: "cpu %", width: 6, meaning: "of one core" },
    Column { title: "MB", width: 6, meaning: "resident memory" },
    Column { title: "kbit/s", width: 9, meaning: "from all its cameras" },
    Column { title: "address", width: 22, meaning: "where its numbers are" },
];

/// The numbers of all processes at about one time.
#[derive(Clone, Debug, Default)]
pub struct Round {
    pub targets: Vec<Target>,
    /// Names of cameras by slug, as far as they are known.
    pub names: HashMap<String, String>,
}

/// The shown tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Farm {
    pub streams: Vec<Row>,
    pub workers: Vec<Row>,
    pub summary: Summary,
}

/// The lines above the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Cameras by state.
    pub states: BTreeMap<String, u64>,
    /// Workers by state, as the API counts them or as they are seen.
    pub workers: BTreeMap<String, u64>,
    /// Streams that would be taken now, and at most.
    pub room: Option<(u64, u64)>,
    pub viewers: Option<u64>,
    /// Processes without NATS, of all that answer.
    pub without_nats: (usize, usize),
    /// Warnings.
    pub hints: Vec<String>,
}

/// Growth per second of a counter, between two reads of the same process. One that became smaller began anew.
fn rate(before: Option<f64>, now: Option<f64>, seconds: f64) -> Option<f64> {
    let (before, now) = (before?, now?);
    (seconds > 0.0).then(|| if now >= before { now - before } else { now } / seconds)
}

/// Puts two rounds together; without the earlier one there are no rates.
pub fn build(earlier: Option<&Round>, now: &Round) -> Farm {
    let pairs: Vec<_> = now.targets.iter().filter_map(|target| Some((target, target.process.as_ref()?))).collect();
    let before = |target: &Target| -> Option<(&Process, f64)> {
        let was = earlier?.targets.iter().find(|was| was.address == target.address && was.worker == target.worker)?;
        let process = was.process.as_ref()?;
        Some((process, seconds(was.at, target.at)))
    };
    let mut streams: BTreeMap<&str, Flow> = BTreeMap::new();
    let mut workers = Vec::new();
    for (target, process) in &pairs {
        let before = before(target);
        let mut ingest = None;
        for (slug, numbers) in &process.streams {
            let was = before.and_then(|(was, seconds)| Some((was.streams.get(slug)?, seconds)));
            let bytes = streams.entry(slug).or_default().add(target, numbers, was);
            if let Some(bytes) = bytes {
                *ingest.get_or_insert(0.0) += bytes;
            }
        }
        if target.role == TargetRole::Worker {
            workers.push(worker_row(target, Some(process), before, ingest));
        }
    }
    let silent = now.targets.iter().filter(|target| target.role == TargetRole::Worker && target.process.is_none());
    workers.extend(silent.map(|target| worker_row(target, None, None, None)));
    let counts_viewers = pairs.iter().any(|(_, process)| process.counts_stream_viewers);
    let rows = streams.into_iter().filter(|(_, flow)| flow.state.is_some() || flow.units.is_some());
    let rows: Vec<Row> = rows.map(|(slug, flow)| flow.row(slug, now.names.get(slug), counts_viewers)).collect();
    let summary = summarise(&pairs, &workers, &rows);
    Farm { streams: rows, workers, summary }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// One stream, of all processes that know something of it.
#[derive(Default)]
struct Flow<'a> {
    state: Option<&'a str>,
    owner: Option<&'a str>,
    /// Worker with the highest frame rate of the stream: stands in where the API does not tell the owner.
    busiest: Option<(f64, &'a str)>,
    units: Option<f64>,
    bytes: Option<f64>,
    age: Option<f64>,
    viewers: f64,
    frames: Option<f64>,
    restarts: Option<f64>,
}

impl<'a> Flow<'a> {
    /// Adds the numbers of one process; returns the bytes per second that it takes in.
    fn add(&mut self, target: &'a Target, now: &'a StreamNumbers, was: Option<(&StreamNumbers, f64)>) -> Option<f64> {
        if target.role == TargetRole::Api {
            self.state = now.state.as_deref();
            self.owner = now.worker.as_deref();
            self.age = now.age;
        }
        self.viewers += now.viewers;
        let sum = |sum: &mut Option<f64>, more: Option<f64>| {
            if let Some(more) = more {
                *sum.get_or_insert(0.0) += more;
            }
        };
        sum(&mut self.restarts, now.restarts);
        let (was, seconds) = was?;
        let bytes = rate(was.bytes, now.bytes, seconds);
        let units = rate(was.units, now.units, seconds);
        sum(&mut self.bytes, bytes);
        sum(&mut self.units, units);
        sum(&mut self.frames, rate(was.frames, now.frames, seconds));
        if let (Some(units), Some(worker)) = (units.filter(|units| *units > 0.0), target.worker.as_deref())
            && self.busiest.is_none_or(|(most, _)| units > most)
        {
            self.busiest = Some((units, worker));
        }
        bytes
    }

    fn row(self, slug: &str, name: Option<&String>, counts_viewers: bool) -> Row {
        let viewers = (counts_viewers || self.viewers > 0.0).then_some(self.viewers);
        vec![
            Cell::text(slug),
            Cell::text(self.state.unwrap_or_default()),
            Cell::Number(self.units, 1),
            Cell::Number(self.bytes.map(kbits), 0),
            Cell::Number(self.age, 0),
            Cell::Number(viewers, 0),
            Cell::Number(self.frames, 1),
            Cell::Number(self.restarts, 0),
            Cell::text(self.owner.or(self.busiest.map(|(_, worker)| worker)).unwrap_or_default()),
            Cell::text(name.map_or("", String::as_str)),
        ]
    }
}

fn kbits(bytes: f64) -> f64 {
    bytes * 8.0 / 1000.0
}

fn worker_row(target: &Target, now: Option<&Process>, was: Option<(&Process, f64)>, ingest: Option<f64>) -> Row {
    let state = match now {
        None => "silent",
        Some(process) if process.draining == Some(1.0) => "draining",
        Some(_) => "live",
    };
    let cpu = was.and_then(|(was, seconds)| rate(was.cpu_s, now?.cpu_s, seconds));
    let number = |of: fn(&Process) -> Option<f64>| now.and_then(of);
    vec![
        Cell::text(target.worker.as_deref().unwrap_or(&target.address)),
        Cell::text(state),
        Cell::Number(number(|process| process.claims), 0),
        Cell::Number(number(|process| process.capacity), 0),
        Cell::Number(number(|process| process.load.map(|load| load * 100.0)), 0),
        Cell::Number(cpu.map(|cores| cores * 100.0), 0),
        Cell::Number(number(|process| process.memory.map(|bytes| bytes / 1e6)), 0),
        Cell::Number(ingest.map(kbits), 0),
        Cell::text(&target.address),
    ]
}

fn summarise(processes: &[(&Target, &Process)], workers: &[Row], streams: &[Row]) -> Summary {
    let whole = |number: f64| if number.is_finite() && number > 0.0 { number as u64 } else { 0 };
    let mut summary = Summary::default();
    let api = processes.iter().find(|(target, _)| target.role == TargetRole::Api).map(|(_, process)| *process);
    if let Some(api) = api {
        summary.states = api.states.iter().map(|(state, count)| (state.clone(), whole(*count))).collect();
        summary.workers = api.workers.iter().map(|(state, count)| (state.clone(), whole(*count))).collect();
        summary.room = api.room.zip(api.farm_capacity).map(|(room, capacity)| (whole(room), whole(capacity)));
    }
    if summary.states.is_empty() {
        for row in streams {
            *summary.states.entry(row[1].show()).or_default() += 1;
        }
    }
    if summary.workers.is_empty() {
        for row in workers {
            *summary.workers.entry(row[1].show()).or_default() += 1;
        }
    }
    summary.states.retain(|_, count| *count > 0);
    summary.workers.retain(|_, count| *count > 0);
    let counts: Vec<f64> = processes.iter().filter_map(|(_, process)| process.viewers).collect();
    summary.viewers = (!counts.is_empty()).then(|| whole(counts.iter().sum()));
    let connections = || processes.iter().filter_map(|(_, process)| process.nats);
    summary.without_nats = (connections().filter(|nats| *nats == 0.0).count(), connections().count());
    summary.hints = hints(&summary, processes);
    summary
}

/// Warnings, the worst first.
fn hints(summary: &Summary, processes: &[(&Target, &Process)]) -> Vec<String> {
    let mut hints = Vec::new();
    for (target, process) in processes {
        let who =
            target.worker.as_deref().map_or_else(|| target.role.name().to_owned(), |name| format!("worker {name}"));
        for fault in &process.faults {
            hints.push(format!("{who}: {fault} at fault"));
        }
    }
    let of = |counts: &BTreeMap<String, u64>, state: &str| counts.get(state).copied().unwrap_or(0);
    for (state, words) in [("lost", "lost"), ("silent", "silent")] {
        match of(&summary.workers, state) {
            0 => {}
            count => hints.push(format!("{count} workers {words}")),
        }
    }
    if !processes.is_empty() && of(&summary.workers, "live") == 0 {
        hints.push("no worker is live".to_owned());
    }
    if summary.room.is_some_and(|(room, capacity)| room == 0 && capacity > 0) {
        hints.push("no room for more streams".to_owned());
    }
    for (state, words) in [
        ("auth_failed", "cameras refuse their credentials"),
        ("failed", "cameras failed"),
        ("reconnecting", "cameras are away"),
    ] {
        match of(&summary.states, state) {
            0 => {}
            count => hints.push(format!("{count} {words}")),
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn target(role: TargetRole, name: &str, at: Instant, text: Option<&str>) -> Target {
        let worker = (role == TargetRole::Worker).then(|| name.to_owned());
        Target {
            role,
            worker,
            address: format!("{name}:1"),
            at,
            process: text.map(|text| Process::read(text).unwrap()),
        }
    }

    fn shown(row: &Row) -> Vec<String> {
        row.iter().map(Cell::show).collect()
    }

    const API: &str = "rsm_nats_connected 1\nrsm_viewer_seats 5000\nrsm_viewers{kind=\"hls\"} 2\n\
        rsm_streams{state=\"running\"} 1\nrsm_streams{state=\"auth_failed\"} 1\nrsm_streams{state=\"idle\"} 0\n\
        rsm_workers{state=\"live\"} 1\nrsm_workers{state=\"lost\"} 1\nrsm_farm_capacity 200\nrsm_farm_room 0\n\
        rsm_stream_state{stream=\"door\",state=\"running\"} 1\nrsm_stream_state{stream=\"gate\",state=\"auth_failed\"} 1\n\
        rsm_stream_last_frame_age_seconds{stream=\"door\"} 1.2\nrsm_stream_worker{stream=\"door\",worker=\"w1\"} 1\n\
        rsm_stream_viewers{stream=\"door\",kind=\"hls\"} 2\n";

    fn worker(units: u64, cpu: u64) -> String {
        format!(
            "rsm_nats_connected 0\nrsm_fault{{dependency=\"nats\"}} 1\nrsm_claims 1\nrsm_worker_capacity 100\n\
             rsm_worker_load_ratio 0.5\nprocess_cpu_seconds_total {cpu}\nprocess_resident_memory_bytes 5e7\n\
             rsm_ingest_access_units_total{{stream=\"door\"}} {units}\nrsm_ingest_bytes_total{{stream=\"door\"}} {}\n\
             rsm_stream_restarts_total{{stream=\"door\",reason=\"stalled\"}} 2\n\
             rsm_stream_restarts_total{{stream=\"door\",reason=\"ended\"}} 1\n",
            units * 1000
        )
    }

    #[test]
    fn numbers_of_all_processes_become_rows() {
        let start = Instant::now();
        let round = |after, units, cpu| {
            let at = start + Duration::from_secs(after);
            let targets = vec![
                target(TargetRole::Api, "api", at, Some(API)),
                target(TargetRole::Worker, "w1", at, Some(&worker(units, cpu))),
                target(TargetRole::Worker, "w2", at, None),
                target(
                    TargetRole::Relay,
                    "relay",
                    at,
                    Some("rsm_viewers{kind=\"mjpeg\"} 3\nrsm_stream_viewers{stream=\"door\",kind=\"mjpeg\"} 3\n"),
                ),
            ];
            Round { targets, names: [("door".to_owned(), "Front door".to_owned())].into() }
        };
        let first = round(0, 100, 10);
        let farm = build(None, &first);
        let door = ["door", "running", "-", "-", "1", "5", "-", "3", "w1", "Front door"];
        assert_eq!(shown(&farm.streams[0]), door, "no rates yet");

        let second = round(2, 150, 11);
        let farm = build(Some(&first), &second);
        assert_eq!(shown(&farm.streams[0]), ["door", "running", "25.0", "200", "1", "5", "-", "3", "w1", "Front door"]);
        assert_eq!(shown(&farm.streams[1]), ["gate", "auth_failed", "-", "-", "-", "0", "-", "-", "-", "-"]);
        assert_eq!(shown(&farm.workers[0]), ["w1", "live", "1", "100", "50", "50", "50", "200", "w1:1"]);
        assert_eq!(shown(&farm.workers[1]), ["w2", "silent", "-", "-", "-", "-", "-", "-", "w2:1"]);
        let Summary { states, workers, room, viewers, without_nats, hints } = farm.summary;
        assert_eq!(states, [("auth_failed".to_owned(), 1), ("running".to_owned(), 1)].into());
        assert_eq!(workers, [("live".to_owned(), 1), ("lost".to_owned(), 1)].into());
        assert_eq!((room, viewers, without_nats), (Some((0, 200)), Some(5), (1, 2)));
        let want = [
            "worker w1: nats at fault",
            "1 workers lost",
            "no room for more streams",
            "1 cameras refuse their credentials",
        ];
        assert_eq!(hints, want);
    }

    #[test]
    fn a_version_without_the_newer_numbers_is_shown_with_dashes() {
        let start = Instant::now();
        let api = "rsm_streams{state=\"running\"} 1\nrsm_stream_state{stream=\"door\",state=\"running\"} 1\n";
        let round = |after, units| {
            let at = start + Duration::from_secs(after);
            let ingest = format!("rsm_ingest_access_units_total{{stream=\"door\"}} {units}\n");
            let targets = vec![
                target(TargetRole::Api, "api", at, Some(api)),
                target(TargetRole::Worker, "w1", at, Some(&ingest)),
            ];
            Round { targets, ..Round::default() }
        };
        let farm = build(Some(&round(0, 0)), &round(1, 10));
        assert_eq!(shown(&farm.streams[0]), ["door", "running", "10.0", "-", "-", "-", "-", "-", "w1", "-"]);
        assert_eq!((farm.summary.room, farm.summary.viewers, farm.summary.without_nats), (None, None, (0, 0)));
        assert_eq!(farm.summary.workers, [("live".to_owned(), 1)].into());
    }

    #[test]
    fn a_counter_that_began_anew_and_an_owner_that_changed_give_no_negative_rates() {
        for (before, now, seconds, want) in [
            (Some(10.0), Some(30.0), 2.0, Some(10.0)),
            (Some(1000.0), Some(30.0), 2.0, Some(15.0)),
            (None, Some(30.0), 2.0, None),
            (Some(1.0), None, 2.0, None),
            (Some(1.0), Some(2.0), 0.0, None),
        ] {
            assert_eq!(rate(before, now, seconds), want);
        }
    }
}
