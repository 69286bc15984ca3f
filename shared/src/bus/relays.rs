//! Relays say every few seconds where they are. Nothing is decided by it: it is for monitoring.

use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt as _;

use super::connect::Bus;
use super::{BusError, decode, encode, within};
use crate::wire::messages::RelayHello;
use crate::wire::subjects;

/// A relay says hello this often.
pub const REPEAT: Duration = Duration::from_secs(5);
/// And is forgotten when it was not heard for this long: two hellos may be lost.
pub const TTL: Duration = Duration::from_secs(15);

/// Says that this relay is there.
///
/// # Errors
/// [`BusError`] when it could not be queued in time; the next repeat follows.
pub async fn hello(bus: &Bus, hello: &RelayHello) -> Result<(), BusError> {
    within("say hello", bus.client.publish(subjects::relay(&hello.relay), encode(hello))).await
}

/// A listener for the hellos of all relays.
pub struct Hellos(Subscriber);

impl Hellos {
    /// Subscribes; holds across reconnects.
    ///
    /// # Errors
    /// [`BusError`] when the subscription could not be queued in time.
    pub async fn open(bus: &Bus) -> Result<Self, BusError> {
        within("listen to relays", bus.client.subscribe(subjects::ALL_RELAYS)).await.map(Self)
    }

    /// The next hello; `None` once the connection is closed for good. An unreadable message is an error.
    pub async fn next(&mut self) -> Option<Result<RelayHello, BusError>> {
        let message = self.0.next().await?;
        Some(decode("read a hello", &message.payload))
    }
}
