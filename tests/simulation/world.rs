//! The world of one history: a clock that jumps from event to event, a seeded chance, and a network that loses, delays
//! and reorders. Everything that happens is a function of the seed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rsm_model::stream::fence::Epoch;
use rsm_model::stream::slug::Slug;

use crate::api::Api;
use crate::checks::Checks;
use crate::nats::Server;
use crate::worker::Worker;

/// Milliseconds since the history's beginning.
pub type Ms = u64;

/// An action at a time.
pub type Act = Box<dyn FnOnce(&mut World)>;

/// Ordered for a heap: the greatest is the earliest, and of one time the one that was scheduled first.
struct Event {
    at: Ms,
    id: u64,
    act: Act,
}

/// A process with a connection to NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Api,
    Relay,
    Worker(usize),
}

/// The way between one node and NATS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// No message gets through until then; those sent meanwhile are lost, or come late.
    pub cut_until: Ms,
    pub cut_since: Ms,
}

/// The faults of the network while nothing is cut.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Messages lost, of a thousand.
    pub lost: u32,
    /// Messages that take up to half a second, of a thousand.
    pub slow: u32,
}

pub struct World {
    pub now: Ms,
    pub rng: StdRng,
    base: Instant,
    events: BinaryHeap<Event>,
    scheduled: u64,
    pub weather: Weather,
    pub links: HashMap<usize, Link>,
    pub server: Server,
    pub api: Api,
    pub workers: Vec<Worker>,
    pub checks: Checks,
    /// The links: the part of the database that operators write.
    pub registered: BTreeMap<Slug, Registered>,
    /// The part of the database that the arbiter writes.
    pub database: HashMap<Slug, crate::api::Stored>,
    /// Error of the clock of the API's host, milliseconds.
    pub clock_off: i64,
    /// Streams that end the worker process that starts them.
    pub poison: BTreeSet<Slug>,
    /// A worker that is cut off stops its streams after this.
    pub hold: Duration,
    /// Smallest difference in use at which streams move to emptier workers.
    pub balance: Option<f32>,
    pub trace: bool,
}

/// One camera link.
#[derive(Clone, Debug)]
pub struct Registered {
    pub enabled: bool,
    pub exclusive: bool,
    pub spec_rev: i64,
    pub demanded: bool,
}

/// Unix time of the first event; far enough from zero that every age can be subtracted.
const UNIX_MS: i64 = 1_800_000_000_000;

impl World {
    pub fn new(seed: u64, weather: Weather, trace: bool) -> Self {
        Self {
            now: 0,
            rng: StdRng::seed_from_u64(seed),
            // Only differences to the base count.
            base: Instant::now() + Duration::from_secs(3600),
            events: BinaryHeap::new(),
            scheduled: 0,
            weather,
            links: HashMap::new(),
            server: Server::default(),
            api: Api::default(),
            workers: Vec::new(),
            checks: Checks::default(),
            registered: BTreeMap::new(),
            database: HashMap::new(),
            clock_off: 0,
            poison: BTreeSet::new(),
            hold: Duration::from_secs(10),
            balance: Some(0.0),
            trace,
        }
    }

    /// The monotonic clock that the code under test is given.
    pub fn instant(&self) -> Instant {
        self.base + Duration::from_millis(self.now)
    }

    /// The wall clock of the API's host.
    pub fn unix_ms(&self) -> u64 {
        u64::try_from(UNIX_MS + i64::try_from(self.now).unwrap() + self.clock_off).unwrap()
    }

    /// Events so far: two runs of one seed have the same number.
    pub fn scheduled(&self) -> u64 {
        self.scheduled
    }

