//! A model of nats-server with the records of JetStream, and requests to it that may be lost on either way: then the
//! caller cannot tell whether they were carried out.

use std::collections::{BTreeMap, HashMap};

use rsm_model::stream::fence::{Epoch, Fence};
use rsm_model::stream::names::SessionId;
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Desired, Priority, Ticket};

use crate::world::{Ms, Node, World};

/// A ticket that was pulled and not acknowledged comes again after this long.
const ACK_WAIT: Ms = 5000;
/// A pull waits this long.
const PULL_EXPIRES: Ms = 5000;
/// A ticket that was delivered more often is removed.
const MOST_DELIVERIES: u32 = 20;
/// A request without an answer fails after this long.
const DEADLINE: Ms = 2000;

pub struct Server {
    pub up: bool,
    /// True when JetStream has a leader.
    pub leader: bool,
    /// Streams are there; after a wipe the API makes them again.
    pub made: bool,
    pub generation: u64,
    pub desired: HashMap<Slug, Desired>,
    pub claims: HashMap<(Slug, Epoch), (SessionId, u64)>,
    claim_sequence: u64,
    tickets: BTreeMap<u64, Queued>,
    ticket_sequence: u64,
    delivered: [u64; 2],
    waiting: Vec<Pull>,
}

struct Queued {
    ticket: Ticket,
    priority: Priority,
    /// Not handed out before this.
    not_before: Ms,
    deliveries: u32,
}

struct Pull {
    worker: usize,
    life: u64,
    priority: Priority,
    until: Ms,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            up: true,
            leader: true,
            made: false,
            generation: 0,
            desired: HashMap::new(),
            claims: HashMap::new(),
            claim_sequence: 0,
            tickets: BTreeMap::new(),
            ticket_sequence: 0,
            delivered: [0; 2],
            waiting: Vec::new(),
        }
    }
}

/// The continuation of a request: it gets the result, or `None` when none came.
pub type Then<R> = Box<dyn FnOnce(&mut World, Option<R>)>;

/// The result of a claim.
#[derive(Clone, Debug)]
pub enum ClaimResult {
    Won(Fence),
    Lost,
}

impl Server {
    /// Everything stored is gone, sequence numbers begin anew.
    pub fn wipe(&mut self) {
        *self = Self { generation: self.generation + 1, up: self.up, leader: self.leader, ..Self::default() };
    }

    /// Writes the claim if there is none; the stored one decides.
    pub fn claim(&mut self, slug: &Slug, epoch: Epoch, session: &SessionId) -> ClaimResult {
        let key = (slug.clone(), epoch);
        if let Some((owner, revision)) = self.claims.get(&key) {
            let fence = Fence { epoch, revision: *revision };
            return if owner == session { ClaimResult::Won(fence) } else { ClaimResult::Lost };
        }
        self.claim_sequence += 1;
        self.claims.insert(key, (session.clone(), self.claim_sequence));
        ClaimResult::Won(Fence { epoch, revision: self.claim_sequence })
    }

    /// A newer ticket of a stream replaces the older one.
    pub fn publish(&mut self, ticket: Ticket, priority: Priority) -> u64 {
        self.tickets.retain(|_, queued| queued.ticket.cam != ticket.cam || queued.priority != priority);
        self.ticket_sequence += 1;
        self.tickets.insert(self.ticket_sequence, Queued { ticket, priority, not_before: 0, deliveries: 0 });
        self.ticket_sequence
    }

    pub fn take_back(&mut self, slug: &Slug) {
        self.tickets.retain(|_, queued| queued.ticket.cam != *slug);
    }

    pub fn acknowledge(&mut self, sequence: u64) {
        self.tickets.remove(&sequence);
    }

    /// A connection was closed, and its pulls end. One that is cut off looks alive.
    pub fn forget_pulls(&mut self, worker: usize) {
        self.waiting.retain(|pull| pull.worker != worker);
    }

