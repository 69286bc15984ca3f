//! Connections to NATS, and what is known of them.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event, ServerError};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::REQUEST_DEADLINE;
use crate::config::NatsConfig;

/// Commands that wait in the client while the connection is away. Control messages are small and few.
const CONTROL_QUEUE: usize = 256;
/// Messages that wait per control subscription: a round of demand for every stream of a farm comes in one burst, and
/// each is small.
const CONTROL_SUBSCRIPTION: usize = 16_384;
/// Frames that wait in the publishing client: more would only be flushed stale after a reconnect.
const FRAME_QUEUE: usize = 4;
/// Frames that wait per frame subscription; its reader drains at once into a newest-frame slot.
const FRAME_SUBSCRIPTION: usize = 16;
/// The client gives a connection up after three missed pings: a dead server is noticed within 3 s.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest pause between two tries to connect; a restarted server is found within this time.
const RECONNECT_MAX: Duration = Duration::from_millis(1000);

/// A connection and its JetStream context. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(super) client: Client,
    pub(super) js: jetstream::Context,
    connects: watch::Receiver<u64>,
}

/// What a connection is for: decides its queues. Media has one of its own, so that a stalled reader of frames
/// never delays a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Control,
    Frames,
}

/// The configuration names no usable server.
#[derive(Debug, thiserror::Error)]
#[error("nats.urls: {0}")]
pub struct BadServers(String);

impl Bus {
    /// A connection named `name` (shown by the server). Returns at once: connecting goes on in the background, for
    /// ever, and [`Bus::connected`] tells.
    ///
    /// # Errors
    /// [`BadServers`] when no address of the configuration can be used.
    pub async fn connect(config: &NatsConfig, purpose: Purpose, name: &str) -> Result<Self, BadServers> {
        let (connects_tx, connects) = watch::channel(0_u64);
        let label = name.to_owned();
        let (queue, subscription) = match purpose {
            Purpose::Control => (CONTROL_QUEUE, CONTROL_SUBSCRIPTION),
            Purpose::Frames => (FRAME_QUEUE, FRAME_SUBSCRIPTION),
        };
        let mut options = ConnectOptions::new()
            .name(name)
            .no_echo()
            .retry_on_initial_connect()
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Some(REQUEST_DEADLINE))
            .ping_interval(PING_INTERVAL)
            .client_capacity(queue)
            .subscription_capacity(subscription)
            .reconnect_delay_callback(|attempt| {
                RECONNECT_MAX.min(Duration::from_millis(50 * (1 << attempt.min(5)) as u64))
            })
            .event_callback(move |event| {
                report(&label, &event);
                if matches!(event, Event::Connected) {
                    connects_tx.send_modify(|n| *n += 1);
                }
                std::future::ready(())
            });
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            options = options.user_and_password(user.clone(), password.expose().to_owned());
        }
        let client = options.connect(&config.urls[..]).await.map_err(|e| BadServers(e.to_string()))?;
        let mut js =
            ContextBuilder::new().timeout(REQUEST_DEADLINE).ack_timeout(REQUEST_DEADLINE).build(client.clone());
        js.set_timeout(REQUEST_DEADLINE);
        Ok(Self { client, js, connects })
    }

    /// Whether the connection stands now.
    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Counts connects: changes each time the connection is made anew from now on.
    pub fn connects(&self) -> watch::Receiver<u64> {
        let mut connects = self.connects.clone();
        connects.mark_unchanged();
        connects
    }

    /// Largest payload the server takes, bytes; 1 MiB, the server's default, before the first connect.
    pub fn max_payload(&self) -> usize {
        self.client.try_server_info().map_or(1 << 20, |info| info.max_payload)
    }

    /// Drops the connection and makes it anew: for when requests time out though it looks connected.
    pub async fn reconnect(&self) {
        let _ = tokio::time::timeout(REQUEST_DEADLINE, self.client.force_reconnect()).await;
    }

    /// Sends what is queued, within a second.
    pub async fn flush(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.client.flush()).await;
    }
}

/// One log line per event, except slow consumers: those come per message and are counted elsewhere.
fn report(name: &str, event: &Event) {
    match event {
        Event::Connected => info!(connection = name, "connected to NATS"),
        Event::Disconnected => warn!(connection = name, "connection to NATS lost, trying again"),
        Event::SlowConsumer(_) => debug!(connection = name, "frames come faster than they are read"),
        Event::ServerError(ServerError::Other(text)) if text.contains("ermissions") => {
            error!(connection = name, "NATS refuses: {text}; the user of this role lacks a permission");
        }
        Event::ServerError(ServerError::AuthorizationViolation) => {
            error!(connection = name, "NATS refuses the user or password; check nats.user and nats.password");
        }
        other => debug!(connection = name, "NATS client: {other}"),
    }
}
