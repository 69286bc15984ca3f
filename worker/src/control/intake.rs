//! Takes start tickets, pulled or offered, and claims streams: ticket, desired record, claim, record again, start.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rsm_shared::bus::claims::{self, Claimed};
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::tickets::{self, PULL_EXPIRES, Pulled};
use rsm_shared::bus::{BusError, registers};
use rsm_shared::ops::traces::{self, Span};
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::spec::StreamSpec;
use rsm_shared::wire::messages::{Claim, Priority, Ticket, VERSION};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::admission::{Pull, Standing};
use super::decide::{Verdict, accepts, still_stands, verdict};
use super::held::{Slot, Slots};
use crate::stream_trace::mark;

/// A pull that failed is tried again after this long: NATS is away, or the API has not made the queue yet. So is an
/// offer whose record is not there yet.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a worker that must wait looks whether it may pull again.
const LOOK: Duration = Duration::from_millis(200);
/// A worker with more streams than others lets them go first for this long, then asks the queue for a moment.
const STEP_BACK: Duration = Duration::from_millis(400);
const MOMENT: Duration = Duration::from_millis(100);
/// Looks at the record of an offer. The API writes it first, so only a replica that lags does not have it.
const OFFER_TRIES: u32 = 4;

/// A claimed stream, on its way to the keeper.
pub struct Start {
    pub ticket: Ticket,
    pub spec: StreamSpec,
    pub fence: Fence,
    pub slot: Slot,
    /// From the claim to the first picture.
    pub span: Span,
}

/// What a puller needs. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    pub bus: Bus,
    pub worker: WorkerId,
    pub session: SessionId,
    pub zones: Arc<[Zone]>,
    pub slots: Slots,
    /// How this worker stands, as the keeper sees it.
    pub standing: watch::Receiver<Standing>,
    /// Whether an epoch is owned here already: a ticket that came twice.
    pub owned: Arc<dyn Fn(&Ticket) -> bool + Send + Sync>,
    pub starts: mpsc::Sender<Start>,
}

/// What becomes of a ticket.
enum Outcome {
    /// This process owns the epoch.
    Claimed(Fence, Box<StreamSpec>),
    /// Done with: out of date, stopped, or another's.
    Over,
    /// Somebody may take it later.
    Later,
}

