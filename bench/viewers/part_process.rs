//! Parts of the measurement that run as processes of their own: this program again, so that their CPU and memory are
//! not counted with the measured processes.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::harness::process::spawn;

/// The longest order is a churn of some minutes.
const DEADLINE: Duration = Duration::from_secs(900);

/// One of them. Ended by dropping it.
pub struct PartProcess {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl PartProcess {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the own path"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut command);
        let orders = child.stdin.take().expect("standard input");
        let answers = BufReader::new(child.stdout.take().expect("standard output")).lines();
        Self { child, orders, answers }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("a process that runs")
    }

    /// The next line that it prints.
    pub async fn said(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.answers.next_line()).await;
        let line = line.expect("an answer in time").expect("an answer").expect("a process that goes on");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    pub async fn ask(&mut self, order: &Value) -> Value {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("a process that listens");
        let answer = self.said().await;
        assert!(answer["error"].is_null(), "{order}: {answer}");
        answer
    }
}

/// The process of [`crate::load`].
pub struct LoadProcess(pub PartProcess);

impl LoadProcess {
    pub fn start() -> Self {
        Self(PartProcess::start(&["load"]))
    }

    /// Opens viewers; `more` is added to the order.
    pub async fn open(&mut self, address: SocketAddr, paths: &[String], count: usize, more: &Value) -> Value {
        let mut order = json!({ "do": "open", "address": address.to_string(), "paths": paths, "count": count });
        for (key, value) in more.as_object().into_iter().flatten() {
            order[key] = value.clone();
        }
        self.0.ask(&order).await
    }

    pub async fn close_all(&mut self) {
        self.0.ask(&json!({ "do": "close" })).await;
    }

    /// Frames that the viewers receive over a window.
    pub async fn window(&mut self, time: Duration) -> Value {
        self.0.ask(&json!({ "do": "begin" })).await;
        tokio::time::sleep(time).await;
        self.0.ask(&json!({ "do": "report" })).await
    }
}
