//! The system under measurement: a nats-server, an API, a relay and one worker, each a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::eventually;
use crate::harness::nats::Nats;
use crate::harness::process::rsm;
use crate::harness::role::{Recipe, RoleProcess};
use crate::usage::Process;

/// For requests that wait for a camera.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// More than any case opens.
const SEATS: &str = "20000";

pub struct Scene {
    pub nats: Nats,
    pub api: RoleProcess,
    pub relay: RoleProcess,
    pub worker: RoleProcess,
    pub api_base: String,
    pub relay_base: String,
    pub relay_address: SocketAddr,
    pub http: reqwest::Client,
    /// Slug and id of each link.
    pub streams: Vec<(String, i64)>,
    // Removed with all in it.
    _dir: tempfile::TempDir,
}

/// Kind of the worker.
pub enum PictureSource {
    /// Stamped pictures of so many bytes, so many a second, so many pixels wide.
    Stub { bytes: usize, fps: u32, width: u32 },
    /// Cameras; with more environment for the worker.
    Real(Vec<(&'static str, String)>),
}

fn listener() -> (Arc<std::net::TcpListener>, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    // As tokio wants it in the child.
    listener.set_nonblocking(true).expect("a listener that does not block");
    let address = listener.local_addr().expect("an address");
    (Arc::new(listener), address)
}

impl PictureSource {
    /// 640 pixels wide.
    pub fn stub(bytes: usize, fps: u32) -> Self {
        Self::Stub { bytes, fps, width: crate::stamped::WIDTH }
    }
}

impl Scene {
    /// Starts everything; no link is registered yet.
    pub async fn start(pictures: PictureSource) -> Self {
        let (nats, dir) = (Nats::start().await, tempfile::tempdir().expect("a directory"));
        let environment = |name: &str, own: &[(&str, String)]| {
            let common = [
                ("RSM__NATS__URLS", nats.url.clone()),
                ("RSM__DATA_DIR", dir.path().join(name).display().to_string()),
                ("RSM__API__MAX_VIEWERS", SEATS.to_owned()),
                ("RSM__API__MAX_VIEWERS_PER_ADDRESS", "0".to_owned()),
                // Nothing is thinned on the way.
                ("RSM__MJPEG__MAX_FPS", "60".to_owned()),
                ("RSM__WORKER__MAX_CPU_PERCENT", "100".to_owned()),
                ("RSM__WORKER__NAME", name.to_owned()),
                ("RSM__WORKER__CAPACITY", "1000".to_owned()),
            ];
            common.iter().chain(own).map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Vec<_>>()
        };
        let role = |name: &str, program: PathBuf, own: &[(&str, String)], listener| {
            let arguments = if program == rsm() { vec![name.into()] } else { Vec::new() };
            RoleProcess::start(name, Recipe { program, arguments, environment: environment(name, own), listener })
        };
        let (api_listener, api_address) = listener();
        let (relay_listener, relay_address) = listener();
        let api = role("api", rsm(), &[], Some(api_listener));
        let worker = match pictures {
            PictureSource::Stub { bytes, fps, width } => {
                let own = [
                    ("RSM_STUB_FRAME_BYTES", bytes.to_string()),
                    ("RSM_STUB_FPS", fps.to_string()),
                    ("RSM_STUB_WIDTH", width.to_string()),
                ];
                role("worker", rsm().with_file_name("rsm-stub-worker"), &own, None)
            }
            PictureSource::Real(own) => role("worker", rsm(), &own, None),
        };
        let relay = role("relay", rsm(), &[], Some(relay_listener));
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().expect("an HTTP client");
        let scene = Self {
            nats,
            api,
            relay,
            worker,
            api_base: format!("http://{api_address}"),
            relay_base: format!("http://{relay_address}"),
            relay_address,
            http,
            streams: Vec::new(),
            _dir: dir,
        };
        scene.until_ready(&scene.api_base).await;
        scene.until_ready(&scene.relay_base).await;
        scene
    }

    async fn until_ready(&self, base: &str) {
        let ready =
            async || self.http.get(format!("{base}/health/ready")).send().await.ok().map(|answer| answer.status());
        eventually("a process to be ready", ready, |status| *status == Some(StatusCode::OK)).await;
    }

    /// Registers links that run at once, and waits until the relay shows that all do.
    pub async fn add(&mut self, urls: &[String], settings: &Value) {
        self.register(urls, settings).await;
        self.until_all_are("running").await;
    }

    /// Registers links, which run at once unless `settings` say otherwise, and waits until the relay knows all.
    pub async fn register(&mut self, urls: &[String], settings: &Value) {
        for url in urls {
            let mut body = json!({ "url": url, "always_on": true });
            for (key, value) in settings.as_object().into_iter().flatten() {
                body[key] = value.clone();
            }
            let answer = self.http.post(format!("{}/video/", self.api_base)).json(&body).send().await;
            let answer = answer.expect("an answer of the API");
            let status = answer.status();
            let answer: Value = answer.json().await.unwrap_or_default();
            assert_eq!(status, StatusCode::CREATED, "{answer}");
            let (slug, id) = (answer["slug"].as_str().unwrap_or_default(), answer["id"].as_i64().unwrap_or(0));
            self.streams.push((slug.to_owned(), id));
        }
        let known = async || {
            let mut known = 0;
            for (slug, _) in &self.streams {
                known += usize::from(self.get(&format!("/video/{slug}/status")).await["state"].is_string());
            }
            known
        };
        eventually("the relay to know every stream", known, |known| *known == self.streams.len()).await;
    }

    async fn until_all_are(&self, state: &str) {
        let there = async || {
            let mut there = 0;
            for (slug, _) in &self.streams {
                let status = self.get(&format!("/video/{slug}/status")).await;
                there += usize::from(status["state"] == state);
            }
            there
        };
        eventually(&format!("every stream to be {state}"), there, |there| *there == self.streams.len()).await;
    }

    /// Registers streams of the stub.
    pub async fn add_stubs(&mut self, count: usize, settings: &Value) {
        let urls: Vec<String> = (0..count).map(|n| format!("rtsp://127.0.0.1:9/stub{n}")).collect();
        self.add(&urls, settings).await;
    }

    /// JSON from the relay; `null` when it has none.
    pub async fn get(&self, path: &str) -> Value {
        let Ok(answer) = self.http.get(format!("{}{path}", self.relay_base)).send().await else { return Value::Null };
        answer.json().await.unwrap_or_default()
    }

    /// Where frames of each stream come from.
    pub fn sockets(&self, query: &str) -> Vec<String> {
        self.streams.iter().map(|(slug, _)| format!("/ws/stream/{slug}/{query}")).collect()
    }

    /// A number of the relay's metrics: the sum of all samples that begin with `name`.
    pub async fn metric(&self, name: &str) -> f64 {
        let answer = self.http.get(format!("{}/metrics", self.relay_base)).send().await;
        let text = match answer {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => return f64::NAN,
        };
        let samples = text.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn relay_process(&self) -> Process {
        Process::read("relay", self.relay.pid())
    }

    /// All that serve, with their roles.
    pub fn group(&self) -> Vec<(String, u32)> {
        [
            ("nats-server", self.nats.pid()),
            ("api", self.api.pid()),
            ("worker", self.worker.pid()),
            ("relay", self.relay.pid()),
        ]
        .map(|(role, pid)| (role.to_owned(), pid))
        .to_vec()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for role in [&self.api, &self.relay, &self.worker] {
                let text = role.log.text();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("--- log of {}\n{}", role.name, lines[lines.len().saturating_sub(20)..].join("\n"));
            }
        }
    }
}