/// Pulls from one queue until `stop`.
pub async fn run(mut intake: Intake, zone: Zone, priority: Priority, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let expires = tokio::select! {
            () = stop.cancelled() => return,
            expires = intake.turn(priority) => expires,
        };
        // A pull that waits at a server that is gone would wait for nothing: pull anew at each connect.
        let mut connects = intake.bus.connects();
        let pulled = tokio::select! {
            () = stop.cancelled() => return,
            _ = connects.changed() => continue,
            pulled = tickets::pull(&intake.bus, &zone, priority, expires) => pulled,
        };
        match pulled {
            Ok(Some(pulled)) => {
                failing = false;
                if let Err(e) = intake.take(pulled).await {
                    warn!(repeats = true, %zone, error = %e, "a start ticket was not carried out");
                }
            }
            Ok(None) => failing = false,
            // It is gone for good, and the next one waits.
            Err(e @ BusError::Malformed { .. }) => {
                warn!(repeats = true, %zone, error = %e, "a start ticket is not readable and is dropped");
            }
            Err(e) => {
                if !failing {
                    debug!(%zone, priority = priority.as_str(), error = %e, "start tickets cannot be asked for");
                }
                failing = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Intake {
    /// Takes a slot for an offered stream, if it is to be taken. How many start at a time is up to the API here; cameras
    /// are opened one after the other in any case.
    pub fn accept(&self, offer: &Ticket) -> Option<Slot> {
        let room = self.standing.borrow().room(self.slots.room());
        if accepts(offer, &self.zones, &self.session, room) { self.slots.take() } else { None }
    }

    /// Carries out an offer that was accepted. One that comes to nothing is made again by the API.
    pub async fn offered(self, ticket: Ticket, slot: Slot) {
        for _ in 0..OFFER_TRIES {
            let done = match self.claim(&ticket).await {
                Ok(Outcome::Later) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Ok(Outcome::Over) => Ok(()),
                Ok(Outcome::Claimed(fence, spec)) => self.begin(&ticket, fence, *spec, slot).await,
                Err(e) => Err(e),
            };
            if let Err(e) = done {
                warn!(repeats = true, stream = %ticket.cam, epoch = %ticket.epoch, error = %e, "an offered stream was not started");
            }
            return;
        }
        debug!(stream = %ticket.cam, epoch = %ticket.epoch, "an offered stream has no record");
    }

    /// Waits until a ticket of that priority may be asked for; how long to wait for one then. The slot itself is taken
    /// once there is a ticket: several pulls wait at the same time, and must not keep each other from the last slots.
    async fn turn(&mut self, priority: Priority) -> Duration {
        loop {
            let pull = self.standing.borrow_and_update().pull(priority, self.slots.room());
            match pull {
                Pull::Park => return PULL_EXPIRES,
                Pull::StepBack => {
                    tokio::time::sleep(STEP_BACK).await;
                    if self.standing.borrow().pull(priority, self.slots.room()) != Pull::Wait {
                        return MOMENT;
                    }
                }
                Pull::Wait => match tokio::time::timeout(LOOK, self.standing.changed()).await {
                    Ok(Ok(())) | Err(_) => {}
                    // The keeper is gone; `stop` follows.
                    Ok(Err(_)) => std::future::pending().await,
                },
            }
        }
    }

    async fn take(&self, pulled: Pulled) -> Result<(), BusError> {
        // Much may have changed while the pull was parked.
        let room = self.standing.borrow().room(self.slots.room());
        let Some(slot) = (room > 0).then(|| self.slots.take()).flatten() else { return pulled.give_back().await };
        let ticket = pulled.ticket.clone();
        self.waited(&ticket, pulled.stored());
        match self.claim(&ticket).await? {
            Outcome::Over => pulled.done().await,
            Outcome::Later => pulled.give_back().await,
            Outcome::Claimed(fence, spec) => {
                // Nothing depends on this being confirmed: a ticket that comes again meets the claim.
                if let Err(e) = pulled.done().await {
                    debug!(stream = %ticket.cam, error = %e, "that a start ticket is done was not confirmed");
                }
                self.begin(&ticket, fence, *spec, slot).await
            }
        }
    }

    /// Looks at the record, and claims the epoch if that is right.
    async fn claim(&self, ticket: &Ticket) -> Result<Outcome, BusError> {
        let mut span = self.part("claim", ticket, None);
        let outcome = self.try_claim(ticket).await;
        match &outcome {
            Ok(Outcome::Claimed(fence, _)) => span.count("rsm.revision", fence.revision),
            Ok(Outcome::Over) => span.set("rsm.outcome", "over"),
            Ok(Outcome::Later) => span.set("rsm.outcome", "later"),
            Err(e) => span.fail("nats", e),
        }
        outcome
    }

    async fn try_claim(&self, ticket: &Ticket) -> Result<Outcome, BusError> {
        let desired = registers::get(&self.bus, &ticket.zone, &ticket.cam).await?;
        let spec = match verdict(ticket, desired.as_ref(), (self.owned)(ticket), &self.session) {
            Verdict::Discard => return Ok(Outcome::Over),
            Verdict::GiveBack => return Ok(Outcome::Later),
            Verdict::Claim => desired.and_then(|desired| desired.spec),
        };
        let now = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let claim = Claim {
            v: VERSION,
            session: self.session.clone(),
            worker: self.worker.clone(),
            at_ms: u64::try_from(now.as_millis()).unwrap_or(0),
        };
        match (claims::claim(&self.bus, &ticket.zone, &ticket.cam, ticket.epoch, &claim).await?, spec) {
            (Claimed::Won(fence), Some(spec)) => Ok(Outcome::Claimed(fence, Box::new(spec))),
            _ => Ok(Outcome::Over),
        }
    }

    /// Hands a claimed stream to the keeper, unless a stop or a newer placement came between the first look and the
    /// claim. A record that is older than the first look comes from a replica that lags.
    async fn begin(&self, ticket: &Ticket, fence: Fence, spec: StreamSpec, slot: Slot) -> Result<(), BusError> {
        let again = registers::get(&self.bus, &ticket.zone, &ticket.cam).await?;
        if again.is_none_or(|desired| still_stands(ticket, &desired)) {
            // The keeper lives as long as this; when it is gone the process ends.
            let mut span = traces::span("start").under(ticket.traceparent).begin();
            mark(&mut span, &ticket.cam, fence);
            self.sign(&mut span, ticket);
            let _ = self.starts.send(Start { ticket: ticket.clone(), spec, fence, slot, span }).await;
        }
        Ok(())
    }

    /// A ticket waited in the queue since then. The clock is that of nats-server.
    fn waited(&self, ticket: &Ticket, since: Option<SystemTime>) {
        self.part("ticket queued", ticket, since).end();
    }

    /// Begins a span in the ticket's trace; none when it has none.
    fn part(&self, name: &'static str, ticket: &Ticket, since: Option<SystemTime>) -> Span {
        if ticket.traceparent.is_none() {
            return Span::none();
        }
        let draft = traces::span(name).under(ticket.traceparent);
        let now = SystemTime::now();
        let mut span = draft.since(since.map_or(now, |since| since.min(now))).begin();
        if span.is_some() {
            span.set("rsm.stream", &ticket.cam);
            span.count("rsm.epoch", ticket.epoch.0);
            self.sign(&mut span, ticket);
        }
        span
    }

    fn sign(&self, span: &mut Span, ticket: &Ticket) {
        span.set("rsm.worker", &self.worker);
        span.set("rsm.zone", &ticket.zone);
        span.set("rsm.reason", ticket.reason.as_str());
    }
}
