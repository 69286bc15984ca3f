//! A farm: one nats-server, one API, several workers and cameras, each a process of its own that can be taken away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::camera::Camera;
use super::chaos::Chaos;
use super::nats::Nats;
use super::process::rsm;
use super::role::{Recipe, RoleProcess};
use super::system::QUICK;
use super::watch::{CLIP_SECONDS, FPS, Watcher};
use super::{eventually, within};

/// Lines of each process's log that a failing test shows.
const SHOWN_LINES: usize = 40;

/// Parts of a farm.
#[derive(Clone, Default)]
pub struct Plan {
    pub workers: usize,
    /// Cameras, and always-on links, one each.
    pub streams: usize,
    /// For the API and the workers.
    pub environment: Vec<(&'static str, String)>,
    /// For one process: `api`, `w1`, ...
    pub own_environment: Vec<(&'static str, &'static str, String)>,
    /// Workers that reach NATS through a [`Chaos`] of their own.
    pub proxied: Vec<&'static str>,
    /// Everybody has the data directory of the API.
    pub shared_data: bool,
    /// Runs workers instead of `rsm worker`.
    pub worker_program: Option<PathBuf>,
    /// The waits that a user has, instead of short ones.
    pub default_waits: bool,
    /// JPEG frames a second of each link.
    pub max_fps: u32,
    /// Pictures come over UDP: a dead client cannot hold the camera's others up.
    pub udp: bool,
    /// Cameras from this one on, counted from 0, serve one session only.
    pub exclusive_from: Option<usize>,
    /// Where the cameras listen; `None`: loopback.
    pub camera_address: Option<String>,
}

/// The owner of a stream, as the API reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub worker: String,
    pub epoch: u64,
    pub state: String,
}

pub struct Farm {
    pub nats: Nats,
    pub api: RoleProcess,
    pub workers: Vec<RoleProcess>,
    pub camera: Camera,
    /// Slug and id of each link, in the order of the cameras.
    pub streams: Vec<(String, i64)>,
    /// By the name of the worker.
    pub chaos: BTreeMap<String, Chaos>,
    /// `http://127.0.0.1:port`, no slash at the end; stays while the API is away.
    pub base: String,
    pub http: reqwest::Client,
    plan: Plan,
    dir: tempfile::TempDir,
}

impl Plan {
    pub fn of(workers: usize, streams: usize) -> Self {
        // Streams stay where they are unless a test is about moving them.
        // The load of the machine by other tests decides nothing.
        let environment =
            vec![("RSM__CONTROL__REBALANCE", "false".to_owned()), ("RSM__WORKER__MAX_CPU_PERCENT", "100".to_owned())];
        Self { workers, streams, environment, max_fps: 5, ..Self::default() }
    }

    pub fn env(mut self, key: &'static str, value: &str) -> Self {
        self.environment.push((key, value.to_owned()));
        self
    }

    pub fn own_env(mut self, process: &'static str, key: &'static str, value: &str) -> Self {
        self.own_environment.push((process, key, value.to_owned()));
        self
    }

    /// `worker` reaches NATS through a [`Chaos`].
    pub fn proxied(mut self, worker: &'static str) -> Self {
        self.proxied.push(worker);
        self
    }

    /// Starts everything; every stream runs when this returns.
    pub async fn start(self) -> Farm {
        let mut farm = self.start_bare().await;
        farm.add_streams().await;
        farm.until_all_run().await;
        farm
    }

    /// Starts the processes, with no link registered, and waits until the workers are known.
    pub async fn start_bare(self) -> Farm {
        let (nats, dir) = (Nats::start().await, tempfile::tempdir().unwrap());
        let (count, fps, clip) = (self.streams.max(1).to_string(), FPS.to_string(), CLIP_SECONDS.to_string());
        let listen = format!("{}:0", self.camera_address.as_deref().unwrap_or("127.0.0.1"));
        let flags = ["--listen", &listen, "--count", &count, "--fps", &fps, "--gop", &fps, "--clip-seconds", &clip];
        let camera = Camera::start_with(0, &flags, None).await;
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        // As tokio wants it in the child.
        listener.set_nonblocking(true).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let http = reqwest::Client::builder().no_proxy().timeout(super::DEADLINE).build().unwrap();
        let mut environment = self.environment_of("api");
        environment.push(("RSM__NATS__URLS".to_owned(), nats.url.clone()));
        environment.push(("RSM__DATA_DIR".to_owned(), dir.path().join("api").display().to_string()));
        let api = RoleProcess::start(
            "api",
            Recipe { program: rsm(), arguments: vec!["api".into()], environment, listener: Some(Arc::new(listener)) },
        );
        let workers = Vec::new();
        let (streams, chaos, plan) = (Vec::new(), BTreeMap::new(), self);
        let mut farm = Farm { nats, api, workers, camera, streams, chaos, base, http, plan, dir };
        for n in 1..=farm.plan.workers {
            farm.add_worker(&format!("w{n}")).await;
        }
        farm.until_ready().await;
        farm
    }

