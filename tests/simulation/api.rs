//! A model of the API process around its real arbiter: the database, the passes, and commands carried out over a network
//! that may fail between any two steps.

use std::time::Duration;

use rand::RngExt as _;
use rsm_control::api::arbiter::{Arbiter, ArbiterSettings};
use rsm_control::api::assignment::{Assignment, PlacementFloor};
use rsm_control::api::command::{Command, PlaceCommand, PresenceQuery};
use rsm_control::api::intent::StreamIntent;
use rsm_control::api::outcome::{Cause, CommandOutcome, PlacedOutcome};
use rsm_control::api::plan::DeliveryState;
use rsm_model::stream::camera_link::CameraUrl;
use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::{SessionId, WorkerId, Zone};
use rsm_model::stream::rendition::RenditionSet;
use rsm_model::stream::slug::Slug;
use rsm_model::stream::spec::{HlsParams, StreamSpec, Transport};
use rsm_model::wire::latest_frame::KnownOwners;
use rsm_model::wire::messages::{
    Desired, Event, Fleet, Heartbeat, HeartbeatReply, Priority, Ticket, TicketReason, VERSION, Want,
};
use rsm_model::wire::presence::Presence;
use rsm_model::wire::ticket_queue::TicketQueue;

use crate::nats::Then;
use crate::world::{Ms, Node, World};

const PASS: Ms = 250;
/// The topology is checked this often, and queues are read this often.
const TOPOLOGY: Ms = 20_000;
const QUEUES: Ms = 1000;
/// An offer without an answer fails after this long.
const TAKE_DEADLINE: Ms = 1000;
const PRESENCE_DEADLINE: Ms = 500;

#[derive(Default)]
pub struct Api {
    pub life: u64,
    pub arbiter: Option<Arbiter>,
    begun: Ms,
    was_connected: bool,
    generation: Option<u64>,
    next_topology: Ms,
    next_queues: Ms,
}

/// A row of the assignments.
#[derive(Clone, Debug)]
pub struct Stored {
    pub epoch: Epoch,
    want: Want,
    spec_rev: i64,
    discontinuity: u64,
}

impl Api {
    /// The epoch of the earlier owner, which goes on until another has pictures.
    pub fn earlier_epoch(&self, slug: &Slug) -> Option<Epoch> {
        self.arbiter.as_ref()?.placement(slug)?.earlier_owner().map(|from| from.epoch)
    }
}

fn deadline() -> Cause {
    "no answer from the model within the deadline".into()
}

fn spec() -> StreamSpec {
    StreamSpec {
        url: CameraUrl::parse("rtsp://127.0.0.1/cam").unwrap().url,
        credentials: None,
        transport: Transport::Auto,
        tls_insecure: false,
        exclusive: false,
        hls: HlsParams {
            segment_seconds: 2,
            window_segments: 6,
            part_ms: 0,
            always_on: false,
            renditions: RenditionSet::NONE,
        },
    }
}

fn assignment(slug: &Slug, stored: &Stored) -> Assignment {
    Assignment {
        slug: slug.clone(),
        zone: Zone::default_zone(),
        epoch: stored.epoch,
        want: stored.want,
        spec_rev: stored.spec_rev,
        discontinuity: stored.discontinuity,
    }
}

impl World {
    pub fn start_api(&mut self) {
        self.api.life += 1;
        let settings = ArbiterSettings {
            dead_after: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(30),
            balance: self.balance,
        };
        let stored = self.database.iter().map(|(slug, stored)| assignment(slug, stored)).collect();
        let name = format!("api-{}", self.api.life);
        self.api.arbiter = Some(Arbiter::new(settings, Box::new(()), name, stored, self.instant()));
        self.api.begun = self.now;
        self.api.was_connected = false;
        self.api.generation = None;
        self.api.next_topology = 0;
        self.say(|| "API begins".into());
        self.arrive(0, Node::Api, World::keep_passing);
    }

    pub fn kill_api(&mut self) {
        self.say(|| "API is killed".into());
        self.api.arbiter = None;
    }

    fn keep_passing(&mut self) {
        self.pass();
        self.arrive(PASS, Node::Api, World::keep_passing);
    }

