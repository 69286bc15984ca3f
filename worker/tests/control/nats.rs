//! A nats-server of a test's own, on a port that it picked.

use std::process::{Child, Command, Stdio};

use super::eventually;

pub struct Nats {
    pub url: String,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Nats {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let mut child = Command::new("nats-server")
            .env("PATH", path)
            .args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"])
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
            ports["nats"][0].as_str().map(str::to_owned)
        };
        let url = eventually("nats-server to name its port", read, Option::is_some).await.unwrap();
        Self { url, child, _dir: dir }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
