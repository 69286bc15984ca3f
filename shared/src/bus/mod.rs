//! The one place that talks to NATS. Everything here has a deadline, and its errors name the failed step.

pub mod claims;
pub mod connect;
mod connection_log;
mod consumers;
pub mod control;
pub mod demand;
pub mod diagnosis;
pub mod directory;
pub mod frames;
pub mod heartbeat;
pub mod probe;
mod refusals;
pub mod registers;
pub mod relays;
pub mod tickets;
pub mod topology;

use std::time::Duration;

/// Deadline of one request on the control connection. A JetStream write takes 0.2 ms; two seconds also pass a
/// server that is being restarted, and no caller waits longer.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(2);

/// Errors of the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("{what}: no answer from NATS within {} s", REQUEST_DEADLINE.as_secs())]
    Deadline { what: &'static str },
    #[error("{what}: {detail}")]
    Failed { what: &'static str, detail: String },
    #[error("{what}: the message is not readable: {detail}")]
    Malformed { what: &'static str, detail: String },
}

impl BusError {
    fn failed(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |e| Self::Failed { what, detail: crate::ops::telemetry::Causes(&*e).to_string() }
    }
}

/// Runs `work` under [`REQUEST_DEADLINE`]. The client's own timeouts begin only once a request is queued, so they
/// do not bound a call made while the connection is away.
async fn within<T, E>(what: &'static str, work: impl Future<Output = Result<T, E>>) -> Result<T, BusError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match tokio::time::timeout(REQUEST_DEADLINE, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(BusError::failed(what)(Box::new(e))),
        Err(_) => Err(BusError::Deadline { what }),
    }
}

fn decode<T: serde::de::DeserializeOwned>(what: &'static str, payload: &[u8]) -> Result<T, BusError> {
    if payload.len() > crate::wire::messages::MAX_MESSAGE_LEN {
        return Err(BusError::Malformed { what, detail: format!("{} bytes are too many", payload.len()) });
    }
    serde_json::from_slice(payload).map_err(|e| BusError::Malformed { what, detail: e.to_string() })
}

fn encode<T: serde::Serialize>(message: &T) -> bytes::Bytes {
    // Messages are plain structs with string keys: serialising one cannot fail.
    serde_json::to_vec(message).unwrap_or_default().into()
}