    fn environment_of(&self, process: &str) -> Vec<(String, String)> {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let own = self.own_environment.iter().filter(|(of, ..)| *of == process);
        let quick = if self.default_waits { &[] } else { &QUICK[..] };
        let all = quick.iter().copied().chain(self.environment.iter().map(|(key, value)| (*key, value.as_str())));
        all.chain(own.map(|(_, key, value)| (*key, value.as_str()))).map(owned).collect()
    }
}

impl Farm {
    /// Starts one more worker.
    pub async fn add_worker(&mut self, name: &str) {
        let mut server = self.nats.address();
        if self.plan.proxied.contains(&name) {
            let chaos = Chaos::before(server).await;
            server = chaos.address;
            self.chaos.insert(name.to_owned(), chaos);
        }
        let recipe = self.worker_recipe(name, server);
        self.workers.push(RoleProcess::start(name, recipe));
    }

    /// Recipe of a worker that reaches NATS at `server`.
    pub fn worker_recipe(&self, name: &str, server: SocketAddr) -> Recipe {
        let data = if self.plan.shared_data { "api" } else { name };
        let data_dir = self.dir.path().join(data);
        let program = self.plan.worker_program.clone().unwrap_or_else(rsm);
        let mut environment = self.plan.environment_of(name);
        environment.push(("RSM__NATS__URLS".to_owned(), format!("nats://{server}")));
        environment.push(("RSM__DATA_DIR".to_owned(), data_dir.display().to_string()));
        environment.push(("RSM__WORKER__NAME".to_owned(), name.to_owned()));
        if self.plan.shared_data {
            environment.push(("RSM__WORKER__CLEAR_HLS".to_owned(), "false".to_owned()));
        }
        Recipe { program, arguments: vec!["worker".into()], environment, listener: None }
    }

    /// The data directory of a process: `api`, `w1`, ... Not when all share one.
    pub fn data_dir(&self, process: &str) -> PathBuf {
        self.dir.path().join(process)
    }

    pub fn worker(&mut self, name: &str) -> &mut RoleProcess {
        self.workers.iter_mut().find(|role| role.name == name).unwrap_or_else(|| panic!("no worker {name}"))
    }

    pub async fn until_ready(&self) {
        let ready = async || self.http.get(format!("{}/health/ready", self.base)).send().await.ok().map(|a| a.status());
        eventually("the API to be ready", ready, |status| *status == Some(StatusCode::OK)).await;
    }

    /// A JSON answer with a status of success.
    pub async fn json(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    pub async fn send(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let answer = self.http.request(method, format!("{}{path}", self.base)).json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or(Value::Null))
    }

    /// Registers a link as [`Self::add`] does; its camera serves one session only when `exclusive`.
    async fn add_as(&self, url: &str, exclusive: bool) -> (String, i64) {
        let jpeg = json!({ "max_fps": self.plan.max_fps, "max_width": 160 });
        let transport = if self.plan.udp { "udp" } else { "auto" };
        let shape =
            json!({ "url": url, "always_on": true, "mjpeg": jpeg, "transport": transport, "exclusive": exclusive });
        let (status, answer) = self.send(Method::POST, "/video/", &shape).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        (answer["slug"].as_str().unwrap().to_owned(), answer["id"].as_i64().unwrap())
    }

    /// Registers a link: always on, small pictures, few a second.
    pub async fn add(&self, url: &str) -> (String, i64) {
        self.add_as(url, false).await
    }

    /// Registers one link for each camera.
    pub async fn add_streams(&mut self) {
        for (n, url) in self.camera.urls.iter().take(self.plan.streams).enumerate() {
            let stream = self.add_as(url, self.plan.exclusive_from.is_some_and(|from| n >= from)).await;
            self.streams.push(stream);
        }
    }

