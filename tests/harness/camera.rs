//! rsm-camera as a child: real RTSP, faults by command.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use super::process::{rsm_camera, spawn};
use super::within;

/// Longest that a camera takes to start: it encodes its whole clip first, and on a busy machine an encoder waits most of
/// the time.
const START: Duration = Duration::from_secs(480);

pub struct Camera {
    pub port: u16,
    pub urls: Vec<String>,
    pub child: Child,
    pipe: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Camera {
    /// One small camera: 320x180, 15 fps, a group of pictures of one second.
    pub async fn start() -> Self {
        Self::start_with(0, &[], None).await
    }

    /// The same with more flags, which may replace its own: `--codec h265`, `--audio aac`, `--listen [::1]:0`.
    /// MJPEG wants a height that is a multiple of 8, such as 184.
    pub async fn start_as(flags: &[&str]) -> Self {
        Self::start_with(0, flags, None).await
    }

    /// On a given port (0: the system's choice), with more flags, with a password.
    pub async fn start_with(port: u16, flags: &[&str], password: Option<&str>) -> Self {
        let mut command = Command::new(rsm_camera());
        command
            .args(["--listen", &format!("127.0.0.1:{port}"), "--exit-with-stdin"])
            .args(["--width", "320", "--height", "180", "--fps", "15", "--gop", "15", "--clip-seconds", "4"])
            .args(["--bitrate-kbps", "300"])
            .args(flags)
            .env_remove("RSM_CAMERA_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(password) = password {
            command.args(["--username", "admin"]).env("RSM_CAMERA_PASSWORD", password);
        }
        let mut child = spawn(&mut command);
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(START, lines.next_line()).await.expect("rsm-camera to be ready");
        let line = ready.unwrap().expect("rsm-camera to say something");
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self {
            port: u16::try_from(ready["port"].as_u64().unwrap()).unwrap(),
            urls: ready["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect(),
            child,
            pipe: Mutex::new((stdin, lines)),
        }
    }

    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// Sends a command and reads its answer.
    pub async fn command(&self, command: &str) -> Value {
        let mut pipe = self.pipe.lock().await;
        pipe.0.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let line = within("rsm-camera to answer", pipe.1.next_line()).await.unwrap().expect("an answer");
        serde_json::from_str(&line).unwrap()
    }

    /// RTSP sessions of the first camera: `(playing now, ever played)`.
    pub async fn sessions(&self) -> (u64, u64) {
        let status = self.command("status").await;
        let camera = &status["cameras"][0];
        (camera["playing"].as_u64().unwrap(), camera["played_total"].as_u64().unwrap())
    }

    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
