//! Relays beside an API and a worker, each a process of its own with a data directory of its own, as on machines that
//! share nothing but NATS.

use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::harness::camera::Camera;
use crate::harness::eventually;
use crate::harness::nats::Nats;
use crate::harness::process::{Log, rsm, spawn};
use crate::harness::system::QUICK;
use crate::harness::viewer::{JpegViewer, MediaPlaylist, frame_number};

/// One process of a role.
pub struct RunningRole {
    name: &'static str,
    /// `http://127.0.0.1:port`; empty for a worker.
    pub base: String,
    pub http: reqwest::Client,
    log: Log,
    child: Child,
    dir: tempfile::TempDir,
}

impl RunningRole {
    /// An API or a relay.
    pub async fn serving(name: &'static str, nats: &Nats) -> Self {
        let mut role = Self::spawn(name, nats, &["--listen", "127.0.0.1:0"]);
        let log = role.log.clone();
        let address = async || {
            let text = log.text();
            let (_, rest) = text.split_once(" begins")?.1.split_once("address=")?;
            Some(rest.split_whitespace().next()?.to_owned())
        };
        let address = eventually(&format!("rsm {name} to begin"), address, Option::is_some).await.unwrap();
        role.base = format!("http://{address}");
        role.until_ready().await;
        role
    }

    pub fn worker(nats: &Nats) -> Self {
        Self::spawn("worker", nats, &[])
    }

    fn spawn(name: &'static str, nats: &Nats, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(rsm());
        command
            .args([name, "--nats", &nats.url, "--data-dir"])
            .arg(dir.path())
            .args(flags)
            .envs(QUICK)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let log = Log::of(child.stderr.take().unwrap());
        let http = reqwest::Client::builder().no_proxy().timeout(crate::harness::DEADLINE).build().unwrap();
        Self { name, base: String::new(), http, log, child, dir }
    }

    async fn until_ready(&self) {
        let ready = async || self.get("/health/ready").await.status();
        eventually(&format!("rsm {} to be ready", self.name), ready, |status| *status == StatusCode::OK).await;
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.base)).send().await.unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    pub async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    /// Registers a camera; its slug and id.
    pub async fn add(&self, body: &Value) -> (String, i64) {
        let answer = self.http.post(format!("{}/video/", self.base)).json(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let saved: Value = answer.json().await.unwrap();
        (saved["slug"].as_str().unwrap().to_owned(), saved["id"].as_i64().unwrap())
    }

    async fn until_listed(&self, slug: &str) {
        let list = async || self.json("/video/").await;
        eventually(&format!("{slug} in the list of a relay"), list, |list| list[0]["slug"] == slug).await;
    }

    pub async fn watch(&self, slug: &str) -> JpegViewer {
        JpegViewer::try_open_at(&self.base, slug).await.unwrap()
    }
}

impl Drop for RunningRole {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of rsm {}\n{}", self.name, self.log.text());
        }
    }
}

