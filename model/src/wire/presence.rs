//! The answer to the question whether a worker process is there.

/// The result of asking one worker process, within the deadline of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It answered.
    Present,
    /// NATS reports that no subscriber exists for its subject.
    Gone,
    /// No answer came in time.
    Unknown,
}
