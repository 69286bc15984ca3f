//! Metrics of serving viewers: counters along the way, and values that are looked up when Prometheus asks.
//! No label holds an address or a credential; every label set is closed or bounded by `api.max_links`.

pub mod observed;
pub mod samples;
pub mod serving;

use rsm_shared::ops::metrics::table::Spec;

use self::observed::ObservedTable;
use self::serving::ServingTable;

/// Every metric of a process that serves viewers, beside those of every role.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    [ServingTable::SPECS, ObservedTable::SPECS].into_iter().flatten()
}
