//! `rsm up` in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::Signal;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::process::{Found, Log, descendants, rsm, signal, spawn};
use super::{eventually, within};

/// Short waits, so that tests do not take long.
pub const QUICK: [(&str, &str); 3] =
    [("RSM__CAMERA__IDLE_TIMEOUT_S", "5"), ("RSM__HLS__WISH_TTL_S", "10"), ("RSM__HLS__SEGMENT_SECONDS", "1")];
/// A machine that is busy with others lets cameras fall silent for seconds, and that is no test's matter.
const PATIENT: (&str, &str) = ("RSM__CAMERA__STALL_TIMEOUT_S", "30");

pub struct System {
    /// `http://127.0.0.1:port`, no slash at the end.
    pub base: String,
    pub http: reqwest::Client,
    pub log: Log,
    pub child: Child,
    data: Data,
}

enum Data {
    Own(tempfile::TempDir),
    Given(PathBuf),
}

impl System {
    /// With its own nats-server and short waits.
    pub async fn start() -> Self {
        Self::start_with(None, &[], &[]).await
    }

    /// In a given data directory, with more flags, with more environment.
    pub async fn start_with(data_dir: Option<&Path>, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let data = match data_dir {
            Some(dir) => Data::Given(dir.to_owned()),
            None => Data::Own(tempfile::tempdir().unwrap()),
        };
        let mut command = Command::new(rsm());
        command
            .args(["up", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .args(flags)
            .envs(QUICK)
            .envs([PATIENT])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let log = Log::of(child.stderr.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = within("rsm up to be ready", lines.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("rsm up ended:\n{}", log.text()));
        let base = line.rsplit(' ').next().unwrap().trim_end_matches('/').to_owned();
        assert!(base.starts_with("http://127.0.0.1:"), "{line}");
        let http = reqwest::Client::builder().no_proxy().timeout(super::DEADLINE).build().unwrap();
        Self { base, http, log, child, data }
    }

    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap_or_else(|e| panic!("GET {path}: {e}\n{}", self.log.text()))
    }

    /// A JSON answer with a status of success.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert!(answer.status().is_success(), "GET {path}: {}", answer.status());
        answer.json().await.unwrap()
    }

    pub async fn send(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let answer = self.http.request(method, self.url(path)).json(body).send().await.unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// Registers a camera; its slug and id.
    pub async fn add(&self, body: Value) -> (String, i64) {
        let (status, answer) = self.send(Method::POST, "/video/", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        (answer["slug"].as_str().unwrap().to_owned(), answer["id"].as_i64().unwrap())
    }

    pub async fn status(&self, slug: &str) -> Value {
        self.json(&format!("/video/{slug}/status")).await
    }

    /// Waits until a stream is in a state; its status then.
    pub async fn until_state(&self, slug: &str, state: &str) -> Value {
        eventually(&format!("{slug} to be {state}"), async || self.status(slug).await, |s| s["state"] == state).await
    }

    /// The process of a role: `api`, `worker` or `nats-server`.
    pub fn process(&self, role: &str) -> Option<Found> {
        let words = [format!(" {role} "), format!("/{role} ")];
        descendants(self.child.id()?).into_iter().find(|p| words.iter().any(|w| p.command_line.contains(w)))
    }

    /// Everything below `rsm up`.
    pub fn family(&self) -> Vec<Found> {
        self.child.id().map(descendants).unwrap_or_default()
    }

    /// SIGTERM, then waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        if let Some(pid) = self.child.id() {
            signal(pid, Signal::SIGTERM);
        }
        within("rsm up to end", self.child.wait()).await.unwrap()
    }
}

impl Data {
    fn path(&self) -> &Path {
        match self {
            Self::Own(dir) => dir.path(),
            Self::Given(dir) => dir,
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of rsm up\n{}", self.log.text());
        }
        // Killed without mercy on the way out; its children see that and end (a test of its own proves it).
    }
}
