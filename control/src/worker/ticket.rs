//! What to do with a pulled ticket. Pure.

use rsm_shared::stream::names::{SessionId, Zone};
use rsm_shared::wire::messages::{Desired, Ticket, Want};

/// What becomes of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest placement and should run: claim it.
    Claim,
    /// Out of date, stopped, or owned here already: done with it.
    Discard,
    /// It is for another process, or the record that it belongs to is not there yet, or was lost: somebody may take it
    /// later.
    GiveBack,
}

/// Compares a ticket with the desired record of its stream. The API writes the record before the ticket, so a record
/// that is older than the ticket comes from a replica that lags, or from a store that was wiped. `own` is this process,
/// `owned_here` whether it owns the ticket's epoch.
pub fn verdict(ticket: &Ticket, desired: Option<&Desired>, owned_here: bool, own: &SessionId) -> Verdict {
    let Some(desired) = desired else { return Verdict::GiveBack };
    if desired.cam != ticket.cam || desired.epoch > ticket.epoch {
        return Verdict::Discard;
    }
    if desired.epoch < ticket.epoch {
        return Verdict::GiveBack;
    }
    match (desired.state, &desired.spec) {
        (Want::Run, Some(_)) if owned_here => Verdict::Discard,
        // It runs here under an earlier epoch, and goes on until somebody else has pictures.
        (Want::Run, Some(_)) if ticket.avoid.as_ref() == Some(own) => Verdict::GiveBack,
        (Want::Run, Some(_)) => Verdict::Claim,
        _ => Verdict::Discard,
    }
}

/// Whether a ticket that was claimed still counts, by a record read after the claim. An older record than the ticket's
/// says nothing: the one before the claim was right, and this comes from a replica that lags.
pub fn still_stands(ticket: &Ticket, again: &Desired) -> bool {
    again.epoch < ticket.epoch || (again.epoch == ticket.epoch && again.state == Want::Run)
}

/// Whether a stream that the API offers to this process is taken; `room` is for how many it has room.
pub fn accepts(offer: &Ticket, zones: &[Zone], own: &SessionId, room: u32) -> bool {
    room > 0 && zones.contains(&offer.zone) && offer.avoid.as_ref() != Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::camera_link::CameraUrl;
    use rsm_shared::stream::fence::Epoch;
    use rsm_shared::stream::rendition::RenditionSet;
    use rsm_shared::stream::slug::Slug;
    use rsm_shared::stream::spec::{HlsParams, StreamSpec, Transport};
    use rsm_shared::wire::messages::TicketReason;

    fn session(name: &str) -> SessionId {
        SessionId::parse(name).unwrap()
    }

    fn desired(epoch: u64, state: Want) -> Desired {
        let spec = StreamSpec {
            url: CameraUrl::parse("rtsp://127.0.0.1/cam1").unwrap().url,
            credentials: None,
            transport: Transport::Auto,
            tls_insecure: false,
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
    fn a_process_leaves_what_it_should_avoid_to_others() {
        for (avoid, record, want) in [
            (Some("w1-me"), Some(desired(5, Want::Run)), Verdict::GiveBack),
            (Some("w1-me"), Some(desired(6, Want::Run)), Verdict::Discard),
            (Some("w1-me"), Some(desired(5, Want::Stop)), Verdict::Discard),
            (Some("w2-other"), Some(desired(5, Want::Run)), Verdict::Claim),
        ] {
            assert_eq!(
                verdict(&ticket(avoid), record.as_ref(), false, &session("w1-me")),
                want,
                "{avoid:?} {record:?}"
            );
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
            (Some(desired(5, Want::Run)), false, Verdict::Claim),
            (Some(desired(5, Want::Run)), true, Verdict::Discard),
            (Some(desired(5, Want::Stop)), false, Verdict::Discard),
            (Some(desired(6, Want::Run)), false, Verdict::Discard),
            (Some(desired(6, Want::Stop)), false, Verdict::Discard),
            (Some(desired(4, Want::Run)), false, Verdict::GiveBack),
            (Some(Desired { spec: None, ..desired(5, Want::Run) }), false, Verdict::Discard),
            (Some(Desired { cam: Slug::parse("door").unwrap(), ..desired(5, Want::Run) }), false, Verdict::Discard),
            (None, false, Verdict::GiveBack),
        ] {
            assert_eq!(verdict(&ticket, record.as_ref(), owned_here, &own), want, "{record:?}");
        }
    }
}
