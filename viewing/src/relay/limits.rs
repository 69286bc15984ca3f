//! Options of the listening socket: bounds of the data that waits for a slow viewer, and of the time until a vanished
//! viewer is noticed.

use std::net::TcpListener;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Unsent bytes that the kernel keeps for a viewer; Linux would keep up to 4 MB, which is seconds of old frames in front
/// of the newest.
const MAX_UNSENT: u32 = 128 << 10;
/// A connection on which nothing is said is asked for a sign of life after this time, then each [`ASK_AGAIN`], this many
/// times: a vanished viewer is noticed within a minute, also when there is nothing to send.
const ASK_AFTER: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_secs(8);
const ASK_TIMES: u32 = 3;
/// Data that is not acknowledged, or not let in, for this much longer than a viewer may stall ends the connection. The
/// relay's own deadline comes first and gives a reason.
const PATIENCE: Duration = Duration::from_secs(15);

/// Connections that wait to be accepted: std asks for 128, and a crowd that comes back after a restart is larger. The
/// system's own bound is below or above it (`net.core.somaxconn`, 4096 on Debian).
const BACKLOG: i32 = 4096;

/// Sets the backlog of a listener, also of one that another process has opened.
///
/// # Errors
/// When it is no listener.
pub fn set_backlog(listener: &TcpListener) -> std::io::Result<()> {
    SockRef::from(listener).listen(BACKLOG)
}

/// Bounds the unsent data in the kernel, turns Nagle's algorithm off, and has the kernel notice vanished viewers.
/// Connections inherit all of it from the listener. Data in flight is not bounded, so a distant viewer is as fast as
/// before. `stall`: time for which a viewer may take nothing.
///
/// # Errors
/// When the system does not know the options (Linux does since 3.12).
pub fn bound_unsent(listener: &TcpListener, stall: Duration) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    let alive = TcpKeepalive::new().with_time(ASK_AFTER).with_interval(ASK_AGAIN).with_retries(ASK_TIMES);
    socket.set_tcp_keepalive(&alive)?;
    socket.set_tcp_user_timeout(Some(stall + PATIENCE))?;
    socket.set_tcp_notsent_lowat(MAX_UNSENT)
}