    pub fn pass(&mut self) {
        let (now, connected) = (self.instant(), self.connected(Node::Api));
        if connected && !self.api.was_connected {
            self.api.next_topology = self.now;
            self.arbiter(|arbiter| arbiter.reconnected(now));
        }
        self.api.was_connected = connected;
        if connected && self.now >= self.api.next_topology {
            self.check_topology();
        }
        let Some(arbiter) = &mut self.api.arbiter else { return };
        for (n, (slug, link)) in self.registered.iter().enumerate() {
            arbiter.intend(StreamIntent {
                slug: slug.clone(),
                id: i64::try_from(n).unwrap_or(0),
                zone: Zone::default_zone(),
                enabled: link.enabled,
                always_on: true,
                exclusive: link.exclusive,
                spec_rev: link.spec_rev,
                demanded: link.demanded,
                unwanted_since: None,
            });
        }
        let gone = arbiter.streams().all().filter(|intent| !self.registered.contains_key(&intent.slug));
        for slug in gone.map(|intent| intent.slug.clone()).collect::<Vec<_>>() {
            arbiter.withdraw(&slug);
        }
        let commands = arbiter.pass(connected, now).commands;
        if connected {
            let overlooked = arbiter.overlooked(now);
            if !overlooked.is_empty() {
                self.checks.fail(format!("no pass would take the steps {overlooked:?}"));
            }
        }
        let waiting = !arbiter.waiting_zones().is_empty();
        for slug in self.registered.keys() {
            let Some(snapshot) = arbiter.snapshot(slug, now) else { continue };
            let shown = snapshot.owner.map(|owner| owner.owned.fence());
            // An API that has just begun leaves the owners in the directory that it has not heard yet.
            if shown.is_some() || self.now - self.api.begun > 5000 {
                self.checks.publish(slug, KnownOwners { shown, newest: snapshot.epoch });
            }
        }
        for command in commands {
            self.carry_out(command);
        }
        if connected && waiting && self.now >= self.api.next_queues {
            self.api.next_queues = self.now + QUEUES;
            for priority in Priority::ALL {
                self.jetstream(
                    Node::Api,
                    move |s| s.queue(priority),
                    move |w, found| {
                        let Some((delivered, waiting)) = found else { return };
                        let (queue, now) = (TicketQueue { delivered, waiting, ..TicketQueue::default() }, w.instant());
                        w.arbiter(|arbiter| arbiter.on_queue(&Zone::default_zone(), priority, queue, now));
                    },
                );
            }
        }
    }

    fn arbiter<R>(&mut self, work: impl FnOnce(&mut Arbiter) -> R) -> Option<R> {
        self.api.arbiter.as_mut().map(work)
    }

    fn check_topology(&mut self) {
        self.api.next_topology = self.now + 1000;
        // Unlike other requests it makes missing streams.
        let Some(way) = self.leg(Node::Api) else { return };
        self.arrive(way, Node::Api, |w| {
            if !(w.server.up && w.server.leader) {
                return;
            }
            let fresh = !std::mem::replace(&mut w.server.made, true);
            let lost = fresh || w.api.generation.is_some_and(|known| known != w.server.generation);
            w.api.generation = Some(w.server.generation);
            w.api.next_topology = w.now + TOPOLOGY;
            if lost {
                w.say(|| "API writes everything again".into());
                w.arbiter(Arbiter::store_lost);
            }
        });
    }

    pub fn api_hears(&mut self, beat: &Heartbeat) -> HeartbeatReply {
        let now = self.instant();
        let nothing = || HeartbeatReply {
            v: VERSION,
            api_session: String::new(),
            conflict: false,
            drop: Vec::new(),
            fleet: Fleet::default(),
        };
        let Some((reply, query)) = self.arbiter(|arbiter| arbiter.on_heartbeat(beat, now)) else { return nothing() };
        if let Some(query) = query {
            self.ask_presence(query);
        }
        reply
    }

    pub fn api_hears_event(&mut self, event: Event) {
        let now = self.instant();
        self.arbiter(|arbiter| arbiter.on_event(event, now));
    }

    fn on_outcome(&mut self, outcome: CommandOutcome) {
        let now = self.instant();
        self.arbiter(|arbiter| arbiter.on_outcome(outcome, now));
        self.arrive(10, Node::Api, World::pass);
    }

    /// Commits a placement, as the store does: the same rule for the epoch.
    fn assign(&mut self, slug: &Slug, want: Want, spec_rev: i64, floor: PlacementFloor) -> Assignment {
        let old = self.database.get(slug);
        let epoch = Epoch::next(old.map(|stored| stored.epoch).max(floor.epoch), self.unix_ms());
        let stored = Stored { epoch, want, spec_rev, discontinuity: old.map_or(0, |s| s.discontinuity + 1) };
        let assignment = assignment(slug, &stored);
        self.database.insert(slug.clone(), stored);
        self.checks.epoch(slug, epoch);
        assignment
    }

