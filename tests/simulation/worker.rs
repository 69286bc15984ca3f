//! A model of a worker process around the real decisions about tickets, silence, and the placements that run, end and wait.
//! Cameras and pipelines are random times.

use std::time::Duration;

use rand::RngExt as _;
use rsm_control::worker::contact::{BeatResult, Contact, Pulse, SilenceEnds};
use rsm_control::worker::holding::{Holding, OwnedStream, StartDecision};
use rsm_control::worker::ticket::{TicketDecision, accepts, decide, is_current};
use rsm_model::stream::fence::Fence;
use rsm_model::stream::names::{SessionId, WorkerId, Zone};
use rsm_model::stream::slug::Slug;
use rsm_model::stream::state::StreamState;
use rsm_model::wire::messages::{
    Event, Heartbeat, HeartbeatReply, Load, Owned, Priority, Ticket, VERSION, WorkerState,
};

use crate::nats::ClaimResult;
use crate::world::{Ms, Node, World};

const BEAT: Ms = 1000;
/// An answer that comes later counts as none.
const BEAT_DEADLINE: Ms = 900;
/// A pull is renewed this often.
const PULL: Ms = 5000;
/// Time between two frames.
const FRAME: Ms = 400;
/// A draining worker ends after this long, also with streams left.
const DRAIN: Ms = 25_000;
const DEAD: Duration = Duration::from_secs(4);

/// A running pipeline.
#[derive(Clone, Debug)]
pub struct Pipe {
    running_at: Ms,
    ready_at: Ms,
    exclusive: bool,
}

pub struct Worker {
    pub name: WorkerId,
    pub session: SessionId,
    pub life: u64,
    pub alive: bool,
    pub paused_until: Ms,
    pub draining_since: Option<Ms>,
    pub capacity: u32,
    pub holding: Holding<Pipe, Ticket>,
    /// Open camera sessions, also those of streams that are ending, and whether the camera is exclusive.
    open: Vec<(Slug, bool)>,
    /// Tickets taken and not yet started.
    taking: u32,
    contact: Contact,
    pulse: Pulse,
    may_pull: bool,
    beats: u64,
    answered: u64,
}

impl World {
    /// Starts a worker process; one of the same name that ran before is gone.
    pub fn start_worker(&mut self, at: Option<usize>) -> usize {
        let n = at.unwrap_or(self.workers.len());
        let life = at.map_or(1, |n| self.workers[n].life + 1);
        let name = WorkerId::parse(&format!("w{n}")).unwrap();
        let worker = Worker {
            session: SessionId::parse(&format!("w{n}-{life}")).unwrap(),
            name,
            life,
            alive: true,
            paused_until: 0,
            draining_since: None,
            capacity: 8,
            holding: Holding::default(),
            open: Vec::new(),
            taking: 0,
            contact: Contact::new(self.hold, self.instant()),
            pulse: Pulse::new(DEAD, Duration::from_millis(self.now)),
            may_pull: false,
            beats: 0,
            answered: 0,
        };
        match at {
            Some(n) => self.workers[n] = worker,
            None => self.workers.push(worker),
        }
        self.say(|| format!("w{n} begins, life {life}"));
        let first = self.rng.random_range(0..BEAT);
        self.arrive(first, Node::Worker(n), move |w| w.beat(n));
        for priority in Priority::ALL {
            self.arrive(first, Node::Worker(n), move |w| w.keep_pulling(n, priority));
        }
        n
    }

    /// SIGKILL: the kernel closes its connections and camera sessions.
    pub fn kill_worker(&mut self, n: usize) {
        self.say(|| format!("w{n} is killed"));
        for (slug, exclusive) in std::mem::take(&mut self.workers[n].open) {
            self.checks.session(&slug, exclusive, -1);
        }
        self.workers[n].alive = false;
        self.server.forget_pulls(n);
        self.workers[n].holding = Holding::default();
    }

    fn keep_pulling(&mut self, n: usize, priority: Priority) {
        if self.room(n) > 0 && self.workers[n].may_pull {
            self.pull(n, priority);
        }
        self.arrive(PULL / 2, Node::Worker(n), move |w| w.keep_pulling(n, priority));
    }

