//! The durable consumers of start tickets, one for each zone and priority: made when missing, and made anew when they
//! have fallen out of step with their stream.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, Info, ReplayPolicy, pull};
use async_nats::jetstream::stream::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tracing::warn;

use super::connect::Bus;
use super::{BusError, REQUEST_DEADLINE, within};
use crate::stream::names::Zone;
use crate::wire::messages::Priority;
use crate::wire::subjects;

/// A ticket that was pulled and not acknowledged goes to another worker after this time.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// Pulled and not yet acknowledged tickets of one consumer.
const MAX_ACK_PENDING: i64 = 20_000;
/// Workers that wait at one consumer.
const MAX_WAITING: i64 = 512;
/// Consumers that are made at the same time.
const AT_ONCE: usize = 8;
/// Two copies of a cluster may disagree for a moment; a difference that lasts longer than this is a fault.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Makes and repairs the consumers of `zones`. One question when all is well.
pub(super) async fn ensure(bus: &Bus, zones: &[Zone]) -> Result<(), BusError> {
    let found = list(bus).await?;
    // Asked after the list: tickets that came in between must not make a consumer look ahead of its stream.
    let mut last_sequence = None;
    if found.values().any(|info| info.delivered.stream_sequence > 0) {
        last_sequence = Some(last_sequence_of(bus).await?);
    }
    let mut work = Vec::new();
    for zone in zones {
        for priority in Priority::ALL {
            let wanted = config(zone, priority);
            match found.get(&subjects::start_consumer(zone, priority)) {
                None => work.push(Repair::Make(wanted)),
                Some(info) if last_sequence.is_some_and(|last| info.delivered.stream_sequence > last) => {
                    work.push(Repair::Check(wanted));
                }
                Some(info) if !fits(&info.config, &wanted) => work.push(Repair::Change(wanted)),
                Some(_) => {}
            }
        }
    }
    futures_util::stream::iter(work)
        .map(|repair| carry_out(bus, repair))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .map(drop)
}

enum Repair {
    /// It is missing.
    Make(pull::Config),
    /// Its configuration is not ours.
    Change(pull::Config),
    /// It seems to be ahead of its stream.
    Check(pull::Config),
}

async fn carry_out(bus: &Bus, repair: Repair) -> Result<(), BusError> {
    match repair {
        Repair::Make(config) => make(bus, config).await,
        Repair::Change(config) => match make(bus, config.clone()).await {
            Ok(()) => Ok(()),
            // Not everything can be changed in place.
            Err(_) => remake(bus, config, "its configuration was not ours").await,
        },
        Repair::Check(config) => {
            tokio::time::sleep(SECOND_LOOK).await;
            if is_ahead(bus, &config).await? {
                return remake(bus, config, "it was ahead of its stream, which had lost tickets").await;
            }
            Ok(())
        }
    }
}

/// Removes a consumer and makes it again: tickets that are stored are handed out from the first one on. One that was
/// already claimed meets its claim.
pub(super) async fn recreate(bus: &Bus, zone: &Zone, priority: Priority, why: &'static str) -> Result<(), BusError> {
    remake(bus, config(zone, priority), why).await
}

async fn remake(bus: &Bus, config: pull::Config, why: &'static str) -> Result<(), BusError> {
    let name = config.durable_name.clone().unwrap_or_default();
    warn!(repeats = true, consumer = name, why, "the consumer of start tickets is made anew");
    let delete = bus.js.delete_consumer_from_stream(&name, subjects::COMMANDS_STREAM);
    // Not there: just as well. Anything else: making it fails too, and says why.
    let _ = tokio::time::timeout(REQUEST_DEADLINE, delete).await;
    make(bus, config).await
}

async fn make(bus: &Bus, config: pull::Config) -> Result<(), BusError> {
    // Creating one that is there with the same configuration changes nothing.
    let made = bus.js.create_consumer_on_stream(config, subjects::COMMANDS_STREAM);
    within("create a consumer of start tickets", made).await.map(drop)
}

async fn list(bus: &Bus) -> Result<HashMap<String, Info>, BusError> {
    let stream = commands(bus).await?;
    let all = stream.consumers().map_ok(|info| (info.name.clone(), info)).try_collect();
    within("list the consumers of start tickets", all).await
}

/// A work queue's sequence starts again when its server lost the end of its store; the consumer then waits for numbers
/// that come much later, and hands out nothing until then.
async fn is_ahead(bus: &Bus, config: &pull::Config) -> Result<bool, BusError> {
    let what = "look at a consumer of start tickets";
    let name = config.durable_name.clone().unwrap_or_default();
    let found = bus.js.get_consumer_from_stream::<pull::Config, _, _>(name, subjects::COMMANDS_STREAM);
    let delivered = within(what, found).await?.cached_info().delivered.stream_sequence;
    Ok(delivered > last_sequence_of(bus).await?)
}

async fn last_sequence_of(bus: &Bus) -> Result<u64, BusError> {
    let found = within("look up the queue of start tickets", bus.js.get_stream(subjects::COMMANDS_STREAM)).await?;
    Ok(found.cached_info().state.last_sequence)
}

async fn commands(bus: &Bus) -> Result<Stream<()>, BusError> {
    within("look up the queue of start tickets", bus.js.get_stream_no_info(subjects::COMMANDS_STREAM)).await
}

/// The consumer of one zone and priority. Filters of a work queue must not overlap; these cannot.
fn config(zone: &Zone, priority: Priority) -> pull::Config {
    pull::Config {
        durable_name: Some(subjects::start_consumer(zone, priority)),
        filter_subject: subjects::start_filter(zone, priority),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        // Anything else leaves messages that used up their deliveries in the stream for ever.
        max_deliver: -1,
        max_ack_pending: MAX_ACK_PENDING,
        max_waiting: MAX_WAITING,
        deliver_policy: DeliverPolicy::All,
        replay_policy: ReplayPolicy::Instant,
        ..pull::Config::default()
    }
}

fn fits(found: &consumer::Config, wanted: &pull::Config) -> bool {
    found.deliver_subject.is_none()
        && found.filter_subject == wanted.filter_subject
        && found.ack_policy == wanted.ack_policy
        && found.ack_wait == wanted.ack_wait
        && found.max_deliver == wanted.max_deliver
        && found.max_ack_pending == wanted.max_ack_pending
        && found.max_waiting == wanted.max_waiting
        && found.deliver_policy == wanted.deliver_policy
        && found.replay_policy == wanted.replay_policy
}
