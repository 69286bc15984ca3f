//! The load: a process of its own with many viewers on one thread. It reads orders and reports observations in lines of
//! JSON; one answer for each order.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use serde_json::{Value, json};

use crate::figures::spread;
use crate::socket::{ConnectionOver, Pace, ReceivedFrame, Viewer};
use crate::stamped::now_us;

const ORDERS: u64 = u64::MAX;
/// Read at a time from one socket.
const BUFFER: usize = 256 << 10;
/// Between two sips of slow viewers.
const SIP: Duration = Duration::from_millis(100);
/// For everybody to have a frame, or to be refused.
const OPEN_DEADLINE: Duration = Duration::from_secs(60);

/// Frames received since [`Window`] began, by viewers that read at once.
struct Window {
    begun: Instant,
    bytes: u64,
    frames: u64,
    /// Pictures between two that came, by their numbers.
    skipped: u64,
    /// Microseconds from sent to received.
    latencies: Vec<u32>,
}

struct ViewerLoad {
    epoll: Epoll,
    viewers: Vec<Option<Viewer>>,
    free: Vec<usize>,
    /// Ends of viewers that no order asked for, by their cause.
    ends: BTreeMap<String, u64>,
    window: Window,
    next_sip: Instant,
    buffer: Vec<u8>,
}

/// Obeys until standard input ends.
///
/// # Errors
/// The system has no more descriptors or memory.
pub fn run() -> std::io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let orders = std::io::stdin();
    epoll.add(&orders, EpollEvent::new(EpollFlags::EPOLLIN, ORDERS))?;
    let mut load = ViewerLoad {
        epoll,
        viewers: Vec::new(),
        free: Vec::new(),
        ends: BTreeMap::new(),
        window: Window::new(),
        next_sip: Instant::now(),
        buffer: vec![0; BUFFER],
    };
    loop {
        while !load.turn(SIP)? {}
        let mut line = String::new();
        if orders.lock().read_line(&mut line)? == 0 {
            return Ok(());
        }
        let answer = load.obey(&serde_json::from_str(&line)?)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
}

impl Window {
    fn new() -> Self {
        Self { begun: Instant::now(), bytes: 0, frames: 0, skipped: 0, latencies: Vec::new() }
    }

    fn take(&mut self, viewer: &mut Viewer, frame: ReceivedFrame) {
        if viewer.pace != Pace::All {
            return;
        }
        self.bytes += frame.bytes;
        self.frames += 1;
        viewer.frames += 1;
        let Some(stamp) = frame.stamp else { return };
        self.latencies.push(u32::try_from(now_us().saturating_sub(stamp.sent_us)).unwrap_or(u32::MAX));
        let last = viewer.last_number.replace(stamp.number);
        self.skipped += last.map_or(0, |last| stamp.number.saturating_sub(last + 1));
    }
}

impl ViewerLoad {
    fn obey(&mut self, order: &Value) -> std::io::Result<Value> {
        match order["do"].as_str().unwrap_or_default() {
            "open" => self.open(order),
            "begin" => {
                self.window = Window::new();
                self.viewers.iter_mut().flatten().for_each(|viewer| viewer.frames = 0);
                Ok(json!({}))
            }
            "report" => Ok(self.report()),
            "close" => Ok(self.close(order["odd_only"].as_bool().unwrap_or(false))),
            "churn" => self.churn(order),
            other => Ok(json!({ "error": format!("an unknown order: {other}") })),
        }
    }

    /// Lets every viewer read its received bytes, for `wait` at most; true when an order waits.
    fn turn(&mut self, wait: Duration) -> std::io::Result<bool> {
        let mut events = [EpollEvent::empty(); 512];
        let wait = EpollTimeout::try_from(wait.min(SIP)).unwrap_or(EpollTimeout::ZERO);
        let count = match self.epoll.wait(&mut events, wait) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        let mut ordered = false;
        for event in &events[..count] {
            match usize::try_from(event.data()) {
                Ok(at) if event.data() != ORDERS => self.read(at, BUFFER)?,
                _ => ordered = true,
            }
        }
        if self.next_sip <= Instant::now() {
            self.next_sip = Instant::now() + SIP;
            for at in 0..self.viewers.len() {
                let Some(Viewer { pace: Pace::Slow(rate), first_frame: Some(_), .. }) = self.viewers[at] else {
                    continue;
                };
                self.read(at, rate / 10)?;
            }
        }
        Ok(ordered)
    }

