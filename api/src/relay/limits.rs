//! How many viewers one process serves, and how much may wait for a slow one.

use std::net::TcpListener;
use std::sync::Arc;

use socket2::SockRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that the kernel takes for a viewer beyond what the network takes; Linux would keep up to 4 MB, which is
/// seconds of old frames in front of the newest.
const MAX_UNSENT: u32 = 128 << 10;

/// Keeps what waits in the kernel for a slow viewer small, and lets nothing wait for more to send with it. Connections
/// inherit both from the listener. What is on its way is not bounded, so a distant viewer is as fast as before.
///
/// # Errors
/// When the system does not know the options (Linux does since 3.12).
pub fn send_at_once(listener: &TcpListener) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(MAX_UNSENT)
}

/// Seats for viewers; `api.max_viewers` of them. Cheap to clone.
#[derive(Clone)]
pub struct Seats {
    free: Arc<Semaphore>,
    all: usize,
}

/// One viewer's seat; free again when dropped.
pub struct Seat(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Seats {
    /// That many.
    pub fn new(max_viewers: u64) -> Self {
        let all = usize::try_from(max_viewers).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(all)), all }
    }

    /// A seat, if one is free.
    pub fn take(&self) -> Option<Seat> {
        self.free.clone().try_acquire_owned().ok().map(Seat)
    }

    /// Seats taken now.
    pub fn taken(&self) -> usize {
        self.all - self.free.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_viewer_goes() {
        let seats = Seats::new(2);
        let first = seats.take().unwrap();
        let _second = seats.take().unwrap();
        assert!(seats.take().is_none());
        assert_eq!(seats.taken(), 2);
        drop(first);
        assert!(seats.take().is_some());
        assert_eq!(seats.taken(), 1);
    }
}
