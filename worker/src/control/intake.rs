//! Pulls start tickets and claims streams: ticket, desired record, claim, record again, start.

use std::sync::Arc;
use std::time::Duration;

use rsm_shared::bus::claims::{self, Claimed};
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::tickets::{self, Pulled};
use rsm_shared::bus::{BusError, registers};
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::spec::StreamSpec;
use rsm_shared::wire::messages::{Claim, Priority, Ticket, VERSION, Want};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::decide::{Verdict, verdict};
use super::held::{Slot, Slots};

/// A pull that failed is tried again after this long: NATS is away, or the API has not made the queue yet.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a full or silent worker looks whether it may pull again.
const LOOK: Duration = Duration::from_millis(200);

/// A claimed stream, on its way to the keeper.
pub struct Start {
    pub ticket: Ticket,
    pub spec: StreamSpec,
    pub fence: Fence,
    pub slot: Slot,
}

/// What a puller needs. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    pub bus: Bus,
    pub worker: WorkerId,
    pub session: SessionId,
    pub slots: Slots,
    /// Whether new streams may be taken: not while draining or cut off.
    pub may_pull: watch::Receiver<bool>,
    /// Whether an epoch is owned here already: a ticket that came twice.
    pub owned: Arc<dyn Fn(&Ticket) -> bool + Send + Sync>,
    pub starts: mpsc::Sender<Start>,
}

/// Pulls from one queue until `stop`.
pub async fn run(mut intake: Intake, zone: Zone, priority: Priority, stop: CancellationToken) {
    // The last free slot is kept for tickets that somebody waits for.
    let spare = match priority {
        Priority::Hi => 0,
        Priority::Lo => 1,
    };
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = room(&mut intake, spare) => {}
        }
        // A pull that waits at a server that is gone would wait for nothing: pull anew at each connect.
        let mut connects = intake.bus.connects();
        let pulled = tokio::select! {
            () = stop.cancelled() => return,
            _ = connects.changed() => continue,
            pulled = tickets::pull(&intake.bus, &zone, priority) => pulled,
        };
        match pulled {
            Ok(Some(pulled)) => {
                failing = false;
                if let Err(e) = take(&intake, pulled).await {
                    warn!(%zone, "a start ticket was not carried out: {e}");
                }
            }
            Ok(None) => failing = false,
            Err(e) => {
                if !failing {
                    debug!(%zone, priority = priority.as_str(), "{e}");
                }
                failing = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Waits until there is room and new streams may be taken. The slot itself is taken once there is a ticket: several
/// pulls wait at the same time, and must not keep each other from the last slots.
async fn room(intake: &mut Intake, spare: u32) {
    loop {
        if intake.may_pull.wait_for(|may| *may).await.is_err() {
            // The keeper is gone; `stop` follows.
            std::future::pending::<()>().await;
        }
        if intake.slots.free() > spare {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn take(intake: &Intake, pulled: Pulled) -> Result<(), BusError> {
    let Some(slot) = intake.slots.take() else { return pulled.give_back().await };
    let ticket = pulled.ticket.clone();
    let desired = registers::get(&intake.bus, &ticket.zone, &ticket.cam).await?;
    match verdict(&ticket, desired.as_ref(), (intake.owned)(&ticket)) {
        Verdict::Discard => return pulled.done().await,
        Verdict::GiveBack => return pulled.give_back().await,
        Verdict::Claim => {}
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let claim = Claim {
        v: VERSION,
        session: intake.session.clone(),
        worker: intake.worker.clone(),
        at_ms: u64::try_from(now.as_millis()).unwrap_or(0),
    };
    let claimed = claims::claim(&intake.bus, &ticket.zone, &ticket.cam, ticket.epoch, &claim).await?;
    // Nothing depends on this being confirmed: a ticket that comes again meets the claim.
    if let Err(e) = pulled.done().await {
        debug!(stream = %ticket.cam, "{e}");
    }
    let Claimed::Won(fence) = claimed else { return Ok(()) };
    // A stop or a newer placement may have come between the first look and the claim.
    let again = registers::get(&intake.bus, &ticket.zone, &ticket.cam).await?;
    let Some(spec) = again.filter(|d| d.epoch == ticket.epoch && d.state == Want::Run).and_then(|d| d.spec) else {
        return Ok(());
    };
    // The keeper lives as long as this; when it is gone the process ends.
    let _ = intake.starts.send(Start { ticket, spec, fence, slot }).await;
    Ok(())
}
