//! The error of a process that cannot serve viewers.

use rsm_shared::bus::connect::BadServers;

use crate::viewing::HandlesError;

/// One line for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Servers(#[from] BadServers),
    #[error("NATS: {0}")]
    Bus(#[from] rsm_shared::bus::BusError),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error(transparent)]
    Handles(#[from] HandlesError),
    #[error("{0}")]
    Environment(String),
    #[error("HTTP: {0}")]
    Http(#[from] std::io::Error),
}
