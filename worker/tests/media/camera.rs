//! A test camera as a child process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

pub struct CameraProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    link: String,
}

impl CameraProcess {
    /// One small camera with a key frame per second, and `options` beside.
    pub fn start(options: &[&str]) -> Self {
        let mut command = Command::new(binary());
        if options.contains(&"--username") {
            command.env("RSM_CAMERA_PASSWORD", "right/one");
        }
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--width", "320", "--height", "180", "--clip-seconds", "4"])
            .args(["--bitrate-kbps", "300", "--exit-with-stdin"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut ready).unwrap();
        let link = ready.split('"').find(|text| text.ends_with("/cam1")).unwrap().to_owned();
        let stdin = child.stdin.take();
        Self { child, stdin, stdout, link }
    }

    /// The link, with `user_info` such as `name:password@`.
    pub fn url(&self, user_info: &str) -> String {
        self.link.replacen("://", &format!("://{user_info}"), 1)
    }

    /// Sends a command and waits for its answer.
    pub fn command(&mut self, line: &str) {
        writeln!(self.stdin.as_ref().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "the camera ended");
    }
}

impl Drop for CameraProcess {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Beside this test's own binary; built on the first use, once.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let path = test.ancestors().nth(2).unwrap().join("rsm-camera");
        if !path.exists() {
            let built =
                Command::new(env!("CARGO")).args(["build", "-p", "rsm-simulator", "--bin", "rsm-camera"]).status();
            assert!(built.unwrap().success());
        }
        path
    })
}