    fn room(&self, n: usize) -> u32 {
        let worker = &self.workers[n];
        let used = u32::try_from(worker.holding.len()).unwrap() + worker.taking;
        if worker.draining_since.is_some() { 0 } else { worker.capacity.saturating_sub(used) }
    }

    fn heartbeat(&mut self, n: usize) -> Heartbeat {
        let (now, room) = (self.now, self.room(n));
        let worker = &mut self.workers[n];
        worker.beats += 1;
        let row = |(slug, kept): (&Slug, &OwnedStream<Pipe>)| Owned {
            cam: slug.clone(),
            epoch: kept.fence.epoch,
            revision: kept.fence.revision,
            state: if now >= kept.handle.running_at { StreamState::Running } else { StreamState::Starting },
            media_age_ms: Some(0),
            media_sequence: 0,
            discontinuity_sequence: 0,
            ready: now >= kept.handle.ready_at,
        };
        let mut inv: Vec<Owned> = worker.holding.inventory().map(row).collect();
        inv.sort_by(|a, b| a.cam.cmp(&b.cam));
        Heartbeat {
            v: VERSION,
            session: worker.session.clone(),
            worker: worker.name.clone(),
            seq: worker.beats,
            state: if worker.draining_since.is_some() { WorkerState::Draining } else { WorkerState::Up },
            zones: vec![Zone::default_zone()],
            cap: worker.capacity,
            room,
            load: Load::default(),
            http: "127.0.0.1:9".into(),
            inv,
        }
    }

    fn beat(&mut self, n: usize) {
        let now = Duration::from_millis(self.now);
        let next = self.workers[n].beats + 1;
        self.workers[n].pulse.beat(now, next);
        let message = self.heartbeat(n);
        let number = message.seq;
        self.send(Node::Worker(n), Node::Api, move |w| {
            let reply = w.api_hears(&message);
            w.send(Node::Api, Node::Worker(n), move |w| w.answered(n, number, reply));
        });
        // The client learns at once when no API listens; else it waits for the deadline.
        let absent = !self.alive(Node::Api) || !self.connected(Node::Api);
        if absent && self.open(Node::Worker(n)) {
            self.arrive(20, Node::Worker(n), move |w| {
                w.reachable(Node::Worker(n), move |w, answered| {
                    let result = if answered { BeatResult::ApiAbsent } else { BeatResult::Silence };
                    if w.workers[n].answered < number {
                        w.on_beat(n, result);
                    }
                });
            });
        } else {
            self.arrive(BEAT_DEADLINE, Node::Worker(n), move |w| {
                if w.workers[n].answered < number {
                    w.on_beat(n, BeatResult::Silence);
                }
            });
        }
        self.arrive(BEAT, Node::Worker(n), move |w| w.beat(n));
        let worker = &self.workers[n];
        if let Some(since) = worker.draining_since
            && (worker.holding.is_idle() || self.now - since >= DRAIN)
        {
            self.say_goodbye(n);
        }
    }

    fn say_goodbye(&mut self, n: usize) {
        self.say(|| format!("w{n} has drained"));
        let goodbye = Heartbeat { inv: Vec::new(), ..self.heartbeat(n) };
        self.send(Node::Worker(n), Node::Api, move |w| drop(w.api_hears(&goodbye)));
        self.kill_worker(n);
    }

    fn answered(&mut self, n: usize, number: u64, reply: HeartbeatReply) {
        // An answer after the deadline is ignored.
        if number < self.workers[n].beats || reply.conflict {
            return;
        }
        self.workers[n].answered = number;
        self.workers[n].pulse.answered(number);
        self.on_beat(n, BeatResult::Answered);
        for (slug, up_to) in reply.drop {
            self.release(n, &slug, up_to);
        }
    }

