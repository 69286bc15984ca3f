//! What the keeper is made of, and how it ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rsm_shared::bus::control::Orders;
use rsm_shared::bus::demand;
use rsm_shared::ops::health::Health;
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::Load;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::control::admission::Standing;
use crate::control::gate::SharedPulse;
use crate::control::intake::{Intake, Start};
use crate::stream::engine::Engine;

/// Epochs owned here, for those who pull: one entry for each slot at most.
pub type OwnedEpochs = Arc<Mutex<HashMap<Slug, Epoch>>>;

/// What does not change while the keeper runs.
pub struct Parts {
    /// Knows the bus, the names and the slots, and carries out what the API offers.
    pub intake: Intake,
    /// Where metrics, health and segments are served, as it is told to others.
    pub http: String,
    pub engine: Arc<Engine>,
    /// Where media runs.
    pub media: Handle,
    /// Cut off for longer than this, pipelines stop.
    pub hold: Duration,
    /// How long streams go on at most, once told to end.
    pub drain: Duration,
    pub pulse: SharedPulse,
    pub standing: watch::Sender<Standing>,
    pub owned: OwnedEpochs,
    pub health: Health,
    pub nats_connected: prometheus::IntGauge,
}

/// What it hears.
pub struct Ears {
    pub starts: mpsc::Receiver<Start>,
    pub orders: Orders,
    pub demands: demand::Demands,
    pub load: watch::Receiver<Load>,
}

/// Why the keeper ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// It was told to, and others have taken over all that it had. Until then players may fetch what it left.
    HandedOver { until: Instant },
    /// Another live worker has this name.
    NameTaken,
    /// The connection to NATS was closed for good.
    Closed,
}
