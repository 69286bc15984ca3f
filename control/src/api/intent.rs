//! The state that one registered stream should be in.

use std::time::Instant;

use rsm_model::stream::names::Zone;
use rsm_model::stream::slug::Slug;

/// The wishes of operators and viewers for one registered stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamIntent {
    pub slug: Slug,
    /// Id of its link: of two streams whose commands are equally urgent, the one that was registered first goes first.
    pub id: i64,
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
    /// When the last viewer left; `None` when this process has seen no viewer of it, or one is there.
    pub unwanted_since: Option<Instant>,
}
