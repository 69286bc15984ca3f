//! What to do with a pulled ticket. Pure.

use rsm_shared::wire::messages::{Desired, Ticket, Want};

/// What becomes of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest placement and should run: claim it.
    Claim,
    /// Out of date, stopped, or owned here already: done with it.
    Discard,
    /// The record that it belongs to is not there yet, or was lost: somebody may take it later.
    GiveBack,
}

/// Compares a ticket with the desired record of its stream. The API writes the record before the ticket, so a record
/// that is older than the ticket comes from a replica that lags, or from a store that was wiped.
pub fn verdict(ticket: &Ticket, desired: Option<&Desired>, owned_here: bool) -> Verdict {
    let Some(desired) = desired else { return Verdict::GiveBack };
    if desired.cam != ticket.cam || desired.epoch > ticket.epoch {
        return Verdict::Discard;
    }
    if desired.epoch < ticket.epoch {
        return Verdict::GiveBack;
    }
    match (desired.state, &desired.spec) {
        (Want::Run, Some(_)) if !owned_here => Verdict::Claim,
        _ => Verdict::Discard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::camera_link::CameraUrl;
    use rsm_shared::stream::fence::Epoch;
    use rsm_shared::stream::names::Zone;
    use rsm_shared::stream::slug::Slug;
    use rsm_shared::stream::spec::{HlsParams, StreamSpec, Transport};
    use rsm_shared::wire::messages::TicketReason;

    fn desired(epoch: u64, state: Want) -> Desired {
        let spec = StreamSpec {
            url: CameraUrl::parse("rtsp://127.0.0.1/cam1").unwrap().url,
            credentials: None,
            transport: Transport::Auto,
            hls: HlsParams { segment_seconds: 2, window_segments: 6 },
        };
        Desired { v: 1, cam: Slug::parse("yard").unwrap(), epoch: Epoch(epoch), state, spec: Some(spec) }
    }

    #[test]
    fn claims_only_the_newest_running_placement() {
        let ticket = Ticket {
            v: 1,
            cam: Slug::parse("yard").unwrap(),
            zone: Zone::default_zone(),
            epoch: Epoch(5),
            reason: TicketReason::Start,
            media_sequence: 0,
            discontinuity_sequence: 0,
            avoid: None,
        };
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
            assert_eq!(verdict(&ticket, record.as_ref(), owned_here), want, "{record:?}");
        }
    }
}