    fn put(&mut self, assignment: &Assignment, then: impl FnOnce(&mut World, Result<(), Cause>) + 'static) {
        let spec = (assignment.want == Want::Run).then(spec);
        let (slug, epoch, state) = (assignment.slug.clone(), assignment.epoch, assignment.want);
        let record = Desired { v: VERSION, cam: slug.clone(), epoch, state, spec };
        self.jetstream(
            Node::Api,
            move |s| drop(s.desired.insert(slug, record)),
            move |w, done| {
                then(w, done.ok_or_else(deadline));
            },
        );
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Place(place) => self.place(place),
            Command::Halt { slug, spec_rev, floor, .. } => {
                let assignment = self.assign(&slug, Want::Stop, spec_rev, floor);
                self.say(|| format!("API stops {slug} with {}", assignment.epoch));
                let again = assignment.clone();
                self.send_stop(&again, move |w, delivery| {
                    w.on_outcome(CommandOutcome::Halted { assignment, delivery })
                });
            }
            Command::HaltAgain(assignment) => {
                let slug = assignment.slug.clone();
                self.send_stop(&assignment, move |w, result| w.on_outcome(CommandOutcome::Resent { slug, result }));
            }
            Command::Rewrite(assignment) => {
                let slug = assignment.slug.clone();
                self.put(&assignment, move |w, result| w.on_outcome(CommandOutcome::Resent { slug, result }));
            }
            Command::Tidy(Assignment { slug, want, .. }) => {
                let of = slug.clone();
                let work = move |s: &mut crate::nats::Server| {
                    let newest = s.claims.iter().filter(|((cam, _), _)| *cam == of).max_by_key(|(_, (_, rev))| *rev);
                    let keep = newest.map(|(key, _)| key.clone()).filter(|_| want == Want::Run);
                    s.claims.retain(|key, _| key.0 != of || Some(key) == keep.as_ref());
                };
                self.jetstream(Node::Api, work, move |w, done| {
                    w.on_outcome(CommandOutcome::Tidied { slug, result: done.ok_or_else(deadline) });
                });
            }
            Command::Forget(Assignment { slug, .. }) => {
                let of = slug.clone();
                self.jetstream(
                    Node::Api,
                    move |s| drop(s.desired.remove(&of)),
                    move |w, done| {
                        let result = done.ok_or_else(deadline);
                        if result.is_ok() {
                            w.database.remove(&slug);
                        }
                        w.on_outcome(CommandOutcome::Forgotten { slug, result });
                    },
                );
            }
            Command::Release { slug, up_to, .. } => self.send_release(&slug, up_to),
            Command::AskPresence(query) => self.ask_presence(query),
        }
    }

    fn send_release(&mut self, slug: &Slug, up_to: Epoch) {
        for n in 0..self.workers.len() {
            let slug = slug.clone();
            self.send(Node::Api, Node::Worker(n), move |w| w.release(n, &slug, up_to));
        }
    }

    fn send_stop(&mut self, assignment: &Assignment, then: impl FnOnce(&mut World, Result<(), Cause>) + 'static) {
        let (slug, epoch) = (assignment.slug.clone(), assignment.epoch);
        self.put(assignment, move |w, put| {
            if put.is_err() {
                return then(w, put);
            }
            w.send_release(&slug, epoch);
            w.jetstream(Node::Api, move |s| s.take_back(&slug), move |w, done| then(w, done.ok_or_else(deadline)));
        });
    }

    fn place(&mut self, place: PlaceCommand) {
        let slug = place.slug.clone();
        self.jetstream(
            Node::Api,
            move |s| s.desired.get(&slug).map(|d| d.epoch),
            move |w, recorded| {
                let floor = PlacementFloor { epoch: place.floor.epoch.max(recorded.flatten()), ..place.floor };
                let spec_rev = w.registered.get(&place.slug).map_or(0, |link| link.spec_rev);
                let before = w.database.get(&place.slug).map(|stored| stored.epoch);
                let assignment = w.assign(&place.slug, Want::Run, spec_rev, floor);
                w.say(|| format!("API places {} with {} for {:?}", place.slug, assignment.epoch, place.reason));
                match (place.reason, before) {
                    (TicketReason::Retry, Some(epoch)) => {
                        let key = (place.slug.clone(), epoch);
                        let read =
                            move |s: &mut crate::nats::Server| s.claims.get(&key).map(|(owner, _)| owner.clone());
                        w.jetstream(Node::Api, read, move |w, owner| w.publish(place, assignment, owner.flatten()));
                    }
                    _ => w.publish(place, assignment, None),
                }
            },
        );
    }

    fn publish(&mut self, place: PlaceCommand, assignment: Assignment, claimed_by: Option<SessionId>) {
        let ticket = Ticket {
            v: VERSION,
            cam: place.slug.clone(),
            zone: place.zone.clone(),
            epoch: assignment.epoch,
            reason: place.reason,
            media_sequence: place.media_sequence,
            discontinuity_sequence: assignment.discontinuity,
            avoid: place.from.as_ref().map(|(session, _)| session.clone()),
            traceparent: None,
        };
        let (priority, reason, from, to) = (place.priority, place.reason, place.from, place.to);
        let record = assignment.clone();
        let asked = to.as_ref().map(|(_, session)| session.clone());
        self.put(&record, move |w, put| {
            let placed = move |w: &mut World, delivery: Result<DeliveryState, Cause>, ticket: Option<u64>| {
                let ticket = ticket.map(|sequence| (sequence, priority));
                let placed = PlacedOutcome { assignment, reason, from, to: asked, delivery, ticket, claimed_by };
                w.on_outcome(CommandOutcome::Placed(placed));
            };
            let queue = move |w: &mut World, ticket: Ticket, placed: PlacedThen| {
                w.jetstream(
                    Node::Api,
                    move |s| s.publish(ticket, priority),
                    move |w, sequence| match sequence {
                        Some(sequence) => {
                            placed(w, Ok(DeliveryState::Queued { urgent: priority == Priority::Hi }), Some(sequence));
                        }
                        None => placed(w, Err(deadline()), None),
                    },
                );
            };
            let placed: PlacedThen = Box::new(placed);
            match (put, to) {
                (Err(e), _) => placed(w, Err(e), None),
                (Ok(()), None) => queue(w, ticket, placed),
                (Ok(()), Some((worker, session))) => {
                    w.offer(ticket, &worker, session, move |w, ticket, taken| match taken {
                        Some(true) => placed(w, Ok(DeliveryState::Delivered), None),
                        Some(false) => queue(w, ticket, placed),
                        None => placed(w, Err(deadline()), None),
                    })
                }
            }
        });
    }

    /// Offers a ticket to one worker process. `then` gets its answer, or `None` when none came.
    fn offer(
        &mut self,
        ticket: Ticket,
        worker: &WorkerId,
        session: SessionId,
        then: impl FnOnce(&mut World, Ticket, Option<bool>) + 'static,
    ) {
        let life = self.api.life;
        let answer = std::rc::Rc::new(std::cell::Cell::new(None));
        let found = self.workers.iter().position(|w| w.name == *worker && w.session == session);
        if let Some(n) = found {
            let (offered, answered) = (ticket.clone(), answer.clone());
            self.send(Node::Api, Node::Worker(n), move |w| {
                let taken = w.offered(n, offered);
                w.send(Node::Worker(n), Node::Api, move |_| answered.set(Some(taken)));
            });
        }
        // Checked every 20 ms: an answer is used soon, and its absence at the deadline.
        fn wait(
            w: &mut World,
            life: u64,
            left: Ms,
            answer: std::rc::Rc<std::cell::Cell<Option<bool>>>,
            then: Then<bool>,
        ) {
            match answer.get() {
                None if left > 0 => {
                    w.at_node(20, Node::Api, life, move |w| wait(w, life, left.saturating_sub(20), answer, then));
                }
                seen => then(w, seen),
            }
        }
        let then: Then<bool> = Box::new(move |w, taken| then(w, ticket, taken));
        wait(self, life, TAKE_DEADLINE, answer, then);
    }

    /// NATS reports at once that a process has no subscription; a process that is cut off looks silent, not gone.
    fn ask_presence(&mut self, query: PresenceQuery) {
        let found = self.workers.iter().position(|w| w.alive && w.session == query.session);
        let presence = match found {
            _ if !self.open(Node::Api) => Presence::Unknown,
            None => Presence::Gone,
            Some(n) if !self.connected(Node::Worker(n)) => Presence::Gone,
            Some(n) if !self.open(Node::Worker(n)) || self.workers[n].paused_until > self.now => Presence::Unknown,
            Some(_) => Presence::Present,
        };
        let took = match presence {
            Presence::Unknown => PRESENCE_DEADLINE,
            Presence::Gone | Presence::Present => self.rng.random_range(1..30),
        };
        self.arrive(took, Node::Api, move |w| w.on_outcome(CommandOutcome::PresenceAnswered { query, presence }));
    }
}

type PlacedThen = Box<dyn FnOnce(&mut World, Result<DeliveryState, Cause>, Option<u64>)>;
