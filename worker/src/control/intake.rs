//! Takes start tickets, pulled or offered, and claims streams: ticket, desired record, claim, record again, start.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rsm_control::worker::admission::{PullDecision, WorkerStanding};
use rsm_control::worker::slots::{Slot, Slots};
use rsm_control::worker::ticket::{TicketDecision, accepts, decide, is_current};
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

use crate::stream_trace::mark;

/// A pull that failed is tried again after this long: NATS is away, or the API has not made the queue yet. An offer
/// whose record is not there yet waits for as long.
const PAUSE: Duration = Duration::from_millis(500);
/// A worker that must wait checks this often whether it may pull again.
const RECHECK: Duration = Duration::from_millis(200);
/// A worker with more streams than others waits for them for this long.
const STEP_BACK: Duration = Duration::from_millis(400);
/// Then its pull waits at the queue for this long.
const SHORT_PULL: Duration = Duration::from_millis(100);
/// Reads of the record of an offer. The API writes it first, so only a replica that lags does not have it.
const OFFER_TRIES: u32 = 4;

/// A claimed stream, on its way to the keeper.
pub struct ClaimedStream {
    pub ticket: Ticket,
    pub spec: StreamSpec,
    pub fence: Fence,
    pub slot: Slot,
    /// The span from the claim to the first picture.
    pub span: Span,
}

/// Takes tickets and offers. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    pub bus: Bus,
    pub worker: WorkerId,
    pub session: SessionId,
    pub zones: Arc<[Zone]>,
    pub slots: Slots,
    /// The inputs of admission, as the keeper sees them.
    pub standing: watch::Receiver<WorkerStanding>,
    /// True when the epoch of a ticket is owned here already: a ticket that came twice.
    pub owned: Arc<dyn Fn(&Ticket) -> bool + Send + Sync>,
    pub starts: mpsc::Sender<ClaimedStream>,
}

