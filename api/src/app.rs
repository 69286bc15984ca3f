//! The handles of the API: those that serve viewers, and around them those for operators.

use std::sync::Arc;

use prometheus::Registry;
use rsm_shared::bus::connect::Bus;
use rsm_shared::config::Config;
use rsm_shared::ops::health::Health;
use rsm_viewing::viewing::{HandlesError, Viewing, ViewingParts};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;
use crate::directory::items::LinkItems;
use crate::discovery::relays::Relays;
use crate::discovery::workers::WorkerInfo;
use crate::metrics::owners::OwnersCollector;
use crate::operators::change_order::ChangeOrder;
use crate::operators::probe_slots::ProbeSlots;
use crate::store::Store;

/// Everything that a request to the API may need. Handles, no state of its own.
pub struct App {
    /// The handles that serve viewers.
    pub viewing: Arc<Viewing>,
    pub store: Store,
    pub directory: Directory,
    pub changes: ChangeOrder,
    pub workers: watch::Receiver<Vec<WorkerInfo>>,
    pub relays: Relays,
    pub probes: ProbeSlots,
    /// Connection for frames: a worker that probes a camera takes its time, and control does not wait behind it.
    pub frames: Bus,
}

/// Parts of an [`App`].
pub struct AppParts {
    pub config: Config,
    pub store: Store,
    pub directory: Directory,
    /// Connection for control: demand goes over it.
    pub control: Bus,
    /// Connection for frames.
    pub frames: Bus,
    pub health: Health,
    /// With the metrics that every role has.
    pub registry: Registry,
    pub workers: watch::Receiver<Vec<WorkerInfo>>,
    pub stop: CancellationToken,
}

impl App {
    /// Puts the handles together and registers the metrics; nothing runs yet.
    ///
    /// # Errors
    /// As [`Viewing::new`].
    pub fn new(parts: AppParts) -> Result<Arc<Self>, HandlesError> {
        let AppParts { config, store, directory, control, frames, health, registry, workers, stop } = parts;
        let streams = directory.streams.clone();
        registry.register(Box::new(OwnersCollector::new(streams.clone())?))?;
        let viewing = Viewing::new(ViewingParts {
            hls_root: Some(config.hls_root()),
            config,
            streams,
            items: Arc::new(LinkItems(directory.clone())),
            control,
            frames: frames.clone(),
            health,
            registry,
            stop,
        })?;
        let (changes, relays, probes) = (ChangeOrder::default(), Relays::default(), ProbeSlots::default());
        Ok(Arc::new(Self { viewing, store, directory, changes, workers, relays, probes, frames }))
    }
}
