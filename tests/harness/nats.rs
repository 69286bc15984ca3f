//! A nats-server of the test's own, on a port that it picked, and a look into it.

use std::process::Stdio;

use async_nats::jetstream;
use futures_util::StreamExt as _;
use tokio::process::{Child, Command};

use super::process::spawn;
use super::{eventually, within};

pub struct Nats {
    pub url: String,
    _child: Child,
    _dir: tempfile::TempDir,
}

impl Nats {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("nats-server");
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        command
            .env("PATH", path)
            .args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"])
            .arg(dir.path().join("store"))
            .arg("--ports_file_dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = spawn(&mut command);
        let file = dir.path().join(format!("nats-server_{}.ports", child.id().unwrap()));
        let read = async || {
            let text = std::fs::read_to_string(&file).ok()?;
            let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
            ports["nats"][0].as_str().map(str::to_owned)
        };
        let url = eventually("nats-server to name its port", read, Option::is_some).await.unwrap();
        Self { url, _child: child, _dir: dir }
    }

    pub async fn client(&self) -> async_nats::Client {
        within("a connection to nats-server", async_nats::connect(&self.url)).await.unwrap()
    }

    /// How many messages a JetStream stream holds under `filter`.
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
