//! The bare minimum that a relay can be held against: one thread that writes the same frame to every socket, and leaves
//! those out that have not taken the last one. It speaks as much WebSocket as the load reads, so that reading costs the
//! same.

use std::collections::HashMap;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::socket::header;
use crate::stamped::{StampedPictures, WIDTH};

const LISTENER: u64 = u64::MAX;
const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: -\r\n\r\n";

struct Client {
    socket: TcpStream,
    /// A frame that was taken in part, and how much of it.
    pending: Option<(Rc<Vec<u8>>, usize)>,
}

struct Writer {
    epoll: Epoll,
    listener: TcpListener,
    /// By descriptor.
    clients: HashMap<u64, Client>,
}

/// Prints its port on standard output, and writes until it is killed.
///
/// # Errors
/// The system has no more descriptors or memory.
pub fn run(bytes: usize, fps: u32) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let (pictures, before) = (StampedPictures::of(bytes, WIDTH), header(bytes));
    println!("{}", serde_json::json!({ "address": listener.local_addr()?.to_string() }));
    let mut writer = Writer { epoll, listener, clients: HashMap::new() };
    let every = Duration::from_secs(1) / fps;
    let mut due = Instant::now() + every;
    for number in 0.. {
        writer.wait(due)?;
        // A late frame is left out, not sent later.
        due = (due + every).max(Instant::now());
        writer.frame(&Rc::new(pictures.write(number, &before)))?;
    }
    Ok(())
}

impl Writer {
    /// Serves the sockets until `due`.
    fn wait(&mut self, due: Instant) -> std::io::Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let left = due.saturating_duration_since(Instant::now());
            // Whole milliseconds, and not before the time.
            let wait = if left.is_zero() { left } else { left + Duration::from_micros(999) };
            let wait = EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::ZERO);
            let count = match self.epoll.wait(&mut events, wait) {
                Err(Errno::EINTR) => 0,
                other => other?,
            };
            for event in &events[..count] {
                if event.data() == LISTENER {
                    self.accept()?;
                } else if event
                    .events()
                    .intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR)
                {
                    self.clients.remove(&event.data());
                } else {
                    self.go_on(event.data())?;
                }
            }
            // At least once: a writer that is late still accepts connections.
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn accept(&mut self) -> std::io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            socket.write_all(UPGRADED)?;
            let token = u64::try_from(socket.as_raw_fd()).unwrap_or_default();
            // The client's request is not read.
            self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLRDHUP, token))?;
            self.clients.insert(token, Client { socket, pending: None });
        }
    }

    fn frame(&mut self, frame: &Rc<Vec<u8>>) -> std::io::Result<()> {
        let idle: Vec<u64> =
            self.clients.iter().filter(|(_, client)| client.pending.is_none()).map(|(token, _)| *token).collect();
        for token in idle {
            self.write(token, frame.clone(), 0, false)?;
        }
        Ok(())
    }

    fn go_on(&mut self, token: u64) -> std::io::Result<()> {
        match self.clients.get_mut(&token).and_then(|client| client.pending.take()) {
            Some((frame, from)) => self.write(token, frame, from, true),
            None => Ok(()),
        }
    }

    /// `waited`: whether the socket is asked for room already.
    fn write(&mut self, token: u64, frame: Rc<Vec<u8>>, mut from: usize, waited: bool) -> std::io::Result<()> {
        let Some(client) = self.clients.get_mut(&token) else { return Ok(()) };
        while from < frame.len() {
            match client.socket.write(&frame[from..]) {
                Ok(written) => from += written,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.clients.remove(&token);
                    return Ok(());
                }
            }
        }
        let waits = from < frame.len();
        if waits != waited {
            let room = if waits { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            let mut event = EpollEvent::new(EpollFlags::EPOLLRDHUP | room, token);
            self.epoll.modify(&client.socket, &mut event)?;
        }
        client.pending = waits.then_some((frame, from));
        Ok(())
    }
}
