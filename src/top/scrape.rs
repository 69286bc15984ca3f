//! Reads the numbers of the API, and of every worker and relay that it knows, over HTTP. Each read has a deadline and
//! a bound in bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::exposition::{self, Sample};

/// For one read, connecting included.
const DEADLINE: Duration = Duration::from_secs(3);
/// Largest exposition, bytes: ten thousand streams take about five million.
const MAX_METRICS: usize = 64 << 20;
/// Largest list of targets, or of cameras, bytes.
const MAX_LIST: usize = 32 << 20;
/// Workers and relays that are asked at most, and at a time.
const MAX_TARGETS: usize = 512;
const AT_ONCE: usize = 16;

/// The role of a scraped process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetRole {
    Api,
    Relay,
    Worker,
}

impl TargetRole {
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Relay => "relay",
            Self::Worker => "worker",
        }
    }
}

/// One process, and its answer to the scrape.
#[derive(Clone, Debug)]
pub struct Target {
    pub role: TargetRole,
    pub worker: Option<String>,
    /// `host:port`
    pub address: String,
    pub at: Instant,
    /// None when it did not answer, or not in the format.
    pub process: Option<Process>,
}

/// The numbers of one process that are shown. Metrics that a version does not have are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    pub cpu_s: Option<f64>,
    pub memory: Option<f64>,
    pub nats: Option<f64>,
    pub faults: Vec<String>,
    pub claims: Option<f64>,
    pub capacity: Option<f64>,
    pub load: Option<f64>,
    pub draining: Option<f64>,
    pub viewers: Option<f64>,
    pub states: BTreeMap<String, f64>,
    pub workers: BTreeMap<String, f64>,
    pub farm_capacity: Option<f64>,
    pub room: Option<f64>,
    /// True when it reports viewers of single streams.
    pub counts_stream_viewers: bool,
    pub streams: HashMap<String, StreamNumbers>,
}

/// Numbers of one stream in one process; totals since it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamNumbers {
    pub state: Option<String>,
    pub worker: Option<String>,
    pub age: Option<f64>,
    pub viewers: f64,
    pub bytes: Option<f64>,
    pub units: Option<f64>,
    pub frames: Option<f64>,
    pub restarts: Option<f64>,
}

impl Process {
    /// Reads an exposition. Pure.
    ///
    /// # Errors
    /// [`exposition::Malformed`] when it is none.
    pub fn read(text: &str) -> Result<Self, exposition::Malformed> {
        let mut process = Self::default();
        exposition::read(text, |sample| process.take(&sample))?;
        Ok(process)
    }

    fn take(&mut self, sample: &Sample<'_>) {
        let value = sample.value;
        let add = |into: &mut Option<f64>| *into.get_or_insert(0.0) += value;
        match sample.name {
            "process_cpu_seconds_total" => self.cpu_s = Some(value),
            "process_resident_memory_bytes" => self.memory = Some(value),
            "rsm_nats_connected" => self.nats = Some(value),
            "rsm_claims" => self.claims = Some(value),
            "rsm_worker_capacity" => self.capacity = Some(value),
            "rsm_worker_load_ratio" => self.load = Some(value),
            "rsm_worker_draining" => self.draining = Some(value),
            "rsm_farm_capacity" => self.farm_capacity = Some(value),
            "rsm_farm_room" => self.room = Some(value),
            "rsm_viewers" => add(&mut self.viewers),
            "rsm_viewer_seats" => self.counts_stream_viewers = true,
            "rsm_fault" if value > 0.0 => self.faults.extend(sample.label("dependency").map(str::to_owned)),
            "rsm_streams" => self.states.extend(sample.label("state").map(|state| (state.to_owned(), value))),
            "rsm_workers" => self.workers.extend(sample.label("state").map(|state| (state.to_owned(), value))),
            name => {
                let Some(slug) = sample.label("stream") else { return };
                let known = [
                    "rsm_stream_state",
                    "rsm_stream_worker",
                    "rsm_stream_last_frame_age_seconds",
                    "rsm_stream_viewers",
                    "rsm_ingest_bytes_total",
                    "rsm_ingest_access_units_total",
                    "rsm_frames_published_total",
                    "rsm_stream_restarts_total",
                ];
                if !known.contains(&name) {
                    return;
                }
                if !self.streams.contains_key(slug) {
                    self.streams.insert(slug.to_owned(), StreamNumbers::default());
                }
                let Some(stream) = self.streams.get_mut(slug) else { return };
                match name {
                    "rsm_stream_state" if value > 0.0 => stream.state = sample.label("state").map(str::to_owned),
                    "rsm_stream_worker" if value > 0.0 => stream.worker = sample.label("worker").map(str::to_owned),
                    "rsm_stream_last_frame_age_seconds" => stream.age = Some(value),
                    "rsm_stream_viewers" => stream.viewers += value,
                    "rsm_ingest_bytes_total" => add(&mut stream.bytes),
                    "rsm_ingest_access_units_total" => add(&mut stream.units),
                    "rsm_frames_published_total" => add(&mut stream.frames),
                    "rsm_stream_restarts_total" => add(&mut stream.restarts),
                    _ => {}
                }
            }
        }
    }
}

