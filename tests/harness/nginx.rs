//! Debian's nginx with its defaults, in front of a server of the test's.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::eventually;
use super::process::spawn;

/// An nginx. It ends with the test.
pub struct Nginx {
    /// `http://127.0.0.1:port`, no slash at the end.
    pub base: String,
    _child: Child,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// With these `location` blocks. Debian's package `nginx` has to be there.
    pub async fn start(locations: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        // It cannot say which port the system chose, so it gets a listener, as from the nginx before it at an upgrade.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, fd) = (listener.local_addr().unwrap().port(), listener.as_raw_fd());
        let temp: String = ["proxy", "client_body", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind}; "))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\nevents {{}}\n\
            http {{ access_log off; {temp} server {{ listen 127.0.0.1:{port}; {locations} }} }}\n"
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).arg("-c").arg(&file).env("NGINX", "3;");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        // SAFETY: dup2 and fcntl are async-signal-safe; the descriptor outlives the child's start.
        #[expect(unsafe_code, reason = "calls between fork and exec")]
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
        let child = spawn(&mut command);
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        eventually("nginx to listen", listens, |listens| *listens).await;
        Self { base: format!("http://127.0.0.1:{port}"), _child: child, _dir: dir }
    }
}
