//! A nats-server of a test's own, on a port that it picked.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::waiting::eventually;

pub struct Nats {
    pub url: String,
    /// Host and port of the monitoring endpoint, which lists connections.
    monitoring: String,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Nats {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut child = Command::new("nats-server")
            .env("PATH", path)
            .args(["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "-js", "-sd"])
            .arg(dir.path().join("store"))
            .arg("--ports_file_dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let file = dir.path().join(format!("nats-server_{}.ports", child.id()));
        let read = || {
            assert!(child.try_wait().unwrap().is_none(), "nats-server ended");
            let text = std::fs::read_to_string(&file).ok()?;
            let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
            let first = |kind: &str| ports[kind][0].as_str().map(str::to_owned);
            first("nats").zip(first("monitoring"))
        };
        let (url, http) = eventually("nats-server to name its ports", read, Option::is_some).await.unwrap();
        Self { url, monitoring: http.trim_start_matches("http://").to_owned(), child, _dir: dir }
    }

    /// Names of the connections that subscribe to `subject`.
    pub fn listeners(&self, subject: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(&self.monitoring).unwrap();
        write!(stream, "GET /connz?subs=1 HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let subscribes = |connection: &&serde_json::Value| {
            let subjects = connection["subscriptions_list"].as_array();
            subjects.is_some_and(|subjects| subjects.iter().any(|one| one == subject))
        };
        let connections = body["connections"].as_array().unwrap().iter().filter(subscribes);
        connections.map(|connection| connection["name"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