    fn on_beat(&mut self, n: usize, result: BeatResult) {
        let now = self.instant();
        let advice = self.workers[n].contact.on_beat(result, now);
        self.workers[n].may_pull = advice.pull;
        let all = match advice.ends {
            SilenceEnds::Nothing => return,
            SilenceEnds::Exclusive => false,
            SilenceEnds::All => true,
        };
        let owned = self.workers[n].holding.inventory().filter(|(_, kept)| all || kept.handle.exclusive);
        let mut ending: Vec<_> = owned.map(|(slug, kept)| (slug.clone(), kept.fence.epoch)).collect();
        ending.sort();
        self.say(|| format!("w{n} was cut off for too long and ends {} streams", ending.len()));
        for (slug, epoch) in ending {
            self.release(n, &slug, epoch);
        }
    }

    /// The API has an owned stream released.
    pub fn release(&mut self, n: usize, slug: &Slug, up_to: rsm_model::stream::fence::Epoch) {
        if let Some(kept) = self.workers[n].holding.release(slug, up_to) {
            self.say(|| format!("w{n} releases {slug} {:?}", kept.fence));
            self.end(n, slug.clone(), kept.handle.exclusive);
        }
    }

    fn end(&mut self, n: usize, slug: Slug, exclusive: bool) {
        let took = self.rng.random_range(10..300);
        self.arrive(took, Node::Worker(n), move |w| {
            w.checks.session(&slug, exclusive, -1);
            if let Some(at) = w.workers[n].open.iter().position(|(of, _)| *of == slug) {
                w.workers[n].open.swap_remove(at);
            }
            if let Some((fence, ticket)) = w.workers[n].holding.ended(&slug) {
                w.begin(n, fence, &ticket);
            }
        });
    }

    /// An offer of the API; whether it is taken.
    pub fn offered(&mut self, n: usize, ticket: Ticket) -> bool {
        let worker = &self.workers[n];
        let taken = worker.may_pull && accepts(&ticket, &[Zone::default_zone()], &worker.session, self.room(n));
        if taken {
            self.consider(n, ticket, None);
        }
        taken
    }

    /// A ticket from the queue.
    pub fn take(&mut self, n: usize, ticket: Ticket, sequence: u64) {
        if self.room(n) == 0 {
            return self.finish(n, sequence, true);
        }
        self.consider(n, ticket, Some(sequence));
    }

    fn finish(&mut self, n: usize, sequence: u64, nak: bool) {
        let now = self.now;
        let work = move |server: &mut crate::nats::Server| {
            if nak { server.nak(sequence, now) } else { server.acknowledge(sequence) }
        };
        self.jetstream(Node::Worker(n), work, |_, _| {});
        if nak {
            self.after(600, |w| w.hand_out());
        }
        // It pulls again at once.
        let priority = Priority::ALL[self.rng.random_range(0..2)];
        if self.room(n) > 0 && self.workers[n].may_pull {
            self.pull(n, priority);
        }
    }

    /// Follows the steps of the real intake: ticket, desired record, claim, record again, start.
    fn consider(&mut self, n: usize, ticket: Ticket, sequence: Option<u64>) {
        self.workers[n].taking += 1;
        let slug = ticket.cam.clone();
        self.jetstream(
            Node::Worker(n),
            move |s| s.desired.get(&slug).cloned(),
            move |w, read| {
                let worker = &w.workers[n];
                let owned_here = worker.holding.get(&ticket.cam).is_some_and(|kept| kept.fence.epoch == ticket.epoch);
                let decision = read.map(|record| decide(&ticket, record.as_ref(), owned_here, &worker.session));
                match decision {
                    Some(TicketDecision::Claim) => w.claim(n, ticket, sequence),
                    Some(decision) => {
                        w.workers[n].taking -= 1;
                        if let Some(sequence) = sequence {
                            w.finish(n, sequence, decision == TicketDecision::Nak);
                        }
                    }
                    None => w.workers[n].taking -= 1,
                }
            },
        );
    }