    pub fn say(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>7} {}", self.now, text());
        }
    }

    pub fn after(&mut self, delay: Ms, act: impl FnOnce(&mut World) + 'static) {
        self.scheduled += 1;
        self.events.push(Event { at: self.now + delay, id: self.scheduled, act: Box::new(act) });
    }

    /// Carries out all events until `end`.
    pub fn run_until(&mut self, end: Ms) {
        while self.events.peek().is_some_and(|event| event.at <= end) {
            let Some(event) = self.events.pop() else { break };
            self.now = event.at;
            (event.act)(self);
        }
        self.now = end;
    }

    fn link(&self, node: Node) -> Link {
        self.links.get(&index(node)).copied().unwrap_or_default()
    }

    pub fn cut(&mut self, node: Node, for_ms: Ms) {
        let now = self.now;
        let link = self.links.entry(index(node)).or_default();
        if link.cut_until <= now {
            link.cut_since = now;
        }
        link.cut_until = link.cut_until.max(now + for_ms);
    }

    /// Returns whether the node's client says that it is connected: a black hole is noticed after three pings.
    pub fn connected(&self, node: Node) -> bool {
        let link = self.link(node);
        self.server.up && !(link.cut_until > self.now && self.now - link.cut_since > 3000)
    }

    /// Returns whether messages get through at this moment.
    pub fn open(&self, node: Node) -> bool {
        self.server.up && self.link(node).cut_until <= self.now
    }

    /// The time that a message takes between a node and NATS; `None` when it is lost.
    pub fn leg(&mut self, node: Node) -> Option<Ms> {
        let link = self.link(node);
        if !self.server.up {
            return None;
        }
        if link.cut_until > self.now {
            // The message waits in a buffer and is flushed late, or is lost with the connection.
            let late = link.cut_until - self.now + self.rng.random_range(1..200);
            return self.rng.random_bool(0.5).then_some(late);
        }
        let dice = self.rng.random_range(0..1000);
        if dice < self.weather.lost {
            None
        } else if dice < self.weather.lost + self.weather.slow {
            Some(self.rng.random_range(20..500))
        } else {
            Some(self.rng.random_range(1..15))
        }
    }

    /// A core message: two legs, each may fail; nothing orders one message after another.
    pub fn send(&mut self, from: Node, to: Node, act: impl FnOnce(&mut World) + 'static) {
        let Some(first) = self.leg(from) else { return };
        self.after(first, move |w| {
            if let Some(second) = w.leg(to) {
                w.arrive(second, to, act);
            }
        });
    }

    /// An action at a node once it runs: a paused process acts on its messages when it goes on, a dead one never.
    pub fn arrive(&mut self, delay: Ms, to: Node, act: impl FnOnce(&mut World) + 'static) {
        let life = self.life(to);
        self.at_node(delay, to, life, act);
    }

    /// The same as [`Self::arrive`], for one life of the process only.
    pub fn at_node(&mut self, delay: Ms, to: Node, life: u64, act: impl FnOnce(&mut World) + 'static) {
        self.after(delay, move |w| {
            if w.life(to) != life || !w.alive(to) {
                return;
            }
            match w.paused_for(to) {
                0 => act(w),
                pause => {
                    let late = pause + w.rng.random_range(1..30);
                    w.at_node(late, to, life, act);
                }
            }
        });
    }

    /// The number of processes that a node has had.
    pub fn life(&self, node: Node) -> u64 {
        match node {
            Node::Api => self.api.life,
            Node::Relay => 0,
            Node::Worker(n) => self.workers[n].life,
        }
    }

    pub fn alive(&self, node: Node) -> bool {
        match node {
            Node::Api => self.api.arbiter.is_some(),
            Node::Relay => true,
            Node::Worker(n) => self.workers[n].alive,
        }
    }

    fn paused_for(&self, node: Node) -> Ms {
        match node {
            Node::Worker(n) => self.workers[n].paused_until.saturating_sub(self.now),
            Node::Api | Node::Relay => 0,
        }
    }

    /// The largest epoch of a stream in the database.
    pub fn newest(&self, slug: &Slug) -> Option<Epoch> {
        self.database.get(slug).map(|stored| stored.epoch)
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.id).cmp(&(self.at, self.id))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

fn index(node: Node) -> usize {
    match node {
        Node::Api => usize::MAX,
        Node::Relay => usize::MAX - 1,
        Node::Worker(n) => n,
    }
}
