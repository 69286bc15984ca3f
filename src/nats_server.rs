//! The nats-server of `rsm up`: Debian's package, on loopback, on a port that it chose itself.

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tracing::{error, warn};

/// Its configuration; the variables in it are set in the child's environment.
const CONFIG: &str = include_str!("../config/nats.conf");
/// Where programs are that are not in everybody's PATH.
const SYSTEM_DIRS: [&str; 2] = ["/usr/sbin", "/usr/local/bin"];
/// From start to the first accepted connection; a large store takes a while to recover.
const READY_DEADLINE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// The user in `config/nats.conf`.
pub const USER: &str = "rsm";

/// Everything that each start of the server needs.
#[derive(Clone, Debug)]
pub struct NatsServer {
    program: PathBuf,
    dir: PathBuf,
    /// -1 until it has chosen; then the same one at each restart, because clients know it.
    port: i32,
    password: String,
}

impl NatsServer {
    /// Looks for the program and prepares its directory `<data>/nats`.
    ///
    /// # Errors
    /// One line that names the missing program and its package.
    pub fn prepare(data_dir: &Path) -> Result<Self, String> {
        let program = find("nats-server").ok_or(
            "nats-server was not found; Debian's package nats-server holds it: apt-get install nats-server \
             (or name a running server with --nats)",
        )?;
        let dir = data_dir.join("nats");
        let made = std::fs::create_dir_all(dir.join("run"))
            .and_then(|()| std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)))
            .and_then(|()| clear(&dir.join("run")))
            .and_then(|()| {
                let mut options = std::fs::OpenOptions::new();
                let mut file =
                    options.write(true).create(true).truncate(true).mode(0o600).open(dir.join("nats.conf"))?;
                std::io::Write::write_all(&mut file, CONFIG.as_bytes())
            });
        made.map_err(|e| format!("cannot prepare {}: {e}", dir.display()))?;
        // NATS looks for its store and its ports file from its own working directory.
        let dir = dir.canonicalize().map_err(|e| format!("cannot find {}: {e}", dir.display()))?;
        Ok(Self { program, dir, port: -1, password: rsm_shared::ops::process::unique() })
    }

    /// The password of [`USER`]; made anew for each run.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(self.dir.join("nats.conf"))
            .arg("--ports_file_dir")
            .arg(self.dir.join("run"))
            .env("RSM_NATS_PORT", self.port.to_string())
            .env("RSM_NATS_STORE", format!("{:?}", self.dir.join("store")))
            .env("RSM_NATS_PASSWORD", format!("{:?}", self.password))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Waits until it has chosen a port; later starts use the same one. Returns the address.
    ///
    /// # Errors
    /// One line when it does not come up in time.
    pub async fn ready(&mut self, pid: u32) -> Result<String, String> {
        let file = self.dir.join("run").join(format!("nats-server_{pid}.ports"));
        let waited = tokio::time::timeout(READY_DEADLINE, async {
            loop {
                if let Some(url) = std::fs::read_to_string(&file).ok().and_then(|text| address(&text)) {
                    return url;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        let url =
            waited.await.map_err(|_| format!("nats-server did not start within {} s", READY_DEADLINE.as_secs()))?;
        self.port = url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(self.port);
        Ok(url)
    }
}

/// The address in a ports file.
fn address(text: &str) -> Option<String> {
    let ports: serde_json::Value = serde_json::from_str(text).ok()?;
    ports["nats"].as_array()?.iter().find_map(|url| url.as_str()).map(str::to_owned)
}

/// Passes warnings and errors of nats-server on, until its output ends.
pub async fn watch_log(stderr: tokio::process::ChildStderr) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // "[pid] 2026/01/01 00:00:00.000000 [WRN] text"
        if line.contains("Plaintext passwords") {
            // Made anew for each run, and never on a disk but in the environment: a hash would protect nothing.
        } else if let Some((_, text)) = line.split_once("[WRN] ") {
            warn!(repeats = true, child = "nats-server", said = text, "nats-server warns");
        } else if let Some((_, text)) = line.split_once("[ERR] ").or_else(|| line.split_once("[FTL] ")) {
            error!(repeats = true, child = "nats-server", said = text, "nats-server reports an error");
        } else if line.starts_with("nats-server: ") {
            error!(repeats = true, child = "nats-server", said = line, "nats-server reports an error");
        }
    }
}

/// Where a program is, as this process would start it.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_in(std::env::split_paths(&path).chain(SYSTEM_DIRS.map(PathBuf::from)), name)
}

fn find_in(mut dirs: impl Iterator<Item = PathBuf>, name: &str) -> Option<PathBuf> {
    dirs.find_map(|dir| Some(dir.join(name)).filter(|path| path.is_file()))
}

fn clear(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_that_name_is_a_program() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = || ["/no/such/dir".into(), dir.path().to_owned()].into_iter();
        assert_eq!(find_in(dirs(), "nats-server"), None);
        std::fs::create_dir(dir.path().join("other")).unwrap();
        assert_eq!(find_in(dirs(), "other"), None);
        std::fs::write(dir.path().join("nats-server"), "").unwrap();
        assert_eq!(find_in(dirs(), "nats-server"), Some(dir.path().join("nats-server")));
    }

    #[test]
    fn reads_a_ports_file() {
        assert_eq!(address(r#"{"nats":["nats://127.0.0.1:34121"]}"#).as_deref(), Some("nats://127.0.0.1:34121"));
        assert_eq!(address("{}"), None);
        assert_eq!(address("{\"nats\":"), None, "half written");
    }
}