    pub fn slugs(&self) -> Vec<String> {
        self.streams.iter().map(|(slug, _)| slug.clone()).collect()
    }

    /// A viewer on every stream, each with frames.
    pub async fn watch_all(&self) -> Vec<Watcher> {
        let mut watchers = Vec::new();
        for (slug, _) in &self.streams {
            watchers.push(Watcher::open(&self.base, slug).await);
        }
        for watcher in &watchers {
            watcher.more(3).await;
        }
        watchers
    }

    /// The owner of a stream; `None` while the API does not answer.
    pub async fn owner(&self, slug: &str) -> Option<Owner> {
        let status = self.json(&format!("/video/{slug}/status")).await?;
        Some(Owner {
            worker: status["worker"].as_str().unwrap_or_default().to_owned(),
            epoch: status["epoch"].as_u64().unwrap_or(0),
            state: status["state"].as_str().unwrap_or_default().to_owned(),
        })
    }

    pub async fn owners(&self) -> BTreeMap<String, Owner> {
        let mut owners = BTreeMap::new();
        for (slug, _) in &self.streams {
            if let Some(owner) = self.owner(slug).await {
                owners.insert(slug.clone(), owner);
            }
        }
        owners
    }

    /// Waits until every stream runs somewhere; returns the owners.
    pub async fn until_all_run(&self) -> BTreeMap<String, Owner> {
        self.until_owned("every stream to run", |_, _| true).await
    }

    /// Waits until every stream runs at an owner that fits.
    pub async fn until_owned(&self, what: &str, fits: impl Fn(&str, &Owner) -> bool) -> BTreeMap<String, Owner> {
        let settled = |owners: &BTreeMap<String, Owner>| {
            owners.len() == self.streams.len() && owners.iter().all(|(s, o)| o.state == "running" && fits(s, o))
        };
        eventually(what, async || self.owners().await, settled).await
    }

    /// RTSP sessions of each camera in the order of the streams: `(playing now, ever played)`.
    pub async fn sessions(&self) -> Vec<(u64, u64)> {
        let status = self.camera.command("status").await;
        let row = |camera: &Value| (camera["playing"].as_u64().unwrap(), camera["played_total"].as_u64().unwrap());
        status["cameras"].as_array().unwrap().iter().map(row).collect()
    }

    /// Waits until every camera has exactly one client.
    pub async fn until_one_session_each(&self) -> Vec<(u64, u64)> {
        let alone = |sessions: &Vec<(u64, u64)>| sessions.iter().all(|(playing, _)| *playing == 1);
        eventually("one RTSP session for each camera", async || self.sessions().await, alone).await
    }

    /// Waits until the newest heartbeat of each of these workers fits. Not while the API is away: a second subscriber
    /// of heartbeats hides that the API does not answer them.
    pub async fn until_beats(&self, what: &str, workers: &[&str], fits: impl Fn(&Value) -> bool) {
        let client = self.nats.client().await;
        let mut beats = client.subscribe("rsm.v1.hb.*").await.unwrap();
        let mut last = BTreeMap::new();
        let all = async {
            while !workers.iter().all(|worker| last.get(*worker).is_some_and(&fits)) {
                let beat = beats.next().await.expect("a subscription");
                let name = beat.subject.rsplit('.').next().unwrap().to_owned();
                last.insert(name, serde_json::from_slice::<Value>(&beat.payload).unwrap());
            }
        };
        let seen = tokio::time::timeout(super::DEADLINE, all).await;
        assert!(seen.is_ok(), "waited for: {what}; saw last: {last:?}");
    }

    /// Waits for `count` heartbeats of each of these workers. Not while the API is away, as above.
    pub async fn beats(&self, workers: &[&str], count: usize) {
        let client = self.nats.client().await;
        let mut beats = client.subscribe("rsm.v1.hb.*").await.unwrap();
        let mut seen = vec![0; workers.len()];
        while seen.iter().any(|n| *n < count) {
            let what = format!("{count} heartbeats of {workers:?}, seen {seen:?}");
            let beat = within(&what, beats.next()).await.expect("a subscription");
            let name = beat.subject.rsplit('.').next().unwrap().to_owned();
            if let Some(at) = workers.iter().position(|worker| *worker == name) {
                seen[at] += 1;
            }
        }
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for role in self.workers.iter().chain([&self.api]) {
            let text = role.log.text();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- log of {}\n{}", role.name, lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"));
        }
    }
}
