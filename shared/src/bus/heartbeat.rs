//! Liveness of workers: a core request every second with all that a worker owns, answered by the API. Nothing is
//! stored, so a stalled JetStream cannot look like a dead worker.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt as _;

use super::connect::Bus;
use super::{BusError, decode, encode, within};
use crate::stream::names::WorkerId;
use crate::wire::messages::{Event, Heartbeat, HeartbeatReply};
use crate::wire::subjects;

/// A heartbeat that was not answered by now is lost; the next is due.
const DEADLINE: Duration = Duration::from_millis(900);

/// Result of a heartbeat.
#[derive(Debug)]
pub enum HeartbeatOutcome {
    /// The API answered.
    Answered(HeartbeatReply),
    /// NATS reports that no API listens. Behind a leaf node or in a split cluster that may not be the whole truth.
    NoResponders,
    /// No answer, or no connection.
    Silence,
}

/// Sends one heartbeat and waits for the answer, 900 ms at most.
pub async fn beat(bus: &Bus, heartbeat: &Heartbeat) -> HeartbeatOutcome {
    let request = bus.client.request(subjects::heartbeat(&heartbeat.worker), encode(heartbeat));
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(message)) => decode("read the answer to a heartbeat", &message.payload)
            .map_or(HeartbeatOutcome::Silence, HeartbeatOutcome::Answered),
        Ok(Err(e)) if e.kind() == RequestErrorKind::NoResponders => HeartbeatOutcome::NoResponders,
        Ok(Err(_)) | Err(_) => HeartbeatOutcome::Silence,
    }
}

/// Tells the API a state change. Lost ones do not matter: heartbeats carry the state too.
///
/// # Errors
/// [`BusError`] when it could not be queued in time.
pub async fn tell(bus: &Bus, worker: &WorkerId, event: &Event) -> Result<(), BusError> {
    within("tell a state change", bus.client.publish(subjects::event(worker, &event.cam), encode(event))).await
}

/// Messages of workers to the API.
pub enum WorkerMessage {
    Beat(Box<Heartbeat>, Answer),
    Event(Event),
}

/// Where the answer to a heartbeat goes.
pub struct Answer {
    client: Client,
    message: Message,
}

impl Answer {
    /// Sends it.
    ///
    /// # Errors
    /// [`BusError`] when it could not be queued in time; the worker beats again in a second.
    pub async fn send(self, reply: &HeartbeatReply) -> Result<(), BusError> {
        let Some(to) = self.message.reply else { return Ok(()) };
        within("answer a heartbeat", self.client.publish(to, encode(reply))).await
    }
}

/// The API's listener for heartbeats and events of all workers.
pub struct WorkerListener {
    client: Client,
    beats: Subscriber,
    events: Subscriber,
}

impl WorkerListener {
    /// Subscribes; holds across reconnects.
    ///
    /// # Errors
    /// [`BusError`] when the subscription could not be queued in time.
    pub async fn open(bus: &Bus) -> Result<Self, BusError> {
        let what = "listen to workers";
        let beats = within(what, bus.client.subscribe(subjects::ALL_HEARTBEATS)).await?;
        let events = within(what, bus.client.subscribe(subjects::ALL_EVENTS)).await?;
        Ok(Self { client: bus.client.clone(), beats, events })
    }

    /// The next message; `None` once the connection is closed for good. An unreadable message is an error, and the
    /// listener stays open.
    pub async fn next(&mut self) -> Option<Result<WorkerMessage, BusError>> {
        tokio::select! {
            // A heartbeat that waits was sent before an event that waits, or tells the same: the older word first.
            biased;
            beat = self.beats.next() => {
                let message = beat?;
                Some(decode("read a heartbeat", &message.payload)
                    .map(|beat| WorkerMessage::Beat(Box::new(beat), Answer { client: self.client.clone(), message })))
            }
            event = self.events.next() => Some(decode("read an event", &event?.payload).map(WorkerMessage::Event)),
        }
    }
}
