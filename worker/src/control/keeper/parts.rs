//! The parts and inputs of the keeper, and how it ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rsm_control::worker::admission::WorkerStanding;
use rsm_shared::bus::control::Orders;
use rsm_shared::bus::demand;
use rsm_shared::ops::health::Health;
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::Load;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::control::gate::SharedPulse;
use crate::control::intake::{ClaimedStream, Intake};
use crate::stream::engine::Engine;

/// Epochs owned here, read by the tasks that pull tickets: one entry for each slot at most.
pub type OwnedEpochs = Arc<Mutex<HashMap<Slug, Epoch>>>;

/// The parts of the keeper that do not change while it runs.
pub struct KeeperParts {
    /// Has the bus, the names and the slots, and carries out offers of the API.
    pub intake: Intake,
    /// `host:port` where metrics, health and segments are served, as heartbeats report it.
    pub http: String,
    pub engine: Arc<Engine>,
    /// The runtime of media.
    pub media: Handle,
    /// Streams of exclusive cameras end when this worker is cut off for longer than this.
    pub hold: Duration,
    /// Longest time that streams go on after the process was told to stop.
    pub drain: Duration,
    pub pulse: SharedPulse,
    pub standing: watch::Sender<WorkerStanding>,
    pub owned: OwnedEpochs,
    pub health: Health,
    pub nats_connected: prometheus::IntGauge,
}

/// The inputs of the keeper.
pub struct KeeperInputs {
    pub starts: mpsc::Receiver<ClaimedStream>,
    pub orders: Orders,
    pub demands: demand::Demands,
    pub load: watch::Receiver<Load>,
}

/// Why the keeper ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperEnd {
    /// The process was told to stop.
    Stopped,
    /// The process was told to stop, and others have taken over all streams. Players may fetch the segments that it left
    /// until that time.
    HandedOver { until: Instant },
    /// Another live worker has this name.
    NameTaken,
    /// The connection to NATS was closed for good.
    Closed,
}