    fn read(&mut self, at: usize, most: usize) -> std::io::Result<()> {
        let Some(viewer) = self.viewers.get_mut(at).and_then(Option::as_mut) else { return Ok(()) };
        let first = viewer.first_frame.is_none();
        let window = &mut self.window;
        let read = viewer.read(&mut self.buffer[..most.min(BUFFER)], |viewer, frame| window.take(viewer, frame));
        if first && viewer.first_frame.is_some() && viewer.pace != Pace::All {
            // From here on it reads by the clock, or never.
            self.epoll.delete(&viewer.socket)?;
        }
        if let Err(over) = read {
            *self.ends.entry(describe(&over)).or_default() += 1;
            self.drop_viewer(at);
        }
        Ok(())
    }

    fn drop_viewer(&mut self, at: usize) {
        // The system forgets a closed socket by itself.
        if self.viewers[at].take().is_some() {
            self.free.push(at);
        }
    }

    fn connect(&mut self, address: SocketAddr, path: &str, pace: Pace) -> std::io::Result<Option<usize>> {
        let viewer = match Viewer::open(address, path, pace) {
            Ok(viewer) => viewer,
            Err(e) => {
                *self.ends.entry(format!("not connected: {}", e.kind())).or_default() += 1;
                return Ok(None);
            }
        };
        let at = self.free.pop().unwrap_or_else(|| {
            self.viewers.push(None);
            self.viewers.len() - 1
        });
        self.epoll.add(&viewer.socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
        self.viewers[at] = Some(viewer);
        Ok(Some(at))
    }

    /// Opens `count` viewers of `paths` in turn within `over_ms`, and waits until each has a frame, or with `silent`
    /// its upgrade.
    fn open(&mut self, order: &Value) -> std::io::Result<Value> {
        let (address, paths) = target(order)?;
        let count = usize::try_from(order["count"].as_u64().unwrap_or(1)).unwrap_or(1);
        let over = Duration::from_millis(order["over_ms"].as_u64().unwrap_or(0));
        let silent = order["silent"].as_bool().unwrap_or(false);
        let pace = match (order["pace"].as_str(), order["bytes_per_second"].as_u64()) {
            (Some("stalled"), _) => Pace::Stalled,
            (Some("slow"), rate) => Pace::Slow(usize::try_from(rate.unwrap_or(50_000)).unwrap_or(50_000)),
            _ => Pace::All,
        };
        self.ends.clear();
        let begun = Instant::now();
        let mut opened = Vec::with_capacity(count);
        for n in 0..count {
            let due = begun + over.mul_f64(n as f64 / count as f64);
            while Instant::now() < due {
                self.turn(due.saturating_duration_since(Instant::now()).min(Duration::from_millis(1)))?;
            }
            opened.extend(self.connect(address, &paths[n % paths.len()], pace)?);
            self.turn(Duration::ZERO)?;
        }
        let arrived = |viewer: &Viewer| if silent { viewer.upgraded } else { viewer.first_frame };
        loop {
            let here = || opened.iter().filter_map(|at| self.viewers[*at].as_ref());
            if here().all(|viewer| arrived(viewer).is_some()) || begun.elapsed() > OPEN_DEADLINE {
                break;
            }
            self.turn(SIP)?;
        }
        let here: Vec<&Viewer> = opened.iter().filter_map(|at| self.viewers[*at].as_ref()).collect();
        let times = |time: fn(&Viewer) -> Option<Duration>| {
            spread(here.iter().filter_map(|viewer| Some(time(viewer)?.as_secs_f64() * 1000.0)).collect())
        };
        Ok(json!({
            "wanted": count,
            "open": here.iter().filter(|viewer| arrived(viewer).is_some()).count(),
            "seconds": begun.elapsed().as_secs_f64(),
            "upgrade_ms": times(|viewer| viewer.upgraded),
            "first_frame_ms": times(|viewer| viewer.first_frame),
            "ends": std::mem::take(&mut self.ends),
        }))
    }

    /// Opens so many a second and drops each: one as soon as it is upgraded, the next after its first frame.
    fn churn(&mut self, order: &Value) -> std::io::Result<Value> {
        let (address, paths) = target(order)?;
        let (rate, seconds) = (order["per_second"].as_u64().unwrap_or(200), order["seconds"].as_u64().unwrap_or(60));
        self.ends.clear();
        let (begun, all) = (Instant::now(), rate * seconds);
        let (mut under_way, mut opened, mut dropped, mut most) = (Vec::new(), 0_u64, 0_u64, 0);
        while (opened < all || !under_way.is_empty()) && begun.elapsed() < Duration::from_secs(seconds) + OPEN_DEADLINE
        {
            let due = begun + Duration::from_secs_f64(opened as f64 / rate.max(1) as f64);
            if opened < all && due <= Instant::now() {
                let path = &paths[usize::try_from(opened).unwrap_or(0) % paths.len()];
                under_way.extend(self.connect(address, path, Pace::All)?.map(|at| (at, opened % 2 == 0)));
                opened += 1;
            } else {
                self.turn(Duration::from_millis(1))?;
            }
            most = most.max(under_way.len());
            under_way.retain(|(at, early)| {
                let Some(viewer) = &self.viewers[*at] else { return false };
                let done = if *early { viewer.upgraded.is_some() } else { viewer.first_frame.is_some() };
                if done {
                    self.viewers[*at] = None;
                    self.free.push(*at);
                    dropped += 1;
                }
                !done
            });
        }
        Ok(json!({
            "opened": opened,
            "dropped": dropped,
            "most_at_once": most,
            "seconds": begun.elapsed().as_secs_f64(),
            "ends": std::mem::take(&mut self.ends),
        }))
    }

    fn report(&mut self) -> Value {
        let window = std::mem::replace(&mut self.window, Window::new());
        let each: Vec<u64> = self
            .viewers
            .iter()
            .flatten()
            .filter(|viewer| viewer.pace == Pace::All)
            .map(|viewer| viewer.frames)
            .collect();
        let seconds = window.begun.elapsed().as_secs_f64();
        json!({
            "seconds": seconds,
            "viewers": each.len(),
            "bytes": window.bytes,
            "frames": window.frames,
            "skipped": window.skipped,
            "fewest_fps": each.iter().min().map(|fewest| *fewest as f64 / seconds),
            "most_fps": each.iter().max().map(|most| *most as f64 / seconds),
            "latency_ms": spread(window.latencies.iter().map(|us| f64::from(*us) / 1000.0).collect()),
            "ends": std::mem::take(&mut self.ends),
        })
    }

    /// All, or only those that do not read as it comes.
    fn close(&mut self, odd_only: bool) -> Value {
        let mut closed = 0;
        for at in 0..self.viewers.len() {
            if self.viewers[at].as_ref().is_some_and(|viewer| !odd_only || viewer.pace != Pace::All) {
                self.drop_viewer(at);
                closed += 1;
            }
        }
        json!({ "closed": closed })
    }
}

fn target(order: &Value) -> std::io::Result<(SocketAddr, Vec<String>)> {
    let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("an order without {what}"));
    let address = order["address"].as_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong("an address"))?;
    let paths: Vec<String> =
        order["paths"].as_array().into_iter().flatten().filter_map(|path| path.as_str().map(str::to_owned)).collect();
    if paths.is_empty() { Err(wrong("paths")) } else { Ok((address, paths)) }
}

fn describe(over: &ConnectionOver) -> String {
    match over {
        ConnectionOver::Refused(status) => format!("refused with {status}"),
        ConnectionOver::Closed(code) => format!("closed with {code}"),
        ConnectionOver::Broken(what) => format!("broken: {what}"),
    }
}