/// The result of a ticket.
enum TicketOutcome {
    /// This process owns the epoch.
    Claimed(Fence, Box<StreamSpec>),
    /// It is out of date, stopped, or claimed by another process.
    Discarded,
    /// Another try may succeed later.
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
        // A server that is gone would never answer the pull: pull anew at each connect.
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
            // The server has removed the ticket, and the next one waits.
            Err(e @ BusError::Malformed { .. }) => {
                warn!(repeats = true, %zone, error = %e, "a start ticket is not readable and is dropped");
            }
            Err(e) => {
                if !failing {
                    debug!(%zone, priority = priority.as_str(), error = %e, "start tickets cannot be pulled");
                }
                failing = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Intake {
    /// Takes a slot for an offered stream, if this worker accepts it. The API bounds how many start at a time; cameras
    /// are opened one after the other in any case.
    pub fn accept(&self, offer: &Ticket) -> Option<Slot> {
        let room = self.standing.borrow().room(self.slots.count());
        if accepts(offer, &self.zones, &self.session, room) { self.slots.take() } else { None }
    }

    /// Carries out an offer that was accepted. The API repeats an offer that fails.
    pub async fn offered(self, ticket: Ticket, slot: Slot) {
        for _ in 0..OFFER_TRIES {
            let done = match self.claim(&ticket).await {
                Ok(TicketOutcome::Later) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Ok(TicketOutcome::Discarded) => Ok(()),
                Ok(TicketOutcome::Claimed(fence, spec)) => self.begin(&ticket, fence, *spec, slot).await,
                Err(e) => Err(e),
            };
            if let Err(e) = done {
                warn!(repeats = true, stream = %ticket.cam, epoch = %ticket.epoch, error = %e, "an offered stream was not started");
            }
            return;
        }
        debug!(stream = %ticket.cam, epoch = %ticket.epoch, "an offered stream has no record");
    }

    /// Waits until a ticket of that priority may be pulled. Returns the time that the pull may wait at the queue. The
    /// slot itself is taken once there is a ticket: several pulls wait at the same time, and must not keep each other
    /// from the last slots. Cancel safe.
    async fn turn(&mut self, priority: Priority) -> Duration {
        loop {
            let pull = self.standing.borrow_and_update().pull(priority, self.slots.count());
            match pull {
                PullDecision::Park => return PULL_EXPIRES,
                PullDecision::StepBack => {
                    tokio::time::sleep(STEP_BACK).await;
                    if self.standing.borrow().pull(priority, self.slots.count()) != PullDecision::Wait {
                        return SHORT_PULL;
                    }
                }
                PullDecision::Wait => match tokio::time::timeout(RECHECK, self.standing.changed()).await {
                    Ok(Ok(())) | Err(_) => {}
                    // The keeper is gone; `stop` follows.
                    Ok(Err(_)) => std::future::pending().await,
                },
            }
        }
    }

    async fn take(&self, pulled: Pulled) -> Result<(), BusError> {
        // The standing may have changed while the pull was parked.
        let room = self.standing.borrow().room(self.slots.count());
        let Some(slot) = (room > 0).then(|| self.slots.take()).flatten() else { return pulled.nak().await };
        let ticket = pulled.ticket.clone();
        self.waited(&ticket, pulled.stored());
        match self.claim(&ticket).await? {
            TicketOutcome::Discarded => pulled.done().await,
            TicketOutcome::Later => pulled.nak().await,
            TicketOutcome::Claimed(fence, spec) => {
                // An error does no harm: a ticket that comes again finds the claim.
                if let Err(e) = pulled.done().await {
                    debug!(stream = %ticket.cam, error = %e, "the acknowledgement of a start ticket was not confirmed");
                }
                self.begin(&ticket, fence, *spec, slot).await
            }
        }
    }

    /// Reads the record, and claims the epoch if the ticket is current.
    async fn claim(&self, ticket: &Ticket) -> Result<TicketOutcome, BusError> {
        let mut span = self.part("claim", ticket, None);
        let outcome = self.try_claim(ticket).await;
        match &outcome {
            Ok(TicketOutcome::Claimed(fence, _)) => span.count("rsm.revision", fence.revision),
            Ok(TicketOutcome::Discarded) => span.set("rsm.outcome", "over"),
            Ok(TicketOutcome::Later) => span.set("rsm.outcome", "later"),
            Err(e) => span.fail("nats", e),
        }
        outcome
    }

    async fn try_claim(&self, ticket: &Ticket) -> Result<TicketOutcome, BusError> {
        let desired = registers::get(&self.bus, &ticket.zone, &ticket.cam).await?;
        let spec = match decide(ticket, desired.as_ref(), (self.owned)(ticket), &self.session) {
            TicketDecision::Discard => return Ok(TicketOutcome::Discarded),
            TicketDecision::Nak => return Ok(TicketOutcome::Later),
            TicketDecision::Claim => desired.and_then(|desired| desired.spec),
        };
        let now = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let claim = Claim {
            v: VERSION,
            session: self.session.clone(),
            worker: self.worker.clone(),
            at_ms: u64::try_from(now.as_millis()).unwrap_or(0),
        };
        match (claims::claim(&self.bus, &ticket.zone, &ticket.cam, ticket.epoch, &claim).await?, spec) {
            (Claimed::Won(fence), Some(spec)) => Ok(TicketOutcome::Claimed(fence, Box::new(spec))),
            _ => Ok(TicketOutcome::Discarded),
        }
    }

    /// Hands a claimed stream to the keeper, unless a stop or a newer placement came between the first read and the
    /// claim. A record that is older than the first one comes from a replica that lags.
    async fn begin(&self, ticket: &Ticket, fence: Fence, spec: StreamSpec, slot: Slot) -> Result<(), BusError> {
        let again = registers::get(&self.bus, &ticket.zone, &ticket.cam).await?;
        if again.is_none_or(|desired| is_current(ticket, &desired)) {
            // The keeper runs as long as this task; when it is gone the process ends.
            let mut span = traces::span("start").under(ticket.traceparent).begin();
            mark(&mut span, &ticket.cam, fence);
            self.sign(&mut span, ticket);
            let _ = self.starts.send(ClaimedStream { ticket: ticket.clone(), spec, fence, slot, span }).await;
        }
        Ok(())
    }

    /// Records that a ticket waited in the queue since that time, by the clock of nats-server.
    fn waited(&self, ticket: &Ticket, since: Option<SystemTime>) {
        self.part("ticket queued", ticket, since).end();
    }

    /// Begins a span in the trace of the ticket, if it has one.
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
