//! The state of a stream that clients see, derived from its link, its placement and the reports of its owner.

use rsm_model::stream::state::{Reason, ReasonCode, StreamState};

use super::suspects::HoldBack;

/// The facts that decide the state.
pub struct StateInputs<'a> {
    pub enabled: bool,
    pub wanted: bool,
    /// A viewer watches it.
    pub demanded: bool,
    /// State and reason as the owner of the newest placement reports them.
    pub owner: Option<(StreamState, Option<&'a Reason>)>,
    /// It must not start now.
    pub hold_back: Option<HoldBack>,
    /// Live workers of the stream's zone, and their free slots.
    pub workers: usize,
    pub free: u32,
    pub zone: &'a str,
}

/// State and reason for clients.
pub fn client_state(seen: &StateInputs<'_>) -> (StreamState, Option<Reason>) {
    if !seen.enabled {
        return (StreamState::Stopped, None);
    }
    if !seen.wanted {
        return (StreamState::Idle, None);
    }
    if let Some((state, reason)) = &seen.owner {
        let state = if *state == StreamState::Unknown { StreamState::Starting } else { *state };
        return (state, reason.cloned());
    }
    match seen.hold_back {
        Some(HoldBack::Quarantined(left)) => {
            let text = format!(
                "Its worker died right after starting it, again and again. It is tried again in {} minutes, or when you \
                 change it, or stop and start it.",
                left.as_secs().div_ceil(60)
            );
            return (StreamState::Failed, Some(Reason { code: ReasonCode::Quarantined, text }));
        }
        Some(HoldBack::AwaitsTrial) => {
            let text = "Workers died right after starting it and others. They are tried one at a time.".to_owned();
            return (StreamState::Starting, Some(Reason { code: ReasonCode::Quarantined, text }));
        }
        None => {}
    }
    let text = if seen.workers == 0 {
        format!("No worker is running for zone {}. Start one with `rsm worker`, or `rsm up` for everything.", seen.zone)
    } else if seen.free == 0 {
        format!(
            "All {} workers of zone {} are full. Start another, or raise worker.capacity or worker.max_memory_percent.",
            seen.workers, seen.zone
        )
    } else if !seen.demanded && seen.free as usize <= seen.workers {
        // The free slots may be the last ones of their workers, which are kept for streams with viewers.
        format!(
            "It has no viewers, and the last free slot of each of the {} workers of zone {} is kept for streams that have \
             viewers. Start another, or raise worker.capacity.",
            seen.workers, seen.zone
        )
    } else {
        return (StreamState::Starting, None);
    };
    (StreamState::Starting, Some(Reason { code: ReasonCode::NoWorker, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_comes_first_then_viewers_then_the_worker() {
        let reason = Reason { code: ReasonCode::Refused, text: "refused".into() };
        let seen = |enabled, wanted, owner, workers, free| StateInputs {
            enabled,
            wanted,
            demanded: true,
            owner,
            hold_back: None,
            workers,
            free,
            zone: "z",
        };
        let running = Some((StreamState::Running, None));
        for (seen, want) in [
            (seen(false, true, running, 1, 1), (StreamState::Stopped, None)),
            (seen(true, false, running, 1, 1), (StreamState::Idle, None)),
            (seen(true, true, running, 1, 1), (StreamState::Running, None)),
            (seen(true, true, Some((StreamState::Unknown, None)), 1, 1), (StreamState::Starting, None)),
            (
                seen(true, true, Some((StreamState::Reconnecting, Some(&reason))), 1, 1),
                (StreamState::Reconnecting, Some(ReasonCode::Refused)),
            ),
            (seen(true, true, None, 1, 1), (StreamState::Starting, None)),
            (seen(true, true, None, 1, 0), (StreamState::Starting, Some(ReasonCode::NoWorker))),
            (seen(true, true, None, 0, 0), (StreamState::Starting, Some(ReasonCode::NoWorker))),
        ] {
            let (state, reason) = client_state(&seen);
            assert_eq!((state, reason.map(|r| r.code)), want);
        }
        let last_slots = |demanded, workers, free| {
            let (state, reason) = client_state(&StateInputs { demanded, ..seen(true, true, None, workers, free) });
            assert_eq!(state, StreamState::Starting);
            reason.map(|r| r.text.contains("kept for streams that have viewers"))
        };
        for (demanded, workers, free, want) in [
            (false, 2, 1, Some(true)),
            (false, 2, 2, Some(true)),
            (false, 2, 3, None),
            (true, 2, 2, None),
            (false, 2, 0, Some(false)),
            (false, 0, 0, Some(false)),
        ] {
            assert_eq!(last_slots(demanded, workers, free), want, "{demanded} {workers} {free}");
        }
        let aside = Some(HoldBack::Quarantined(std::time::Duration::from_secs(61)));
        let (state, reason) = client_state(&StateInputs { hold_back: aside, ..seen(true, true, None, 1, 1) });
        assert_eq!(state, StreamState::Failed);
        assert!(reason.is_some_and(|r| r.text.contains("in 2 minutes")));
    }
}
