//! The placement of a stream as the database keeps it.

use rsm_model::stream::fence::Epoch;
use rsm_model::stream::names::Zone;
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::Want;

/// The last placement of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub slug: Slug,
    pub zone: Zone,
    pub epoch: Epoch,
    pub want: Want,
    /// The link's `spec_rev` that it was made for.
    pub spec_rev: i64,
    /// Discontinuity sequence number that its playlist begins with: one more than its predecessor's at least.
    pub discontinuity: u64,
}

/// The numbers that were seen outside the database; a new placement goes beyond them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlacementFloor {
    /// The largest epoch that was seen.
    pub epoch: Option<Epoch>,
    /// The smallest discontinuity sequence number that a new owner may begin with.
    pub discontinuity: u64,
}
