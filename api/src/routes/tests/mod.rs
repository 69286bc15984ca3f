//! The whole API over real sockets, against a database in a temporary directory.

mod documents;
mod errors;
mod events;
mod frames;
mod hls;
mod hls_live;
mod hls_remote;
mod hls_worker;
mod import;
mod links;
mod multipart;
mod probe;
mod relay;
mod viewers;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response};
use rsm_shared::bus::connect::{Bus, Purpose};
use rsm_shared::config::Config;
use rsm_shared::ops::health::Health;
use rsm_shared::ops::metrics;
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_viewing::http::server;
use rsm_viewing::relay::limits::bound_unsent;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppParts};
use crate::directory::{Directory, Entry, View};
use crate::discovery::workers::WorkerInfo;
use crate::metrics::control::{ControlMetrics, ControlTable};
use crate::store::Store;

/// Longest wait of any test for anything.
const DEADLINE: Duration = Duration::from_secs(10);
/// Nothing listens there.
const NO_NATS: &str = "nats://127.0.0.1:1";

struct Api {
    app: Arc<App>,
    address: SocketAddr,
    client: Client,
    dir: TempDir,
    workers: watch::Sender<Vec<WorkerInfo>>,
    /// As a signal would.
    stop: CancellationToken,
}

impl Api {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test has its own deadline")]
    async fn start_with(flags: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().to_str().unwrap();
        let mut all: Vec<(&str, String)> = vec![("data_dir", data_dir.into()), ("nats.urls", NO_NATS.into())];
        all.extend(flags.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let config = Config::load(None, &all).unwrap();
        let store = Store::open(&dir.path().join("rsm.sqlite3")).unwrap();
        let directory = Directory::new(store.links().await.unwrap());
        let health = Health::default();
        let (registry, nats_connected) = metrics::registry("test", &health).unwrap();
        let _shown = ControlMetrics::new(ControlTable::registered(&registry).unwrap(), nats_connected);
        let (workers, workers_rx) = watch::channel(Vec::new());
        let app = App::new(AppParts {
            control: Bus::connect(&config.nats, Purpose::Control, "test-control").await.unwrap(),
            frames: Bus::connect(&config.nats, Purpose::Frames, "test-frames").await.unwrap(),
            config,
            store,
            directory,
            health,
            registry,
            workers: workers_rx,
            stop: CancellationToken::new(),
        })
        .unwrap();
        app.viewing.start();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        bound_unsent(&tcp, Duration::from_secs(app.viewing.config.api.viewer_stall_s)).unwrap();
        let address = tcp.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(server::serve(
            tcp,
            app.viewing.clone(),
            super::table::service(&app),
            stop.clone(),
            app.viewing.stop.clone(),
        ));
        Self { app, address, client: Client::new(), dir, workers, stop }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).timeout(DEADLINE * 2)
    }

    async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path).send().await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Response {
        self.call(method, path).json(&body).send().await.unwrap()
    }

    /// Registers a camera.
    async fn add(&self, body: Value) -> Arc<Entry> {
        let answer = self.send(Method::POST, "/video/", body).await;
        assert_eq!(answer.status(), 201);
        let saved: Value = answer.json().await.unwrap();
        self.app.directory.by_id(saved["id"].as_i64().unwrap()).unwrap()
    }

    async fn add_one(&self) -> Arc<Entry> {
        self.add(json!({"url": "rtsp://admin:hunter2@10.0.0.1/h264", "name": "Yard"})).await
    }

    fn show(&self, entry: &Entry, change: impl FnOnce(&mut View)) {
        let mut view = (*entry.view()).clone();
        change(&mut view);
        self.app.directory.show(entry, view);
    }

    fn hls_root(&self) -> std::path::PathBuf {
        self.app.viewing.config.hls_root()
    }
}

fn fence(epoch: u64, revision: u64) -> Fence {
    Fence { epoch: Epoch(epoch), revision }
}

/// Waits until `done` holds; panics with the last value.
async fn until<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> T, done: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let seen = look();
        if done(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: saw {seen:?} last");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A problem as every error is one.
async fn problem(answer: Response, status: u16) -> Value {
    assert_eq!(answer.status().as_u16(), status, "{}", answer.url());
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["error"], body["detail"]);
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert!(body["error"].as_str().is_some_and(|sentence| sentence.len() > 5));
    body
}

/// A real server on a port it chose itself, with a store of its own.
struct Nats {
    child: Child,
    url: String,
    dir: TempDir,
}

impl Nats {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = Self::spawn("-1", &dir, "store");
        let file = dir.path().join(format!("nats-server_{}.ports", child.id()));
        let url = until("the ports file", || first_url(&file), Option::is_some).await.unwrap();
        Self { child, url, dir }
    }

    fn spawn(port: &str, dir: &TempDir, store: &str) -> Child {
        Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"])
            .arg(dir.path().join(store))
            .arg("--ports_file_dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is installed")
    }

    /// Ends the server without warning.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same port, with nothing in its store.
    fn start_empty(&mut self) {
        let port = self.url.rsplit(':').next().unwrap().to_owned();
        self.child = Self::spawn(&port, &self.dir, "another-store");
    }
}

fn first_url(file: &Path) -> Option<String> {
    let ports: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str().map(str::to_owned)
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
