//! `rsm-camera` as a child process that cannot outlive its test.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rsm-camera");
const DEADLINE: Duration = Duration::from_secs(10);

pub struct CameraProcess {
    pub port: u16,
    pub url: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl CameraProcess {
    /// Starts on a free port and returns when it serves.
    pub fn start(options: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["--listen", "127.0.0.1:0", "--exit-with-stdin"])
            .args(options)
            .env_remove("RSM_CAMERA_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("rsm-camera starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut camera = Self { port: 0, url: String::new(), child, input, output };
        let ready = camera.answer();
        camera.port = ready["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
        camera.url = ready["urls"][0].as_str().expect("a URL").to_owned();
        camera
    }

    pub fn command(&mut self, line: &str) -> Value {
        let input = self.input.as_mut().expect("input is open");
        writeln!(input, "{line}").expect("rsm-camera reads commands");
        self.answer()
    }

    #[expect(clippy::disallowed_methods, reason = "the interval between two probes, on the thread of the test")]
    pub fn wait_until(&mut self, what: &str, reached: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let status = self.command("status");
            if reached(&status) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}; last seen {status}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends its input and waits for it.
    pub fn end(mut self) -> ExitStatus {
        self.input = None;
        self.child.wait().expect("a child")
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("rsm-camera answers");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON, has rsm-camera died? {line:?}"))
    }
}

impl Drop for CameraProcess {
    fn drop(&mut self) {
        // Errors mean that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `rsm-camera` with options that it must refuse.
pub fn refused(options: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(options)
        .env_remove("RSM_CAMERA_PASSWORD")
        .stdin(Stdio::null())
        .output()
        .expect("rsm-camera starts")
}