    /// An acknowledged ticket is there again, as an old server does after it was killed.
    pub fn resurrect(&mut self, ticket: Ticket) {
        self.publish(ticket, Priority::Hi);
    }

    pub fn nak(&mut self, sequence: u64, now: Ms) {
        if let Some(queued) = self.tickets.get_mut(&sequence) {
            queued.not_before = now + 500;
            if queued.deliveries > MOST_DELIVERIES {
                self.tickets.remove(&sequence);
            }
        }
    }

    /// `(delivered, waiting)` of one queue.
    pub fn queue(&self, priority: Priority) -> (u64, u64) {
        let waiting = self.tickets.values().filter(|q| q.priority == priority && q.deliveries == 0).count();
        (self.delivered[priority as usize], u64::try_from(waiting).unwrap())
    }
}

impl World {
    /// A request to JetStream. `then` gets `None` when it failed, or its result is not known.
    pub fn jetstream<R: 'static>(
        &mut self,
        node: Node,
        work: impl FnOnce(&mut Server) -> R + 'static,
        then: impl FnOnce(&mut World, Option<R>) + 'static,
    ) {
        let (began, life) = (self.now, self.life(node));
        let failed = move |w: &mut World, then: Then<R>| {
            let left = (began + DEADLINE).saturating_sub(w.now);
            w.at_node(left, node, life, move |w| then(w, None));
        };
        let then: Then<R> = Box::new(then);
        let Some(there) = self.leg(node) else { return failed(self, then) };
        self.after(there, move |w| {
            if !(w.server.up && w.server.leader && w.server.made) {
                return failed(w, then);
            }
            let result = work(&mut w.server);
            w.hand_out();
            match w.leg(node) {
                Some(back) if w.now + back < began + DEADLINE => {
                    w.at_node(back, node, life, move |w| then(w, Some(result)));
                }
                _ => failed(w, then),
            }
        });
    }

    /// Returns whether JetStream answers at all; that a stream is missing is an answer.
    pub fn reachable(&mut self, node: Node, then: impl FnOnce(&mut World, bool) + 'static) {
        let way = if self.server.leader { self.leg(node).zip(self.leg(node)) } else { None };
        match way {
            Some((there, back)) => self.arrive(there + back, node, |w| then(w, true)),
            None => self.arrive(DEADLINE, node, |w| then(w, false)),
        }
    }

    /// A worker waits at a queue.
    pub fn pull(&mut self, worker: usize, priority: Priority) {
        let Some(there) = self.leg(Node::Worker(worker)) else { return };
        let life = self.workers[worker].life;
        self.after(there, move |w| {
            if w.server.up && w.server.leader && w.server.made {
                let until = w.now + PULL_EXPIRES;
                w.server.waiting.push(Pull { worker, life, priority, until });
                w.hand_out();
            }
        });
    }

    /// Gives tickets that wait to workers that wait, first come first served.
    pub fn hand_out(&mut self) {
        let now = self.now;
        self.server.waiting.retain(|pull| pull.until > now);
        loop {
            let free = |q: &Queued, priority| q.priority == priority && q.not_before <= now;
            let found = self.server.waiting.iter().enumerate().find_map(|(at, pull)| {
                let (sequence, _) = self.server.tickets.iter().find(|(_, q)| free(q, pull.priority))?;
                Some((at, *sequence))
            });
            let Some((at, sequence)) = found else { return };
            let pull = self.server.waiting.remove(at);
            let Some(queued) = self.server.tickets.get_mut(&sequence) else { return };
            queued.not_before = now + ACK_WAIT;
            queued.deliveries += 1;
            let (ticket, priority) = (queued.ticket.clone(), queued.priority);
            let delivered = &mut self.server.delivered[priority as usize];
            *delivered = sequence.max(*delivered);
            if let Some(way) = self.leg(Node::Worker(pull.worker)) {
                self.at_node(way, Node::Worker(pull.worker), pull.life, move |w| w.take(pull.worker, ticket, sequence));
            }
        }
    }
}
