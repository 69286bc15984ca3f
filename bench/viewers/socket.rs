//! One viewer of the load: a WebSocket read as cheaply as can be, so that many of them leave the processors to the
//! measured processes. It understands messages of a server only, and keeps only the stamp of a picture.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::stamped::{FrameStamp, HEAD};

/// Longest answer to a handshake, bytes.
const MAX_ANSWER: usize = 8 << 10;
/// A fixed key: the answer is not compared with it (RFC 6455 section 4.1).
const KEY: &str = "cnNtLWJlbmNoLXZpZXdlcg==";
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
/// A masked pong without content; the mask is all zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// The pace at which a viewer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As it comes.
    All,
    /// So many bytes a second, from the first frame on.
    Slow(usize),
    /// Nothing, from the first frame on.
    Stalled,
}

/// A whole frame has come.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedFrame {
    pub bytes: u64,
    pub stamp: Option<FrameStamp>,
}

/// Why a viewer is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionOver {
    /// The answer to the handshake had this status.
    Refused(u16),
    /// The server said goodbye with this code.
    Closed(u16),
    Broken(String),
}

enum Place {
    Handshake(Vec<u8>),
    /// So many bytes of a header.
    Header([u8; 14], usize),
    /// Opcode, length, and bytes that are still to come.
    Payload(u8, u64, u64),
}

pub struct Viewer {
    pub socket: TcpStream,
    pub pace: Pace,
    pub opened: Instant,
    pub upgraded: Option<Duration>,
    pub first_frame: Option<Duration>,
    /// Frames of the current window.
    pub frames: u64,
    /// Number of the newest frame, if it had one.
    pub last_number: Option<u64>,
    place: Place,
    head: [u8; HEAD],
    head_len: usize,
}

impl Viewer {
    /// Connects and asks for a WebSocket.
    ///
    /// # Errors
    /// The connection is refused.
    pub fn open(address: SocketAddr, path: &str, pace: Pace) -> std::io::Result<Self> {
        let opened = Instant::now();
        let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        socket.set_nodelay(true)?;
        socket.write_all(request.as_bytes())?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            pace,
            opened,
            upgraded: None,
            first_frame: None,
            frames: 0,
            last_number: None,
            place: Place::Handshake(Vec::new()),
            head: [0; HEAD],
            head_len: 0,
        })
    }

    /// Reads once into `buffer`, and hands on each whole frame. Returns the number of bytes.
    ///
    /// # Errors
    /// [`ConnectionOver`] when the connection has ended.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(&mut Self, ReceivedFrame),
    ) -> Result<usize, ConnectionOver> {
        let read = match self.socket.read(buffer) {
            Ok(0) => return Err(ConnectionOver::Broken("the connection ended".to_owned())),
            Ok(read) => read,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(0),
            Err(e) => return Err(ConnectionOver::Broken(e.kind().to_string())),
        };
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            rest = self.step(rest, &mut take)?;
        }
        Ok(read)
    }

    /// Takes a part of `bytes`; the rest.
    fn step<'a>(
        &mut self,
        bytes: &'a [u8],
        take: &mut impl FnMut(&mut Self, ReceivedFrame),
    ) -> Result<&'a [u8], ConnectionOver> {
        match &mut self.place {
            Place::Handshake(answer) => {
                let before = answer.len();
                answer.extend_from_slice(bytes);
                let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
                    let long = answer.len() > MAX_ANSWER;
                    return if long {
                        Err(ConnectionOver::Broken("an answer without an end".to_owned()))
                    } else {
                        Ok(&[])
                    };
                };
                let status = status(answer);
                if status != 101 {
                    return Err(ConnectionOver::Refused(status));
                }
                self.upgraded = Some(self.opened.elapsed());
                self.place = Place::Header([0; 14], 0);
                Ok(&bytes[end + 4 - before..])
            }
            Place::Header(header, have) => {
                header[*have] = bytes[0];
                *have += 1;
                if let Some((opcode, len)) = whole_header(&header[..*have]) {
                    self.head_len = 0;
                    self.place = Place::Payload(opcode, len, len);
                    if len == 0 {
                        self.whole(opcode, 0, take)?;
                    }
                }
                Ok(&bytes[1..])
            }
            Place::Payload(opcode, len, left) => {
                let (opcode, len) = (*opcode, *len);
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                let wanted = (HEAD - self.head_len).min(now);
                self.head[self.head_len..self.head_len + wanted].copy_from_slice(&bytes[..wanted]);
                self.head_len += wanted;
                *left -= now as u64;
                if *left == 0 {
                    self.whole(opcode, len, take)?;
                }
                Ok(&bytes[now..])
            }
        }
    }

    fn whole(
        &mut self,
        opcode: u8,
        len: u64,
        take: &mut impl FnMut(&mut Self, ReceivedFrame),
    ) -> Result<(), ConnectionOver> {
        self.place = Place::Header([0; 14], 0);
        match opcode {
            BINARY => {
                self.first_frame.get_or_insert_with(|| self.opened.elapsed());
                let stamp = FrameStamp::read(&self.head[..self.head_len]);
                take(self, ReceivedFrame { bytes: len, stamp });
            }
            // A socket whose buffer is full is not asked for one.
            PING => drop(self.socket.write(&PONG)),
            CLOSE => return Err(ConnectionOver::Closed(u16::from_be_bytes([self.head[0], self.head[1]]))),
            _ => {}
        }
        Ok(())
    }
}

fn status(answer: &[u8]) -> u16 {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Opcode and length of a frame from a server, which masks nothing (RFC 6455 section 5.2); `None` while it is not whole.
fn whole_header(bytes: &[u8]) -> Option<(u8, u64)> {
    let (opcode, short) = (bytes.first()? & 0x0f, bytes.get(1)? & 0x7f);
    let len = match short {
        126 => u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        127 => u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?),
        short => u64::from(short),
    };
    Some((opcode, len))
}

/// Header of a binary frame of `len` bytes.
pub fn header(len: usize) -> Vec<u8> {
    let mut header = vec![0x80 | BINARY];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..126), _) => header.push(short),
        (_, Ok(middle)) => {
            header.push(126);
            header.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_headers_that_it_writes() {
        for len in [0, 1, 125, 126, 20_000, 65_535, 65_536, 150_000] {
            let header = header(len);
            assert_eq!(whole_header(&header), Some((BINARY, len as u64)), "{len}");
            assert!((0..header.len()).all(|part| whole_header(&header[..part]).is_none()), "{len}");
        }
    }
}
