//! A script of tests/browser that prints its observations and reads events, line by line.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Longest that a script takes for one line. It has deadlines of its own for each condition; this bounds one that hangs.
const LINE: Duration = Duration::from_secs(900);

pub struct Script {
    name: String,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
        assert!(dir.join("node_modules").is_dir(), "playwright-core is missing: run `make deps-test` first");
        let mut child = Command::new("node")
            .current_dir(&dir)
            .arg(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { name: name.to_owned(), child, stdin, lines }
    }

    /// Waits for its next line, which must be this one.
    pub async fn says(&mut self, line: &str) {
        let said = self.lines.next_line();
        let said = tokio::time::timeout(LINE, said).await.expect("a line of the script").unwrap();
        if said.as_deref() != Some(line) {
            panic!("{} said {said:?}, not {line}:\n{}", self.name, complaint(&mut self.child).await);
        }
    }

    /// Sends it an event, and waits until it answers with `answer`.
    pub async fn hears(&mut self, event: &str, answer: &str) {
        // One that has ended says why instead of its answer.
        let _ = self.stdin.write_all(format!("{event}\n").as_bytes()).await;
        self.says(answer).await;
    }

    /// Ends its standard input; it must end well.
    pub async fn ends_well(self) {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        let said = complaint(&mut child).await;
        let status = tokio::time::timeout(LINE, child.wait()).await.expect("the script to end").unwrap();
        assert!(status.success(), "{said}");
    }
}

async fn complaint(child: &mut Child) -> String {
    let mut said = String::new();
    let mut errors = child.stderr.take().unwrap();
    tokio::time::timeout(LINE, errors.read_to_string(&mut said)).await.expect("the script to end").unwrap();
    said
}
