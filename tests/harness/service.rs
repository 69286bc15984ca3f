//! One role of rsm as a process of its own, as a farm runs them.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::process::{Log, rsm, signal, spawn};
use super::system::QUICK;
use super::{eventually, within};

pub struct Service {
    /// `http://127.0.0.1:port`, no slash at the end.
    pub base: String,
    pub http: reqwest::Client,
    pub log: Log,
    pub child: Child,
}

impl Service {
    /// `rsm api`, with its data in `dir`.
    pub async fn api(dir: &Path, environment: &[(&str, String)]) -> Self {
        Self::api_at("127.0.0.1:0", dir, environment).await
    }

    /// The same at an address, where another one was before.
    pub async fn api_at(address: &str, dir: &Path, environment: &[(&str, String)]) -> Self {
        Self::start(&["api", "--listen", address], dir, environment).await
    }

    /// `rsm worker`, with its segments in `dir`.
    pub async fn worker(name: &str, dir: &Path, environment: &[(&str, String)]) -> Self {
        Self::start(&["worker", "--name", name], dir, environment).await
    }

    /// `rsm relay`; it keeps nothing in `dir`.
    pub async fn relay(dir: &Path, environment: &[(&str, String)]) -> Self {
        Self::start(&["relay", "--listen", "127.0.0.1:0"], dir, environment).await
    }

    async fn start(words: &[&str], dir: &Path, environment: &[(&str, String)]) -> Self {
        let mut command = Command::new(rsm());
        command
            .args(words)
            .args(["--log-format", "json", "--data-dir"])
            .arg(dir)
            .envs(QUICK)
            .envs(environment.iter().map(|(key, value)| (*key, value.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let log = Log::of(child.stderr.take().unwrap());
        let address = async || {
            let text = log.text();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find_map(|line| line["address"].as_str().or(line["http"].as_str()).map(str::to_owned)).ok_or(text)
        };
        let address = eventually("a role to say where it listens", address, Result::is_ok).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(super::DEADLINE).build().unwrap();
        Self { base: format!("http://{address}"), http, log, child }
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await;
        let answer = answer.unwrap_or_else(|e| panic!("GET {path}: {e}\n{}", self.log.text()));
        (answer.status(), answer.json().await.unwrap_or(Value::Null))
    }

    /// Registers a camera; its slug.
    pub async fn add(&self, body: &Value) -> String {
        let answer = self.http.post(format!("{}/video/", self.base)).json(body).send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        answer["slug"].as_str().unwrap().to_owned()
    }

    pub async fn status(&self, slug: &str) -> Value {
        self.get(&format!("/video/{slug}/status")).await.1
    }

    /// Waits until a stream is in a state; its status then.
    pub async fn until_state(&self, slug: &str, state: &str) -> Value {
        eventually(&format!("{slug} to be {state}"), async || self.status(slug).await, |s| s["state"] == state).await
    }

    /// Waits until it is ready.
    pub async fn until_ready(&self) {
        let ready = async || self.get("/health/ready").await;
        eventually("a role to be ready", ready, |(status, _)| status.is_success()).await;
    }

    /// Waits until it is not ready for a reason that says `part`.
    pub async fn until_unready(&self, part: &str) {
        let ready = async || self.get("/health/ready").await;
        let tells = |(status, body): &(StatusCode, Value)| {
            *status == StatusCode::SERVICE_UNAVAILABLE && body.to_string().contains(part)
        };
        eventually(&format!("a role that is not ready: {part}"), ready, tells).await;
    }

    /// SIGTERM, then waits for the end.
    pub async fn end(&mut self) -> ExitStatus {
        signal(self.child.id().expect("a running role"), Signal::SIGTERM);
        within("a role to end", self.child.wait()).await.unwrap()
    }

    /// Number of its lines of level ERROR that contain `part`.
    pub fn errors(&self, part: &str) -> usize {
        let is_error = |line: &Value| line["level"] == "ERROR" && line.to_string().contains(part);
        self.log.text().lines().filter_map(|line| serde_json::from_str(line).ok()).filter(is_error).count()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of a role at {}\n{}", self.base, self.log.text());
        }
    }
}