    fn claim(&mut self, n: usize, ticket: Ticket, sequence: Option<u64>) {
        let session = self.workers[n].session.clone();
        let (slug, epoch, again) = (ticket.cam.clone(), ticket.epoch, session.clone());
        self.jetstream(
            Node::Worker(n),
            move |s| s.claim(&slug, epoch, &session),
            move |w, claimed| match claimed {
                Some(claimed) => w.claimed(n, ticket, sequence, claimed),
                // Whether it was written is not known: the stored claim decides.
                None => {
                    let slug = ticket.cam.clone();
                    let read = move |s: &mut crate::nats::Server| s.claims.get(&(slug, epoch)).cloned();
                    w.jetstream(Node::Worker(n), read, move |w, read| match read.flatten() {
                        Some((owner, revision)) if owner == again => {
                            w.claimed(n, ticket, sequence, ClaimResult::Won(Fence { epoch, revision }));
                        }
                        _ => w.workers[n].taking -= 1,
                    });
                }
            },
        );
    }

    fn claimed(&mut self, n: usize, ticket: Ticket, sequence: Option<u64>, claimed: ClaimResult) {
        if let Some(sequence) = sequence {
            self.finish(n, sequence, false);
        }
        let ClaimResult::Won(fence) = claimed else {
            self.workers[n].taking -= 1;
            return;
        };
        let slug = ticket.cam.clone();
        self.jetstream(
            Node::Worker(n),
            move |s| s.desired.get(&slug).cloned(),
            move |w, read| {
                w.workers[n].taking -= 1;
                let stands = read.is_some_and(|d| d.is_none_or(|d| is_current(&ticket, &d)));
                if !stands {
                    return;
                }
                match w.workers[n].holding.start(&ticket.cam, fence, ticket.clone()) {
                    StartDecision::Start(ticket) => w.begin(n, fence, &ticket),
                    StartDecision::Wait(Some(pipe)) => w.end(n, ticket.cam.clone(), pipe.exclusive),
                    StartDecision::Wait(None) | StartDecision::Ignore => {}
                }
            },
        );
    }

    fn begin(&mut self, n: usize, fence: Fence, ticket: &Ticket) {
        let slug = ticket.cam.clone();
        self.say(|| format!("w{n} starts {slug} {fence:?} for {:?}", ticket.reason));
        self.checks.starts += 1;
        let exclusive = self.registered.get(&slug).is_some_and(|link| link.exclusive);
        self.checks.session(&slug, exclusive, 1);
        self.workers[n].open.push((slug.clone(), exclusive));
        let running_at = self.now + self.rng.random_range(200..1000);
        let ready_at = running_at + self.rng.random_range(0..400);
        self.workers[n].holding.hold(slug.clone(), fence, Pipe { running_at, ready_at, exclusive });
        let worker = &self.workers[n];
        let event = Event {
            v: VERSION,
            session: worker.session.clone(),
            cam: slug.clone(),
            epoch: fence.epoch,
            revision: fence.revision,
            state: StreamState::Starting,
            reason: None,
            since_ms: 0,
            video: None,
            audio: None,
            restarts: 0,
            hls_error: None,
        };
        self.send(Node::Worker(n), Node::Api, move |w| w.api_hears_event(event));
        if self.poison.contains(&slug) {
            let moment = self.rng.random_range(0..200);
            return self.arrive(moment, Node::Worker(n), move |w| {
                w.kill_worker(n);
                let pause = w.rng.random_range(300..1500);
                w.after(pause, move |w| _ = w.start_worker(Some(n)));
            });
        }
        let first = ready_at - self.now;
        self.arrive(first, Node::Worker(n), move |w| w.frame(n, slug, fence, 1));
    }

    fn frame(&mut self, n: usize, slug: Slug, fence: Fence, seq: u64) {
        let worker = &self.workers[n];
        if worker.holding.get(&slug).is_none_or(|kept| kept.fence != fence) {
            return;
        }
        if worker.pulse.may_publish(Duration::from_millis(self.now)) {
            let (slug, captured) = (slug.clone(), self.now);
            self.send(Node::Worker(n), Node::Relay, move |w| w.relay(slug, fence, seq, captured));
        }
        self.arrive(FRAME, Node::Worker(n), move |w| w.frame(n, slug, fence, seq + 1));
    }
}
