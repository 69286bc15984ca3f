//! One process of a farm: started, killed, paused, asked to end, started again.

use std::ffi::OsString;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

use super::process::{Log, signal, spawn};
use super::within;

/// Arguments, environment and descriptor that a process is started with, each time.
#[derive(Clone, Default)]
pub struct Recipe {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(String, String)>,
    /// Passed on as descriptor 3. It stays open here, so connections wait while no process runs.
    pub listener: Option<Arc<std::net::TcpListener>>,
}

pub struct RoleProcess {
    pub name: String,
    pub recipe: Recipe,
    /// Log of the newest process.
    pub log: Log,
    child: Option<Child>,
}

impl RoleProcess {
    pub fn start(name: &str, recipe: Recipe) -> Self {
        let mut role = Self { name: name.to_owned(), recipe, log: Log::default(), child: None };
        role.start_again();
        role
    }

    #[expect(unsafe_code, reason = "what a child does between fork and exec can be said in no safe way")]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        let Recipe { program, arguments, environment, listener } = &self.recipe;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(listener) = listener {
            let fd = listener.as_raw_fd();
            command.env("LISTEN_FDS", "1").env("LISTEN_PID", "0");
            // SAFETY: dup2 and fcntl are async-signal-safe; the descriptor outlives the child's start.
            unsafe {
                command.pre_exec(move || {
                    // dup2 onto itself would leave the mark that closes it with exec.
                    let passed = match fd {
                        3 => nix::libc::fcntl(3, nix::libc::F_SETFD, 0),
                        _ => nix::libc::dup2(fd, 3),
                    };
                    if passed < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
                });
            }
        }
        let mut child = spawn(&mut command);
        self.log = Log::of(child.stderr.take().unwrap());
        self.child = Some(child);
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// SIGKILL, and gone when this returns.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().unwrap_or_else(|| panic!("{} does not run", self.name));
        child.kill().await.unwrap();
    }

    /// SIGSTOP: it stays, and does nothing.
    pub fn pause(&self) {
        signal(self.pid(), Signal::SIGSTOP);
    }

    pub fn go_on(&self) {
        signal(self.pid(), Signal::SIGCONT);
    }

    /// SIGTERM; how it ended.
    pub async fn end(&mut self) -> ExitStatus {
        signal(self.pid(), Signal::SIGTERM);
        let mut child = self.child.take().unwrap();
        within(&format!("{} to end", self.name), child.wait()).await.unwrap()
    }
}
