//! Child processes that do not outlive their parent, restarted when they die.

use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rsm_shared::backoff::Backoff;
use rsm_shared::ops::metrics::deaths::{self, Deaths};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The first pause before a restart is at most this long; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(300);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A child that lived this long is restarted after the first pause again.
const HEALTHY: Duration = Duration::from_secs(30);
/// Descriptor under which the child finds a passed listener (`sd_listen_fds(3)`).
const PASSED_FD: RawFd = 3;

/// End of a child: by order, or by itself for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to end.
    Stopped,
    /// It reported with this code that another start would not help.
    Hopeless(u8),
}

/// Exit codes that a restart cannot repair: a wrong configuration, and a missing or damaged resource.
const HOPELESS: [i32; 2] = [rsm_shared::ops::shutdown::EXIT_USAGE, crate::exit::EXIT_UNAVAILABLE as i32];

/// Makes `command` end with this process, however this process ends: the kernel sends SIGTERM when the thread that
/// started it is gone, so only the main thread may start children. A process group of its own keeps the terminal's
/// Ctrl-C away: the parent tells its children to end, in order.
#[expect(unsafe_code, reason = "what a child does between fork and exec can be said in no safe way")]
pub fn bind_to_parent(command: &mut Command) {
    let parent = nix::unistd::getpid();
    let shared = SHARED_FD.get().copied();
    command.process_group(0);
    // SAFETY: between fork and exec only async-signal-safe calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
            // The parent may have died before the line above.
            if nix::unistd::getppid() != parent {
                return Err(std::io::ErrorKind::NotConnected.into());
            }
            // Clears close-on-exec.
            if shared.is_some_and(|fd| nix::libc::fcntl(fd, nix::libc::F_SETFD, 0) < 0) {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Passes a listener on, as descriptor 3 with `LISTEN_FDS`. It stays open here, so that a restarted child finds the
/// connections that came in the meantime.
#[expect(unsafe_code, reason = "what a child does between fork and exec can be said in no safe way")]
pub fn pass_listener(command: &mut Command, listener: &std::net::TcpListener) {
    let fd = listener.as_raw_fd();
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "0");
    // SAFETY: dup2 and fcntl are async-signal-safe; the descriptor outlives the child's start.
    unsafe {
        command.pre_exec(move || {
            let passed = if fd == PASSED_FD {
                nix::libc::fcntl(fd, nix::libc::F_SETFD, 0)
            } else {
                nix::libc::dup2(fd, PASSED_FD)
            };
            if passed < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
        });
    }
}

/// A child that is to be kept running.
pub struct Kept<M, S> {
    pub name: String,
    /// Builds the command for each start.
    pub make: M,
    /// Sees each child that was started.
    pub started: S,
    /// The process that runs already, if one does.
    pub first: Option<Child>,
    /// Time from SIGTERM to SIGKILL.
    pub grace: Duration,
}

/// A descriptor that every child keeps open: the lock of the data directory, which so holds until the last of them
/// is gone, however the parent ended.
static SHARED_FD: OnceLock<RawFd> = OnceLock::new();

/// Has every child that is started from now on keep `fd` open.
pub fn share(fd: RawFd) {
    let _ = SHARED_FD.set(fd);
}

/// Keeps a child running until `stop`, then ends it.
pub async fn keep<M, S>(kept: Kept<M, S>, stop: CancellationToken) -> End
where
    M: Fn() -> Command,
    S: Fn(&mut Child),
{
    let Kept { name, make, started, mut first, grace } = kept;
    let name = name.as_str();
    let (mut backoff, mut proven) = (Backoff::new(PAUSE_MIN, PAUSE_MAX), false);
    let mut deaths = Deaths::default();
    loop {
        let begun = Instant::now();
        let child = match first.take() {
            Some(child) => Ok(child),
            None => {
                let mut command = make();
                command.env(deaths::VARIABLE, deaths.to_string());
                start(name, command)
            }
        };
        match child {
            Ok(mut child) => {
                started(&mut child);
                let status = tokio::select! {
                    status = child.wait() => status,
                    () = stop.cancelled() => {
                        end(name, &mut child, grace).await;
                        return End::Stopped;
                    }
                };
                // A child that ran well for a while is not hopeless: the disk was full, or slow.
                proven |= begun.elapsed() >= HEALTHY;
                if let (false, Some(code)) = (proven, hopeless(status.as_ref().ok())) {
                    return End::Hopeless(code);
                }
                match status.map(|status| (status, signal_of(&status))) {
                    Ok((status, Some(signal))) => {
                        deaths.count(signal);
                        let core = status.core_dumped();
                        error!(
                            child = name,
                            signal, core, "a child ended by itself, killed by a signal; starting it again"
                        );
                    }
                    Ok((status, None)) => warn!(child = name, %status, "a child ended by itself, starting it again"),
                    Err(e) => error!(repeats = true, child = name, error = %e, "a child cannot be waited for"),
                }
            }
            Err(e) => error!(repeats = true, child = name, error = %e, "a child cannot be started, trying again"),
        }
        if begun.elapsed() >= HEALTHY {
            backoff.reset();
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause(rand::random())) => {}
            () = stop.cancelled() => return End::Stopped,
        }
    }
}

/// Name of the signal that ended a process; `None` when none did.
fn signal_of(status: &ExitStatus) -> Option<&'static str> {
    // Real-time signals have no names.
    status.signal().map(|number| Signal::try_from(number).map_or("other", Signal::as_str))
}

fn hopeless(status: Option<&ExitStatus>) -> Option<u8> {
    let code = status?.code()?;
    HOPELESS.contains(&code).then(|| u8::try_from(code).unwrap_or(1))
}

/// Starts a child bound to this process.
///
/// # Errors
/// As the system says.
pub fn start(name: &str, mut command: Command) -> std::io::Result<Child> {
    bind_to_parent(&mut command);
    let child = command.kill_on_drop(true).spawn()?;
    info!(child = name, pid = child.id(), "a child is started");
    Ok(child)
}

/// Ends a child: SIGTERM, and SIGKILL after `grace`.
pub async fn end(name: &str, child: &mut Child, grace: Duration) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(grace, child.wait()).await.is_err() {
        warn!(child = name, grace_s = grace.as_secs_f64(), "a child did not end in time and was killed");
        let _ = child.kill().await;
    }
}
