//! From the step of one stream to the command that carries it out.

use std::time::Instant;

use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::{SessionId, WorkerId};
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::{Priority, TicketReason};
use tracing::info;

use super::command::{Command, PlaceCommand};
use super::in_flight::InFlight;
use super::intent::StreamIntent;
use super::moves;
use super::placement::TrackedPlacement;
use super::placements::Placements;
use super::plan::Step;
use super::workers::Workers;

/// A new owner's playlist goes on this much later than the last number heard: segments may have been made since.
const SEQUENCE_SLACK: u64 = 16;

/// The step of one stream.
pub struct Decision {
    /// See [`Step::class`].
    pub class: u8,
    /// Id of the link, by which steps of one class go; 0 for a removed stream.
    pub id: i64,
    pub step: Step,
    pub slug: Slug,
    /// The worker process that the stream moves to.
    pub to: Option<(WorkerId, SessionId)>,
}

/// Begins a step: notes it where it changes a placement, and returns its command. `None` when too many commands are
/// under way; the step is then decided again in a later pass. The stream must have no command under way. `intent` is
/// `None` for a removed stream.
pub fn begin(
    decision: &Decision,
    intent: Option<&StreamIntent>,
    placements: &mut Placements,
    workers: &Workers,
    in_flight: &mut InFlight,
    now: Instant,
) -> Option<Command> {
    let (step, slug) = (decision.step, &decision.slug);
    if matches!(step, Step::EndHandoff | Step::Recall) {
        return placements.change(slug, |tracked| release(step, tracked, workers.owned_epoch(slug), now));
    }
    if !in_flight.has_room(decision.class) {
        return None;
    }
    placements.change(slug, |tracked| match step {
        // Its record is about to go, and must not count as missing then.
        Step::Forget => tracked.mark_unsent(),
        Step::Revert => tracked.stay(now, moves::FAILED_MOVE_REST),
        _ => {}
    });
    let command = command(decision, intent, placements.get(slug), workers)?;
    let to = match &command {
        Command::Place(place) => place.to.as_ref().map(|(_, session)| session.clone()),
        _ => None,
    };
    in_flight.begin(slug, to);
    Some(command)
}

/// The release of an owner: it waits for nothing and costs one message, so it does not count as under way.
fn release(step: Step, tracked: &mut TrackedPlacement, owned_epoch: Option<Epoch>, now: Instant) -> Command {
    let (zone, epoch) = (tracked.assignment().zone.clone(), tracked.assignment().epoch);
    let up_to = if step == Step::Recall {
        tracked.recall(now);
        owned_epoch.map_or(epoch, |owned| owned.max(epoch))
    } else {
        tracked.end_handoff();
        Epoch(epoch.0 - 1)
    };
    Command::Release { slug: tracked.assignment().slug.clone(), zone, up_to }
}

fn command(
    decision: &Decision,
    intent: Option<&StreamIntent>,
    tracked: Option<&TrackedPlacement>,
    workers: &Workers,
) -> Option<Command> {
    let Decision { step, slug, to, .. } = decision;
    let assignment = tracked.map(|t| t.assignment().clone());
    Some(match (step, intent, assignment) {
        (Step::Place(reason), Some(intent), _) => Command::Place(place(*reason, intent, tracked, to.clone(), workers)),
        (Step::Revert, Some(intent), _) => Command::Place(revert(intent, tracked, workers)),
        (Step::Halt, _, Some(a)) => {
            let floor = tracked.map(TrackedPlacement::floor).unwrap_or_default();
            Command::Halt { slug: slug.clone(), zone: a.zone, spec_rev: a.spec_rev, floor }
        }
        (Step::HaltAgain, _, Some(a)) => Command::HaltAgain(a),
        (Step::Rewrite, Some(_), Some(a)) => Command::Rewrite(a),
        (Step::Tidy, _, Some(a)) => Command::Tidy(a),
        (Step::Forget, _, Some(a)) => Command::Forget(a),
        _ => return None,
    })
}

fn place(
    reason: TicketReason,
    intent: &StreamIntent,
    tracked: Option<&TrackedPlacement>,
    to: Option<(WorkerId, SessionId)>,
    workers: &Workers,
) -> PlaceCommand {
    if !matches!(reason, TicketReason::Start | TicketReason::Change) {
        info!(stream = %intent.slug, ?reason, "a stream is placed again");
    }
    let current = || Some((workers.owner(&intent.slug)?.clone(), workers.owned_epoch(&intent.slug)?));
    let from = match reason {
        TicketReason::Drain | TicketReason::Rebalance => current(),
        TicketReason::Change => None,
        // A hand-off whose new owner was lost: the earlier owner still goes on.
        TicketReason::Start | TicketReason::Failover | TicketReason::Retry => {
            tracked.and_then(|t| t.earlier_owner()).map(|from| (from.session.clone(), from.epoch))
        }
    };
    PlaceCommand {
        slug: intent.slug.clone(),
        zone: intent.zone.clone(),
        priority: if intent.demanded { Priority::Hi } else { Priority::Lo },
        reason,
        floor: tracked.map(TrackedPlacement::floor).unwrap_or_default(),
        media_sequence: tracked.map_or(0, |t| t.media_sequence() + SEQUENCE_SLACK),
        from,
        to,
        leaves: tracked.filter(|t| t.assignment().zone != intent.zone).map(TrackedPlacement::all_so_far),
    }
}

/// Back to the earlier owner, which goes on: it begins anew, under a new epoch.
fn revert(intent: &StreamIntent, tracked: Option<&TrackedPlacement>, workers: &Workers) -> PlaceCommand {
    let back = tracked.and_then(TrackedPlacement::earlier_owner).and_then(|from| workers.roster().get(&from.session));
    let to = back.map(|session| (session.worker.clone(), session.id.clone()));
    PlaceCommand { from: None, ..place(TicketReason::Retry, intent, tracked, to, workers) }
}
