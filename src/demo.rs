//! Test cameras for `rsm up --demo`: one rsm-camera process, registered with the API like any other camera.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::children;

/// Time from the start of rsm-camera until its clip is drawn and encoded.
const READY_DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);
/// It ends at once.
const GRACE: Duration = Duration::from_secs(1);
/// The cameras keep their names; the port may be another at each start.
const NAME: &str = "Demo camera";

/// The test cameras of one `rsm up`.
pub struct Demo {
    pub cameras: u32,
    /// Cancelled when children end.
    pub children: CancellationToken,
    /// The API's address, with a slash at the end.
    pub api: String,
}

impl Demo {
    /// Keeps the cameras running and registered. Ends when told to, or with one line that says why there are none.
    ///
    /// # Errors
    /// When rsm-camera is not there, does not start, or the API refuses its cameras.
    pub async fn run(&self, http: &reqwest::Client) -> Result<(), String> {
        let program = program().ok_or("rsm-camera was not found beside rsm; build it with: make build")?;
        let mut port = 0;
        loop {
            let mut child = children::start("rsm-camera", self.command(&program, port))
                .map_err(|e| format!("cannot start rsm-camera: {e}"))?;
            if let Some(stderr) = child.stderr.take() {
                tokio::spawn(pass_on(stderr));
            }
            let urls = match ready(&mut child).await {
                Ok(urls) => urls,
                // The first start reports its error; later ones are tried again.
                Err(text) if port == 0 => return Err(text),
                Err(text) => {
                    warn!(repeats = true, error = text, "rsm-camera does not begin, starting it again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let first = port == 0;
            port = urls.first().and_then(|url| url.rsplit(':').next()?.split('/').next()?.parse().ok()).unwrap_or(0);
            for (n, url) in urls.iter().enumerate() {
                match self.register(http, n + 1, url).await {
                    Err(text) if first => return Err(text),
                    Err(text) => warn!(repeats = true, error = text, "a test camera is not registered"),
                    Ok(()) => {}
                }
            }
            tokio::select! {
                () = self.children.cancelled() => {
                    children::end("rsm-camera", &mut child, GRACE).await;
                    return Ok(());
                }
                _ = child.wait() => warn!(child = "rsm-camera", "a child ended by itself, starting it again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn command(&self, program: &PathBuf, port: u16) -> Command {
        let mut command = Command::new(program);
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--count", &self.cameras.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Registers a camera, or corrects the address of the one that an earlier run registered.
    async fn register(&self, http: &reqwest::Client, n: usize, url: &str) -> Result<(), String> {
        let name = format!("{NAME} {n}");
        let answered = async {
            let list: Vec<Value> = http.get(format!("{}video/", self.api)).send().await?.json().await?;
            let old = list.iter().find(|link| {
                link["name"] == *name && link["url"].as_str().is_some_and(|url| url.starts_with("rtsp://127.0.0.1:"))
            });
            let answer = match old {
                Some(link) => {
                    let slug = link["slug"].as_str().unwrap_or_default();
                    http.patch(format!("{}video/{slug}/", self.api)).json(&json!({ "url": url })).send().await?
                }
                None => {
                    http.post(format!("{}video/", self.api)).json(&json!({ "url": url, "name": name })).send().await?
                }
            };
            answer.error_for_status()
        };
        match answered.await {
            Ok(_) => {
                info!(name, url, "a test camera is registered");
                Ok(())
            }
            Err(e) => Err(format!("the API does not take the test camera: {e}")),
        }
    }
}

/// The addresses that rsm-camera names once it is ready.
async fn ready(child: &mut Child) -> Result<Vec<String>, String> {
    let stdout = child.stdout.take().ok_or("rsm-camera has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(READY_DEADLINE, lines.next_line())
        .await
        .map_err(|_| format!("rsm-camera was not ready within {} s", READY_DEADLINE.as_secs()))?
        .ok()
        .flatten()
        .ok_or("rsm-camera ended at once; its words are above")?;
    let said: Value = serde_json::from_str(&line).map_err(|e| format!("rsm-camera says what cannot be read: {e}"))?;
    let urls: Vec<String> =
        said["urls"].as_array().into_iter().flatten().filter_map(|url| url.as_str().map(str::to_owned)).collect();
    if urls.is_empty() { Err("rsm-camera names no camera".into()) } else { Ok(urls) }
}

/// Passes its messages to the log, until it ends.
async fn pass_on(stderr: ChildStderr) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        warn!(repeats = true, child = "rsm-camera", said = line, "rsm-camera says");
    }
}

fn program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name("rsm-camera");
    beside.is_file().then_some(beside)
}
