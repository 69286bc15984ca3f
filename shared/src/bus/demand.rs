//! Viewers' demand: soft state, repeated while it holds. Nothing to clean up when a relay dies.

use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;

use super::connect::Bus;
use super::{BusError, decode, encode, within};
use crate::stream::names::Zone;
use crate::stream::slug::Slug;
use crate::wire::messages::DemandMessage;
use crate::wire::subjects;

/// Demand is repeated this often while there is any.
pub const REPEAT: Duration = Duration::from_secs(2);
/// Demand ends when no repeat arrives for this long: two repeats may be lost.
pub const TTL: Duration = Duration::from_secs(6);

/// Publishes the demand of one relay for one stream.
///
/// # Errors
/// [`BusError`] when it could not be queued in time; the next repeat follows.
pub async fn publish(bus: &Bus, zone: &Zone, slug: &Slug, message: &DemandMessage) -> Result<(), BusError> {
    within("publish demand", bus.client.publish(subjects::demand(zone, slug), encode(message))).await
}

/// A listener for demand: a worker's for its zones, the API's for all.
pub struct Demands(SelectAll<Subscriber>);

impl Demands {
    /// Subscribes; holds across reconnects.
    ///
    /// # Errors
    /// [`BusError`] when a subscription could not be queued in time.
    pub async fn open(bus: &Bus, zones: &[Zone]) -> Result<Self, BusError> {
        let mut all = SelectAll::new();
        for zone in zones {
            all.push(within("listen to demand", bus.client.subscribe(subjects::demand_filter(zone))).await?);
        }
        Ok(Self(all))
    }

    /// Subscribes to every zone; holds across reconnects.
    ///
    /// # Errors
    /// [`BusError`] when the subscription could not be queued in time.
    pub async fn open_all(bus: &Bus) -> Result<Self, BusError> {
        let mut all = SelectAll::new();
        all.push(within("listen to demand", bus.client.subscribe(subjects::ALL_DEMAND)).await?);
        Ok(Self(all))
    }

    /// The next demand; `None` once the connection is closed for good. An unreadable message is an error.
    pub async fn next(&mut self) -> Option<Result<(Slug, DemandMessage), BusError>> {
        let message = self.0.next().await?;
        let Some(slug) = subjects::slug_of(&message.subject) else {
            return Some(Err(BusError::Malformed { what: "read demand", detail: "no slug in the subject".into() }));
        };
        Some(decode("read demand", &message.payload).map(|demand| (slug, demand)))
    }
}