/// Why there are no numbers: a sentence for the header.
pub type Away = String;

/// The API, and all processes that it lists.
#[derive(Clone)]
pub struct Source {
    http: Client,
    base: Url,
}

#[derive(Deserialize)]
struct Group {
    targets: Vec<String>,
    labels: Labels,
}

#[derive(Deserialize)]
struct Labels {
    role: String,
    worker: Option<String>,
}

#[derive(Deserialize)]
struct Link {
    slug: String,
    name: String,
}

impl Source {
    /// # Errors
    /// A sentence when no client can be made.
    pub fn new(base: Url) -> Result<Self, Away> {
        let http = Client::builder().timeout(DEADLINE).no_proxy().build();
        Ok(Self { http: http.map_err(|e| format!("cannot make an HTTP client: {e}"))?, base })
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Scrapes every process once. Those that do not answer are silent in the result.
    ///
    /// # Errors
    /// A sentence when the API does not answer: then no other process is known.
    pub async fn targets(&self) -> Result<Vec<Target>, Away> {
        let (groups, api) = tokio::join!(self.list::<Group>("metrics/targets"), self.process(self.at("metrics")));
        let (groups, api) = (groups?, api?);
        let address = format!(
            "{}:{}",
            self.base.host_str().unwrap_or_default(),
            self.base.port_or_known_default().unwrap_or_default()
        );
        let mut targets =
            vec![Target { role: TargetRole::Api, worker: None, address, at: Instant::now(), process: Some(api) }];
        let (mut asked, turns) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
        for (address, labels) in others(groups) {
            let (source, turns) = (self.clone(), turns.clone());
            asked.spawn(async move {
                let _turn = turns.acquire().await;
                let url = Url::parse(&format!("http://{address}/metrics")).ok();
                let process = match url {
                    Some(url) => source.process(url).await.ok(),
                    None => None,
                };
                let role = if labels.role == "worker" { TargetRole::Worker } else { TargetRole::Relay };
                Target { role, worker: labels.worker, address, at: Instant::now(), process }
            });
        }
        while let Some(target) = asked.join_next().await {
            targets.extend(target.ok());
        }
        Ok(targets)
    }

    /// Names of the cameras, by slug.
    ///
    /// # Errors
    /// A sentence when the API does not answer.
    pub async fn names(&self) -> Result<HashMap<String, String>, Away> {
        let links = self.list::<Link>("video/").await?;
        Ok(links.into_iter().map(|link| (link.slug, link.name)).collect())
    }

    fn at(&self, path: &str) -> Url {
        // Never fails: the paths are of this file.
        self.base.join(path).unwrap_or_else(|_| self.base.clone())
    }

    async fn process(&self, url: Url) -> Result<Process, Away> {
        let body = self.get(url.clone(), MAX_METRICS).await?;
        let text = String::from_utf8(body).map_err(|_| format!("{url} is not text"))?;
        Process::read(&text).map_err(|e| format!("{url}: {e}"))
    }

    async fn list<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Away> {
        let url = self.at(path);
        let body = self.get(url.clone(), MAX_LIST).await?;
        serde_json::from_slice(&body).map_err(|_| format!("what answers at {url} is not this API"))
    }

    async fn get(&self, url: Url, most: usize) -> Result<Vec<u8>, Away> {
        let away = |e: reqwest::Error| match e.is_timeout() {
            true => format!("no answer from {url}"),
            false => format!("{url} cannot be reached"),
        };
        let mut answer = self.http.get(url.clone()).send().await.map_err(away)?;
        if !answer.status().is_success() {
            return Err(format!("{url} answered {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(away)? {
            if body.len() + piece.len() > most {
                return Err(format!("{url} answers with more than {most} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// Workers and relays of the list; the API itself is asked where it was named.
fn others(groups: Vec<Group>) -> Vec<(String, Labels)> {
    let groups = groups.into_iter().filter(|group| group.labels.role != "api");
    let mut all: Vec<_> = groups.filter_map(|group| Some((group.targets.into_iter().next()?, group.labels))).collect();
    all.truncate(MAX_TARGETS);
    all
}
