//! Decisions about start tickets: pulled from the queue, or offered by the API.

use rsm_model::stream::names::{SessionId, Zone};
use rsm_model::wire::messages::{Desired, Ticket, Want};

/// The action for a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketDecision {
    /// It is the newest placement and should run: claim it.
    Claim,
    /// It is out of date, stopped, or owned here already: acknowledge it.
    Discard,
    /// It is for another process, or its record is not there yet, or was lost: another try may succeed later.
    Nak,
}

/// Compares a ticket with the desired record of its stream. The API writes the record before the ticket, so a record
/// that is older than the ticket comes from a replica that lags, or from a store that was wiped. `own` is this process,
/// `owned_here` whether it owns the ticket's epoch.
pub fn decide(ticket: &Ticket, desired: Option<&Desired>, owned_here: bool, own: &SessionId) -> TicketDecision {
    let Some(desired) = desired else { return TicketDecision::Nak };
    if desired.cam != ticket.cam || desired.epoch > ticket.epoch {
        return TicketDecision::Discard;
    }
    if desired.epoch < ticket.epoch {
        return TicketDecision::Nak;
    }
    match (desired.state, &desired.spec) {
        (Want::Run, Some(_)) if owned_here => TicketDecision::Discard,
        // The stream runs here under an earlier epoch, and goes on until another worker has pictures.
        (Want::Run, Some(_)) if ticket.avoid.as_ref() == Some(own) => TicketDecision::Nak,
        (Want::Run, Some(_)) => TicketDecision::Claim,
        _ => TicketDecision::Discard,
    }
}

/// Returns whether a claimed ticket is still current, by a record read after the claim. A record that is older than
/// the ticket proves nothing: the one read before the claim was right, and this one comes from a replica that lags.
pub fn is_current(ticket: &Ticket, again: &Desired) -> bool {
    again.epoch < ticket.epoch || (again.epoch == ticket.epoch && again.state == Want::Run)
}

/// Returns whether to take a stream that the API offers to this process; `room` is the number of streams that it has
/// room for.
pub fn accepts(offer: &Ticket, zones: &[Zone], own: &SessionId, room: u32) -> bool {
    room > 0 && zones.contains(&offer.zone) && offer.avoid.as_ref() != Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_model::stream::camera_link::CameraUrl;
    use rsm_model::stream::fence::Epoch;
    use rsm_model::stream::rendition::RenditionSet;
    use rsm_model::stream::slug::Slug;
    use rsm_model::stream::spec::{HlsParams, StreamSpec, Transport};
    use rsm_model::wire::messages::TicketReason;

    fn session(name: &str) -> SessionId {
        SessionId::parse(name).unwrap()
    }

    fn desired(epoch: u64, state: Want) -> Desired {
        let spec = StreamSpec {
            url: CameraUrl::parse("rtsp://127.0.0.1/cam1").unwrap().url,
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
        };
        Desired { v: 1, cam: Slug::parse("yard").unwrap(), epoch: Epoch(epoch), state, spec: Some(spec) }
    }

    fn ticket(avoid: Option<&str>) -> Ticket {
        Ticket {
            v: 1,
            cam: Slug::parse("yard").unwrap(),
            zone: Zone::default_zone(),
            epoch: Epoch(5),
            reason: TicketReason::Start,
            media_sequence: 0,
            discontinuity_sequence: 0,
            avoid: avoid.map(session),
            traceparent: None,
        }
    }

    #[test]
    fn a_process_leaves_tickets_that_it_must_avoid_to_others() {
        for (avoid, record, want) in [
            (Some("w1-me"), Some(desired(5, Want::Run)), TicketDecision::Nak),
            (Some("w1-me"), Some(desired(6, Want::Run)), TicketDecision::Discard),
            (Some("w1-me"), Some(desired(5, Want::Stop)), TicketDecision::Discard),
            (Some("w2-other"), Some(desired(5, Want::Run)), TicketDecision::Claim),
        ] {
            assert_eq!(decide(&ticket(avoid), record.as_ref(), false, &session("w1-me")), want, "{avoid:?} {record:?}");
        }
    }

    #[test]
    fn takes_offers_of_its_zones_while_there_is_room() {
        let (own, zones) = (session("w1-me"), [Zone::parse("site").unwrap(), Zone::default_zone()]);
        for (offer, zones, room, want) in [
            (ticket(None), &zones[..], 1, true),
            (ticket(None), &zones[..], 0, false),
            (ticket(None), &zones[..1], 1, false),
            (ticket(Some("w1-me")), &zones[..], 1, false),
            (ticket(Some("w2-other")), &zones[..], 1, true),
        ] {
            assert_eq!(accepts(&offer, zones, &own, room), want, "{offer:?} {zones:?} {room}");
        }
    }

    #[test]
    fn claims_only_the_newest_running_placement() {
        let (ticket, own) = (ticket(None), session("w1-me"));
        for (record, owned_here, want) in [
            (Some(desired(5, Want::Run)), false, TicketDecision::Claim),
            (Some(desired(5, Want::Run)), true, TicketDecision::Discard),
            (Some(desired(5, Want::Stop)), false, TicketDecision::Discard),
            (Some(desired(6, Want::Run)), false, TicketDecision::Discard),
            (Some(desired(6, Want::Stop)), false, TicketDecision::Discard),
            (Some(desired(4, Want::Run)), false, TicketDecision::Nak),
            (Some(Desired { spec: None, ..desired(5, Want::Run) }), false, TicketDecision::Discard),
            (
                Some(Desired { cam: Slug::parse("door").unwrap(), ..desired(5, Want::Run) }),
                false,
                TicketDecision::Discard,
            ),
            (None, false, TicketDecision::Nak),
        ] {
            assert_eq!(decide(&ticket, record.as_ref(), owned_here, &own), want, "{record:?}");
        }
    }
}
