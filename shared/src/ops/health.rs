//! Readiness: what a role depends on, and whether it is there now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Faults by dependency. Few: one entry for each dependency of a role. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, String>>>);

/// The body of `/health/ready`.
#[derive(Debug, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why not: a sentence for each dependency that is away.
    pub reasons: BTreeMap<&'static str, String>,
}

impl Health {
    /// `dependency` is there.
    pub fn well(&self, dependency: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(dependency);
    }

    /// `dependency` is away, and why.
    pub fn fault(&self, dependency: &'static str, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(dependency, why.into());
    }

    /// What is known now.
    pub fn readiness(&self) -> Readiness {
        let reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Readiness { ready: reasons.is_empty(), reasons }
    }
}
