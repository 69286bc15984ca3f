//! Child processes of tests. They end with the test, also when it panics or is killed.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Lines that are kept of a child's log, to be shown when a test fails.
const KEPT_LINES: usize = 500_000;

/// The binary under test: the one that cargo built for the tests, or for the bench the one beside it.
pub fn rsm() -> PathBuf {
    match option_env!("CARGO_BIN_EXE_rsm") {
        Some(path) => path.into(),
        None => std::env::current_exe().unwrap().with_file_name("rsm"),
    }
}

/// The test camera, which `make test` builds beside it.
pub fn rsm_camera() -> PathBuf {
    let path = rsm().with_file_name("rsm-camera");
    assert!(
        path.is_file(),
        "{} is missing: run `make test`, or `cargo build --workspace --bins` first",
        path.display()
    );
    path
}

/// Starts a child that is killed when this test's thread ends, however it ends.
#[expect(unsafe_code, reason = "what a child does between fork and exec can be said in no safe way")]
pub fn spawn(command: &mut Command) -> Child {
    // SAFETY: only async-signal-safe calls are made between fork and exec.
    unsafe {
        command.pre_exec(|| {
            // The tests themselves may run under nohup.
            nix::sys::signal::signal(Signal::SIGHUP, nix::sys::signal::SigHandler::SigDfl)?;
            Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)
        });
    }
    command.kill_on_drop(true).spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
}

/// Passes sockets on as a supervisor does (`sd_listen_fds(3)`): descriptors 3, 4 and so on.
#[expect(unsafe_code, reason = "what a child does between fork and exec can be said in no safe way")]
pub fn pass_listeners(command: &mut Command, sockets: &[BorrowedFd<'_>]) {
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_PID", "0");
    let sockets: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    // SAFETY: dup2 and fcntl are async-signal-safe; the sockets outlive the child's start.
    unsafe {
        command.pre_exec(move || {
            for (target, from) in (3..).zip(&sockets) {
                // First out of the way of the targets.
                let aside = nix::libc::fcntl(*from, nix::libc::F_DUPFD_CLOEXEC, 100 + target);
                if aside < 0 || nix::libc::dup2(aside, target) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// Sends a signal to a process that the test started.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap_or_else(|e| panic!("cannot send {signal} to {pid}: {e}"));
}

/// Output of a child, collected in the background.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    /// Cancelled to read no further.
    end: CancellationToken,
    /// Cancelled when nothing more comes.
    ended: CancellationToken,
}

impl Log {
    /// Collects the lines of `output` until it ends.
    pub fn of(output: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let log = Self::default();
        let Self { lines, end, ended } = log.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(output).lines();
            while let Some(Ok(Some(line))) = end.run_until_cancelled(reader.next_line()).await {
                let mut lines = lines.lock();
                if lines.len() < KEPT_LINES {
                    lines.push(line);
                }
            }
            ended.cancel();
        });
        log
    }

    /// Reads no further: the writer gets a broken pipe.
    pub fn close(&self) {
        self.end.cancel();
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Everything, once the child and all that it passed its end of the pipe on to are gone.
    pub async fn ended(&self) -> String {
        super::within("a log to end", self.ended.cancelled()).await;
        self.text()
    }
}

/// A process of the system under test, found in /proc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub pid: u32,
    pub command_line: String,
}

/// The processes below `parent`, children and grandchildren.
pub fn descendants(parent: u32) -> Vec<Found> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Some(ppid) = parent_of(pid) else { continue };
        let command_line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        all.push((ppid, Found { pid, command_line: String::from_utf8_lossy(&command_line).replace('\0', " ") }));
    }
    let mut family = vec![parent];
    let mut found = Vec::new();
    let mut at = 0;
    while at < family.len() {
        let of = family[at];
        for (_, child) in all.iter().filter(|(ppid, _)| *ppid == of) {
            family.push(child.pid);
            found.push(child.clone());
        }
        at += 1;
    }
    found
}

/// True while a process exists and is not a zombie.
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
