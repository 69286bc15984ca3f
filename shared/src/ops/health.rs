//! Readiness: the dependencies of a role and their faults; and warnings, which leave the role ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// A dependency that a role cannot work without. A closed set: it is a label, and a key of `/health/ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dependency {
    /// The connection to NATS and the data that NATS stores.
    Nats,
    /// The API's database.
    Store,
    /// The data directory.
    Disk,
    /// Not one of its own making: the process was told to stop.
    Shutdown,
    /// For a worker: the API, which hands out streams.
    Api,
    /// For a relay: the list of streams.
    Directory,
}

impl Dependency {
    pub const ALL: [Self; 6] = [Self::Nats, Self::Store, Self::Disk, Self::Shutdown, Self::Api, Self::Directory];

    /// The name that stands in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Store => "store",
            Self::Disk => "disk",
            Self::Shutdown => "shutdown",
            Self::Api => "api",
            Self::Directory => "directory",
        }
    }
}

/// The subject of a warning, which leaves the role ready. A closed set, as [`Dependency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// The workers that run streams.
    Workers,
}

/// Faults and warnings of a role; at most one sentence for each subject. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    faults: BTreeMap<Dependency, String>,
    warnings: BTreeMap<Concern, String>,
}

/// The body of `/health/ready`.
#[derive(Debug, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why not: a sentence for each dependency that is away.
    pub reasons: BTreeMap<Dependency, String>,
    /// Warnings while it is ready: a sentence for each.
    pub warnings: BTreeMap<Concern, String>,
}

impl Health {
    /// `dependency` is there.
    pub fn well(&self, dependency: Dependency) {
        self.with(|state| state.faults.remove(&dependency));
    }

    /// `dependency` is away, and why.
    pub fn fault(&self, dependency: Dependency, why: impl Into<String>) {
        self.with(|state| state.faults.insert(dependency, why.into()));
    }

    /// `dependency` is away for that reason, or is there.
    pub fn put(&self, dependency: Dependency, why: Option<String>) {
        match why {
            Some(why) => self.fault(dependency, why),
            None => self.well(dependency),
        }
    }

    /// `concern` is not as it should be for that reason, or is.
    pub fn warn(&self, concern: Concern, why: Option<String>) {
        self.with(|state| match why {
            Some(why) => state.warnings.insert(concern, why),
            None => state.warnings.remove(&concern),
        });
    }

    /// The present state.
    pub fn readiness(&self) -> Readiness {
        self.with(|state| Readiness {
            ready: state.faults.is_empty(),
            reasons: state.faults.clone(),
            warnings: state.warnings.clone(),
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_warning_leaves_a_role_ready_and_a_fault_does_not() {
        let health = Health::default();
        let now = || serde_json::to_value(health.readiness()).unwrap();
        assert_eq!(now(), json!({"ready": true, "reasons": {}, "warnings": {}}));
        health.warn(Concern::Workers, Some("none".into()));
        assert_eq!(now(), json!({"ready": true, "reasons": {}, "warnings": {"workers": "none"}}));
        health.put(Dependency::Store, Some("locked".into()));
        health.fault(Dependency::Nats, "away");
        let reasons = json!({"nats": "away", "store": "locked"});
        assert_eq!(now(), json!({"ready": false, "reasons": reasons, "warnings": {"workers": "none"}}));
        health.put(Dependency::Store, None);
        health.well(Dependency::Nats);
        health.warn(Concern::Workers, None);
        assert_eq!(now(), json!({"ready": true, "reasons": {}, "warnings": {}}));
    }

    #[test]
    fn a_dependency_has_one_name() {
        for dependency in Dependency::ALL {
            assert_eq!(serde_json::to_value(dependency).unwrap(), dependency.as_str());
        }
    }
}
