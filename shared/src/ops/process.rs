//! Facts of this process and its host.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, FromRawFd as _, RawFd};
use std::path::Path;

use crate::stream::names::WorkerId;

/// First descriptor handed over by a supervisor (the convention of `sd_listen_fds(3)`).
const FIRST_PASSED_FD: RawFd = 3;

/// A listener at `address`, or the one that a supervisor passed with `LISTEN_FDS=1` and `LISTEN_PID` (this process,
/// or 0 for "whoever gets it"). Passed listeners let the API restart without a refused connection.
///
/// # Errors
/// One line that names the address and what is wrong with it.
pub fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    if let Some(listener) = passed_listener() {
        return Ok(listener);
    }
    TcpListener::bind(address).map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => format!("cannot listen on {address}: the port is in use by another program"),
        std::io::ErrorKind::PermissionDenied => {
            format!("cannot listen on {address}: ports below 1024 need a privilege")
        }
        _ => format!("cannot listen on {address}: {e}"),
    })
}

#[expect(unsafe_code, reason = "a descriptor that a supervisor passed is known by its number only")]
fn passed_listener() -> Option<TcpListener> {
    let count: u32 = std::env::var("LISTEN_FDS").ok()?.parse().ok()?;
    let pid: u32 = std::env::var("LISTEN_PID").ok()?.parse().ok()?;
    if count == 0 || (pid != 0 && pid != std::process::id()) {
        return None;
    }
    // A supervisor that says so and passes nothing must not make us take, and close, what the runtime has opened there.
    // SAFETY: only looked at; should it not be open, the look fails.
    let passed = unsafe { BorrowedFd::borrow_raw(FIRST_PASSED_FD) };
    if !socket2::SockRef::from(&passed).is_listener().ok()? {
        return None;
    }
    // SAFETY: the supervisor says that this descriptor is meant for us, and it is a listener; nothing here listens yet.
    let listener = unsafe { TcpListener::from_raw_fd(FIRST_PASSED_FD) };
    // Children must not inherit it in turn.
    nix::fcntl::fcntl(&listener, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).ok()?;
    Some(listener)
}

/// Makes `dir` and checks that files can be written in it.
///
/// # Errors
/// One line that names the directory and what is wrong with it.
pub fn writable_dir(dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("cannot make the data directory {}: {e}", dir.display()))?;
    let probe = dir.join(format!(".write-test-{}", std::process::id()));
    std::fs::write(&probe, b"")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|e| format!("cannot write in the data directory {}: {e}", dir.display()))
}

/// A worker name made from the host's.
pub fn host_worker_name() -> WorkerId {
    WorkerId::from_lossy(&super::host::name())
}

/// Removes what is in `dir`, and makes it when it is not there.
///
/// # Errors
/// One line that names the directory and what is wrong with it.
pub fn clear_dir(dir: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("cannot clear the directory {}: {e}", dir.display()));
        }
        _ => {}
    }
    std::fs::create_dir_all(dir).map_err(|e| format!("cannot make the directory {}: {e}", dir.display()))
}

/// An id that no other process has or had: 128 random bits in hexadecimal.
pub fn unique() -> String {
    format!("{:032x}", rand::random::<u128>())
}
