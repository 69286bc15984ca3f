//! One WebSocket as the relay needs it: whole messages out of shared memory, one at a time; messages of the client are
//! read and dropped.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ws_frame::{ClientRequest, ControlPayload, Incoming, MAX_CONTROL, Opcode, Violation, message};

/// Bytes read at a time, on the stack.
const READ: usize = 1 << 10;
/// Reads in a row: a client that sends without a pause is read in turns, so that it still gets its frames.
const READS: usize = 8;

/// A socket after the handshake. Dropped, the connection ends.
pub struct Socket<S> {
    io: S,
    incoming: Incoming,
    /// When the client last gave a sign of life: sent bytes, or made room for bytes that had waited.
    heard: Instant,
    sending: Option<Sending>,
    /// Payload of the newest ping, to be answered (section 5.5.3); older ones need no answer.
    pong: Option<ControlPayload>,
}

/// The message under way.
struct Sending {
    /// Bytes that the kernel does not have yet.
    rest: Bytes,
    /// Since when the kernel has taken nothing; `None` while it takes all.
    blocked: Option<Instant>,
}

/// End of the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketEnd {
    /// The connection did.
    Gone,
    /// It sent a close with that code.
    Closed(u16),
    /// It sent bytes that no client may send; the close code tells the violation.
    Violated(u16),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Over a connection that was upgraded.
    pub fn new(io: S) -> Self {
        Self { io, incoming: Incoming::default(), heard: Instant::now(), sending: None, pong: None }
    }

    /// True when a message may be begun.
    pub fn is_idle(&self) -> bool {
        self.sending.is_none()
    }

    /// When the client last gave a sign of life.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Since when the client has taken nothing of a message that waits.
    pub fn blocked(&self) -> Option<Instant> {
        self.sending.as_ref().and_then(|sending| sending.blocked)
    }

    /// Begins a message, header and all; one at a time: see [`Socket::is_idle`].
    pub fn begin(&mut self, message: Bytes) {
        self.sending = Some(Sending { rest: message, blocked: None });
    }

    /// Sends on; ready when nothing is under way.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some(sending) = &mut self.sending else {
                let Some(pong) = self.pong.take() else { return Poll::Ready(Ok(())) };
                self.begin(message(Opcode::Pong, pong.as_bytes()));
                continue;
            };
            let waited = sending.blocked.is_some();
            match Pin::new(&mut self.io).poll_write(cx, &sending.rest) {
                Poll::Pending => {
                    sending.blocked.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    sending.rest.advance(written);
                    if waited {
                        // A client that makes room is alive.
                        self.heard = Instant::now();
                        sending.blocked = None;
                    }
                    if sending.rest.is_empty() {
                        self.sending = None;
                    }
                }
            }
        }
    }

    /// Reads from the client; ready when its side has ended.
    pub fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<SocketEnd> {
        for _ in 0..READS {
            let mut room = [0; READ];
            let mut buffer = ReadBuf::new(&mut room);
            if ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)).is_err() || buffer.filled().is_empty() {
                return Poll::Ready(SocketEnd::Gone);
            }
            self.heard = Instant::now();
            let mut bytes = buffer.filled();
            while !bytes.is_empty() {
                match self.incoming.read(&mut bytes) {
                    Ok(None) => {}
                    Ok(Some(ClientRequest::Ping(payload))) => self.pong = Some(payload),
                    Ok(Some(ClientRequest::Close(code))) => return Poll::Ready(SocketEnd::Closed(code)),
                    Err(Violation(code)) => return Poll::Ready(SocketEnd::Violated(code)),
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Says goodbye: after the message under way a close, then waits for the client's own, because an early end of the
    /// connection could overtake ours. `answered`: the client has sent its close. Give it a deadline.
    pub async fn say_goodbye(mut self, code: u16, reason: &str, answered: bool) {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(reason.as_bytes().iter().take(MAX_CONTROL - 2));
        let mut payload = Some(payload);
        let mut listening = !answered;
        std::future::poll_fn(|cx| {
            if listening {
                match self.poll_hear(cx) {
                    Poll::Ready(SocketEnd::Gone | SocketEnd::Closed(_)) if payload.is_none() => return Poll::Ready(()),
                    Poll::Ready(SocketEnd::Gone) => return Poll::Ready(()),
                    Poll::Ready(_) => listening = false,
                    Poll::Pending => {}
                }
            }
            // No pong goes behind a close.
            self.pong = None;
            loop {
                match self.poll_send(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(())) => match payload.take() {
                        Some(payload) => self.begin(message(Opcode::Close, &payload)),
                        None if listening => return Poll::Pending,
                        None => return Poll::Ready(()),
                    },
                }
            }
        })
        .await;
        let _ = std::future::poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await;
        // Unread bytes at the end of a connection make the kernel reset it, and the client may miss the close.
        std::future::poll_fn(|cx| {
            loop {
                let mut room = [0; READ];
                let mut buffer = ReadBuf::new(&mut room);
                if ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)).is_err() || buffer.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}
