//! The trace that the start of a stream belongs to: many requests share one start, and the first one's trace has it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rsm_shared::wire::messages::TicketReason;
use rsm_shared::wire::trace_context::TraceContext;

/// Two first requests within this time belong to one start.
const TOGETHER: Duration = Duration::from_secs(2);
/// A request this old is no longer sent to workers as the cause of a start.
const RECENT: Duration = Duration::from_secs(30);

/// Traces of the starts of one stream. Empty while traces are off.
#[derive(Debug, Default)]
pub struct StartTrace(Mutex<KnownStart>);

#[derive(Debug, Default)]
struct KnownStart {
    request: Option<(TraceContext, Instant)>,
    /// True when a placement was made for that request.
    placed_for_request: bool,
    /// The newest placement.
    placed: Option<TraceContext>,
}

/// The place of a placement's span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanPlace {
    pub under: Option<TraceContext>,
    /// A related span, when the placement begins a trace of its own.
    pub linked: Option<TraceContext>,
}

impl StartTrace {
    /// A request waits for an output that is not made yet. `first`: there was no demand for the stream before. Returns the
    /// request that the start belongs to, when that is another one.
    pub fn wanted(&self, request: TraceContext, first: bool, now: Instant) -> Option<TraceContext> {
        let mut known = self.0.lock();
        let counts = if first { TOGETHER } else { RECENT };
        match known.request {
            Some((other, _)) if other.trace() == request.trace() => None,
            Some((other, at)) if now.saturating_duration_since(at) < counts => Some(other),
            _ => {
                known.request = Some((request, now));
                known.placed_for_request = false;
                None
            }
        }
    }

    /// The request that workers get as the cause of a start, if it is new enough.
    pub fn recent(&self, now: Instant) -> Option<TraceContext> {
        let known = self.0.lock();
        known.request.filter(|(_, at)| now.saturating_duration_since(*at) < RECENT).map(|(request, _)| request)
    }

    /// The place of a placement's span: the first placement for a request belongs to it, every other one begins a trace.
    pub fn place(&self, reason: TicketReason, now: Instant) -> SpanPlace {
        let mut known = self.0.lock();
        let request =
            known.request.filter(|(_, at)| now.saturating_duration_since(*at) < RECENT).map(|(request, _)| request);
        let starts = matches!(reason, TicketReason::Start | TicketReason::Change);
        if starts && !known.placed_for_request && request.is_some() {
            known.placed_for_request = true;
            return SpanPlace { under: request, linked: None };
        }
        SpanPlace { under: None, linked: known.placed.or(request) }
    }

    /// A placement has this span.
    pub fn placed(&self, span: Option<TraceContext>) {
        if span.is_some() {
            self.0.lock().placed = span;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(trace: u128) -> TraceContext {
        TraceContext::new(trace, 1, true).unwrap()
    }

    #[test]
    fn later_requests_are_linked_to_the_one_that_the_start_belongs_to() {
        let (start, now) = (StartTrace::default(), Instant::now());
        assert_eq!(start.wanted(context(1), true, now), None);
        assert_eq!(start.wanted(context(2), true, now + Duration::from_secs(1)), Some(context(1)));
        assert_eq!(start.wanted(context(3), false, now + Duration::from_secs(20)), Some(context(1)));
        assert_eq!(start.wanted(context(1), false, now), None, "it is not linked to itself");
        assert_eq!(start.recent(now), Some(context(1)));
        assert_eq!(start.wanted(context(4), true, now + Duration::from_secs(5)), None, "a start of its own");
        assert_eq!(start.recent(now + Duration::from_secs(40)), None);
    }

    #[test]
    fn a_placement_belongs_to_the_request_and_each_further_one_to_a_trace_of_its_own() {
        let (start, now) = (StartTrace::default(), Instant::now());
        assert_eq!(start.place(TicketReason::Start, now), SpanPlace::default(), "always on: no request caused it");
        start.wanted(context(1), true, now);
        assert_eq!(start.place(TicketReason::Start, now), SpanPlace { under: Some(context(1)), linked: None });
        start.placed(Some(context(1)));
        for reason in [TicketReason::Retry, TicketReason::Failover, TicketReason::Start] {
            assert_eq!(start.place(reason, now), SpanPlace { under: None, linked: Some(context(1)) }, "{reason:?}");
        }
    }
}
