//! Facts of this process and its host.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, FromRawFd as _, RawFd};
use std::path::Path;

use socket2::{Domain, Type};

use crate::stream::names::WorkerId;

/// First descriptor handed over by a supervisor (the convention of `sd_listen_fds(3)`).
const FIRST_PASSED_FD: RawFd = 3;

/// A listener at `address`, or the one that a supervisor passed with `LISTEN_FDS=1` and `LISTEN_PID` (this process,
/// or 0 for "whoever gets it"). Passed listeners let the API restart without a refused connection.
///
/// # Errors
/// One line that names the address and what is wrong with it.
pub fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    if let Some(listener) = passed_listener()? {
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

/// The listener that a supervisor passed; `None` when none was.
///
/// # Errors
/// One line when what was passed cannot be served: to listen elsewhere instead would look like success.
#[expect(unsafe_code, reason = "a descriptor that a supervisor passed is known by its number only")]
fn passed_listener() -> Result<Option<TcpListener>, String> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let (Some(count), Some(pid)) = (number("LISTEN_FDS"), number("LISTEN_PID")) else { return Ok(None) };
    if count == 0 || (pid != 0 && pid != std::process::id()) {
        return Ok(None);
    }
    // A supervisor that says so and passes nothing must not make us take, and close, what the runtime has opened there.
    // SAFETY: only looked at; should it not be open, the look fails.
    let passed = unsafe { BorrowedFd::borrow_raw(FIRST_PASSED_FD) };
    let socket = socket2::SockRef::from(&passed);
    match (socket.domain(), socket.r#type(), socket.is_listener()) {
        (Ok(Domain::IPV4 | Domain::IPV6), Ok(Type::STREAM), Ok(true)) if count == 1 => {}
        (Ok(_), Ok(_), Ok(true)) if count > 1 => {
            return Err(format!(
                "LISTEN_FDS={count}: rsm serves one socket; pass one (systemd: one ListenStream=), or a proxy for several"
            ));
        }
        (Ok(_), Ok(_), Ok(true)) | (Ok(_), Ok(Type::DGRAM), _) => {
            return Err("LISTEN_FDS: the socket is not a TCP socket that listens; rsm serves \
                        ListenStream=ADDRESS:PORT, no Unix or datagram socket"
                .into());
        }
        _ => return Ok(None),
    }
    // SAFETY: the supervisor says that this descriptor is meant for us, and it is a listener; nothing here listens yet.
    let listener = unsafe { TcpListener::from_raw_fd(FIRST_PASSED_FD) };
    // Children must not inherit it in turn.
    nix::fcntl::fcntl(&listener, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))
        .map_err(|e| format!("LISTEN_FDS: {e}"))?;
    Ok(Some(listener))
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

/// An id that no other process has or had: 128 random bits in hexadecimal.
pub fn unique() -> String {
    format!("{:032x}", rand::random::<u128>())
}
