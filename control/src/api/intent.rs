//! The state that one registered stream should be in.

use std::time::Duration;

use rsm_model::stream::names::Zone;
use rsm_model::stream::slug::Slug;

/// The wishes of operators and viewers for one registered stream, at the moment of a pass.
#[derive(Clone, Debug)]
pub struct StreamIntent {
    pub slug: Slug,
    pub zone: Zone,
    /// No operator has stopped it.
    pub enabled: bool,
    pub always_on: bool,
    /// The camera serves one session only.
    pub exclusive: bool,
    /// A placement made for another revision is out of date.
    pub spec_rev: i64,
    /// A viewer wants it now.
    pub demanded: bool,
    /// Time since the last viewer left; `None` when this process has seen no viewer of it.
    pub unwanted_for: Option<Duration>,
}
