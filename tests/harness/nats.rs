//! A nats-server of the test's own, on a port that it picked, and a look into it. It can be killed, started again on
//! the same port, and lose its store in between.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use async_nats::jetstream;
use futures_util::StreamExt as _;
use tokio::process::{Child, Command};

use super::process::spawn;
use super::{eventually, within};

pub struct Nats {
    pub url: String,
    child: Option<Child>,
    dir: tempfile::TempDir,
}

impl Nats {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut nats = Self { url: String::new(), child: None, dir };
        nats.run("-1").await;
        nats
    }

    /// SIGKILL, and gone when this returns.
    pub async fn kill(&mut self) {
        self.child.take().expect("nats-server to run").kill().await.unwrap();
    }

    /// Takes away all that it stored. Only while it is down.
    pub fn wipe(&mut self) {
        assert!(self.child.is_none(), "nats-server runs");
        std::fs::remove_dir_all(self.store()).unwrap();
    }

    /// Starts it again where it was.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "nats-server runs");
        let (before, port) = (self.url.clone(), self.address().port().to_string());
        self.run(&port).await;
        assert_eq!(self.url, before);
    }

    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("nats://").parse().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("nats-server to run")
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    async fn run(&mut self, port: &str) {
        let mut command = Command::new("nats-server");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        command
            .env("PATH", path)
            .args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"])
            .arg(self.store())
            .arg("--ports_file_dir")
            .arg(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = spawn(&mut command);
        let file = self.dir.path().join(format!("nats-server_{}.ports", child.id().unwrap()));
        let read = async || {
            let text = std::fs::read_to_string(&file).ok()?;
            let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
            ports["nats"][0].as_str().map(str::to_owned)
        };
        self.url = eventually("nats-server to name its port", read, Option::is_some).await.unwrap();
        self.child = Some(child);
    }

    pub async fn client(&self) -> async_nats::Client {
        within("a connection to nats-server", async_nats::connect(&self.url)).await.unwrap()
    }

    /// Number of messages that a JetStream stream holds under `filter`.
    pub async fn count(&self, stream: &str, filter: &str) -> usize {
        let js = jetstream::new(self.client().await);
        let Ok(stream) = js.get_stream(stream).await else { return 0 };
        let mut info = within("the subjects of a stream", stream.info_with_subjects(filter)).await.unwrap();
        let mut count = 0;
        while let Some(Ok((_, messages))) = info.next().await {
            count += messages;
        }
        count
    }
}
