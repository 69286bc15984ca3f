//! The numbers that the arbiter reports while it decides. The API counts them in its metrics; a simulation ignores them.

/// Why the owner of a stream changes. A closed set: it is a metrics label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimChange {
    Claimed,
    Released,
    Failover,
    Drain,
    Rebalance,
    Quarantined,
}

impl ClaimChange {
    /// All changes.
    pub const ALL: [Self; 6] =
        [Self::Claimed, Self::Released, Self::Failover, Self::Drain, Self::Rebalance, Self::Quarantined];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Released => "released",
            Self::Failover => "failover",
            Self::Drain => "drain",
            Self::Rebalance => "rebalance",
            Self::Quarantined => "quarantined",
        }
    }
}

/// The result of a command. A closed set: it is two metrics labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandResult {
    Started,
    NotStarted,
    Stopped,
    NotStopped,
    NotStored,
}

impl CommandResult {
    /// All results.
    pub const ALL: [Self; 5] = [Self::Started, Self::NotStarted, Self::Stopped, Self::NotStopped, Self::NotStored];

    /// The values of the labels: kind and outcome.
    pub fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Started => ["start", "ok"],
            Self::NotStarted => ["start", "error"],
            Self::Stopped => ["stop", "ok"],
            Self::NotStopped => ["stop", "error"],
            Self::NotStored => ["store", "error"],
        }
    }
}

/// Totals over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workforce {
    pub live: usize,
    pub draining: usize,
    /// Fell silent without a goodbye and are not back.
    pub lost: usize,
    /// Streams that the live ones run at most.
    pub capacity: u64,
    /// Streams that they would take now.
    pub room: u64,
}

/// Receives the arbiter's numbers. Calls come from inside a pass, so an implementation must not block.
pub trait Observer: Send {
    /// The owner of a stream changes.
    fn claim_changed(&self, change: ClaimChange);
    /// A command ended.
    fn command_ended(&self, result: CommandResult);
    /// `streams` have an owner.
    fn count_claims(&self, streams: usize);
    /// Totals over the workers, once in each pass.
    fn count_workers(&self, now: Workforce);
}

/// Ignores everything.
impl Observer for () {
    fn claim_changed(&self, _: ClaimChange) {}
    fn command_ended(&self, _: CommandResult) {}
    fn count_claims(&self, _: usize) {}
    fn count_workers(&self, _: Workforce) {}
}