async fn next_number(viewer: &mut JpegViewer) -> u32 {
    loop {
        let jpeg = viewer.next().await.expect("a frame");
        if let Some(number) = frame_number(&jpeg) {
            return number;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_shows_a_cold_stream_and_goes_on_while_the_api_is_away() {
    let (nats, camera) = (Nats::start().await, Camera::start_with(0, &[], Some("s3cret-pw")).await);
    let mut api = RunningRole::serving("api", &nats).await;
    let _worker = RunningRole::worker(&nats);
    let relay = RunningRole::serving("relay", &nats).await;
    let link = json!({ "url": camera.url(), "username": "admin", "password": "s3cret-pw", "name": "Yard" });
    let (slug, _) = api.add(&link).await;
    relay.until_listed(&slug).await;

    // Only the relay's viewer demands it.
    let mut viewer = relay.watch(&slug).await;
    let first = next_number(&mut viewer).await;
    assert_eq!(camera.sessions().await.0, 1);
    let snapshot = relay.get(&format!("/video/{slug}/snapshot.jpg")).await;
    assert_eq!(
        (snapshot.status(), &snapshot.headers()["content-type"]),
        (StatusCode::OK, &"image/jpeg".parse().unwrap())
    );
    let status = async || relay.json(&format!("/video/{slug}/status")).await;
    eventually("the relay to know that it runs", status, |status| status["state"] == "running").await;

    // Neither address nor password is anywhere on a relay, nor on its disk.
    for path in ["/video/".to_owned(), format!("/video/{slug}/"), format!("/video/{slug}/status"), "/metrics".into()] {
        let text = relay.get(&path).await.text().await.unwrap();
        for secret in ["s3cret-pw", "rtsp://", &format!(":{}", camera.port)] {
            assert!(!text.contains(secret), "{path} shows {secret}: {text}");
        }
    }
    assert!(!relay.log.text().contains("s3cret-pw") && !relay.log.text().contains("rtsp://"));
    assert_eq!(std::fs::read_dir(relay.dir.path()).unwrap().count(), 0, "a relay keeps nothing");
    let refused = relay.http.delete(format!("{}/video/{slug}/", relay.base)).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    let targets = async || api.json("/metrics/targets").await;
    let here = relay.base.trim_start_matches("http://").to_owned();
    let listed = |all: &Value| {
        let mut all = all.as_array().unwrap().iter();
        all.any(|group| group["targets"][0] == here.as_str() && group["labels"]["role"] == "relay")
    };
    eventually("the relay among the targets", targets, listed).await;

    api.child.kill().await.unwrap();
    let then = next_number(&mut viewer).await;
    assert_ne!(first, then);
    let second = RunningRole::serving("relay", &nats).await;
    second.until_listed(&slug).await;
    let mut late = second.watch(&slug).await;
    next_number(&mut late).await;
    next_number(&mut viewer).await;
    assert_eq!(camera.sessions().await, (1, 1), "one session all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_plays_hls_of_a_worker_whose_disk_it_does_not_share() {
    let (nats, camera) = (Nats::start().await, Camera::start().await);
    let api = RunningRole::serving("api", &nats).await;
    let _worker = RunningRole::worker(&nats);
    let relay = RunningRole::serving("relay", &nats).await;
    let (slug, id) = api.add(&json!({ "url": camera.url() })).await;
    relay.until_listed(&slug).await;
    for role in [&relay, &api] {
        let look = async || MediaPlaylist::fetch_at(&role.http, &role.base, id).await;
        let playlist = eventually("a playlist", look, Option::is_some).await.unwrap();
        for media in playlist.maps.iter().chain(playlist.segments.last()) {
            let answer = role.get(media).await;
            assert_eq!(answer.status(), StatusCode::OK, "{media}");
            // Every box of a file begins with its length and its type.
            let bytes = answer.bytes().await.unwrap();
            assert!([b"ftyp", b"styp", b"moof", b"sidx"].iter().any(|kind| &bytes[4..8] == *kind), "{media}");
        }
    }
    let numbers = relay.get("/metrics").await.text().await.unwrap();
    assert!(numbers.contains("rsm_hls_fetches_total{outcome=\"miss\"}"), "{numbers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_without_nats_says_so_and_takes_viewers_all_the_same() {
    let (nats, camera) = (Nats::start().await, Camera::start().await);
    let api = RunningRole::serving("api", &nats).await;
    let relay = RunningRole::serving("relay", &nats).await;
    let (slug, _) = api.add(&json!({ "url": camera.url() })).await;
    relay.until_listed(&slug).await;
    let viewer = relay.watch(&slug).await;
    drop(nats);
    let ready = async || relay.get("/health/ready").await.json::<Value>().await.unwrap();
    eventually("the relay to miss NATS", ready, |ready| ready["reasons"]["nats"].is_string()).await;
    assert_eq!(relay.get("/health/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(relay.json("/video/").await[0]["slug"], slug.as_str(), "what is known stays");
    let other = relay.watch(&slug).await;
    let numbers = relay.get("/metrics").await.text().await.unwrap();
    assert!(numbers.contains("rsm_viewers{kind=\"mjpeg\"} 2"), "the sockets stay open: {numbers}");
    drop((viewer, other));
}
