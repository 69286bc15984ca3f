//! Metrics that only the API has: control, and the owners of streams. No label holds an address or a credential; every
//! label set is closed or bounded by `api.max_links`.

pub mod control;
pub mod owners;

use rsm_shared::ops::metrics::table::Spec;

use self::control::ControlTable;
use self::owners::OwnersTable;

/// Every metric that the API has and a relay has not.
pub fn specs() -> impl Iterator<Item = &'static Spec> {
    [OwnersTable::SPECS, ControlTable::SPECS].into_iter().flatten()
}
