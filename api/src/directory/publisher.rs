//! Publishes the directory of streams to relays: compares each stream's state with its record on NATS, and writes the
//! differences. Woken by changes and by time; at rest it writes nothing. The records are read again after every reconnect
//! and failure, so that a wiped store is filled again, and records of links that went meanwhile are found.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rsm_shared::backoff::jittered;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::{BusError, directory};
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::{WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::JpegParams;
use rsm_shared::wire::messages::{DirectoryOwner, DirectoryRecord, VERSION};
use rsm_viewing::streams::{Offer, Stream, Streams, View};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Interval of rounds without a wake-up.
const ROUND: Duration = Duration::from_secs(20);
/// At most this long after a failure; half of it at least.
const RETRY: Duration = Duration::from_secs(1);
/// So many failures in a row are worth a warning: at a first start the store is being made meanwhile.
const FAILURES: u32 = 3;
/// Least time between two rounds.
const LEAST_PAUSE: Duration = Duration::from_millis(200);
/// Writes under way.
const MAX_WRITES: usize = 32;
/// A record says for this long that its link was removed, then it goes.
const REMOVED: Duration = Duration::from_secs(60);

/// The task that writes the directory.
pub struct DirectoryPublisher {
    bus: Bus,
    streams: Streams,
    /// JPEG settings of links that have none of their own.
    defaults: JpegParams,
    /// After a connect, owners are not heard at once: their stored records stay for this long.
    settle: Duration,
    /// Stored records, as far as this process knows: of the registered streams, and for a while of those removed.
    stored: HashMap<Slug, StoredRecord>,
}

/// One stored record.
struct StoredRecord {
    record: DirectoryRecord,
    /// Offer and state that it was made from: most comparisons end here, without making it again.
    of: Option<(Arc<Offer>, Arc<View>)>,
    /// When it was seen to be removed.
    removed: Option<Instant>,
}

/// A change of one record.
enum RecordWrite {
    /// Inside, the zone that the stream has left: the record there goes after the new one is written. Relays know the
    /// stream by its slug, and see no removal.
    Put(Box<StoredRecord>, Option<Zone>),
    Purge(Box<DirectoryRecord>),
}

impl DirectoryPublisher {
    /// Publishes `streams` over the control connection.
    pub fn new(bus: Bus, streams: Streams, defaults: JpegParams, settle: Duration) -> Self {
        Self { bus, streams, defaults, settle, stored: HashMap::new() }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut connects = self.bus.connects();
        let mut settled = Instant::now() + self.settle;
        let mut next = Instant::now();
        let (mut known, mut failures) = (false, 0_u32);
        let unpublished = self.streams.unpublished.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = connects.changed() => {
                    known = false;
                    settled = Instant::now() + self.settle;
                }
                () = tokio::time::sleep_until(next) => {}
                () = unpublished.notified() => {}
            }
            if !self.bus.connected() {
                next = Instant::now() + jittered(RETRY, rand::random());
                continue;
            }
            let timed = Instant::now() >= next;
            match self.round(known, timed, settled).await {
                Ok(()) => {
                    if timed || !known {
                        next = Instant::now() + ROUND;
                    }
                    if Instant::now() < settled {
                        next = next.min(settled);
                    }
                    (known, failures) = (true, 0);
                }
                Err(e) => {
                    // Some of the writes may have been carried out.
                    (known, failures) = (false, failures.saturating_add(1));
                    if failures == FAILURES {
                        warn!(repeats = true, error = %e, "the directory of streams cannot be published to relays, trying again");
                    } else {
                        debug!(error = %e, "the directory of streams was not published");
                    }
                    next = Instant::now() + jittered(RETRY, rand::random());
                }
            }
            tokio::time::sleep(LEAST_PAUSE).await;
        }
    }

    async fn round(&mut self, known: bool, timed: bool, settled: Instant) -> Result<(), BusError> {
        let mut known = known;
        if known && timed {
            let stored = u64::try_from(self.stored.len()).unwrap_or(u64::MAX);
            known = directory::count(&self.bus).await? >= stored;
            if !known {
                warn!("NATS has lost records for relays; writing them again");
            }
        }
        if !known {
            let now = Instant::now();
            let records = directory::read_all(&self.bus).await?;
            self.stored.clear();
            for record in records {
                let (cam, removed) = (record.cam.clone(), record.removed.then_some(now));
                // They come in the order in which they were written: an older one is in a zone that the stream left.
                if let Some(older) = self.stored.insert(cam.clone(), StoredRecord { record, of: None, removed }) {
                    directory::purge(&self.bus, &older.record.zone, &cam).await?;
                }
            }
        }
        let writes = self.due(Instant::now(), settled);
        let (mut failed, count) = (None, writes.len());
        let bus = &self.bus;
        let mut done = stream::iter(writes.into_iter().map(|write| async move {
            let result = match &write {
                RecordWrite::Put(stored, left) => match (directory::put(bus, &stored.record).await, left) {
                    (Ok(()), Some(zone)) => directory::purge(bus, zone, &stored.record.cam).await,
                    (result, _) => result,
                },
                RecordWrite::Purge(record) => directory::purge(bus, &record.zone, &record.cam).await,
            };
            (write, result)
        }))
        .buffer_unordered(MAX_WRITES);
        while let Some((write, result)) = done.next().await {
            match (write, result) {
                (_, Err(e)) => failed = Some(e),
                (RecordWrite::Put(stored, _), Ok(())) => drop(self.stored.insert(stored.record.cam.clone(), *stored)),
                (RecordWrite::Purge(record), Ok(())) => drop(self.stored.remove(&record.cam)),
            }
        }
        if count > MAX_WRITES {
            info!(records = count, "published records of streams to relays");
        }
        failed.map_or(Ok(()), Err)
    }

    /// Writes that are due, removals first: an id may be in use again.
    fn due(&self, now: Instant, settled: Instant) -> Vec<RecordWrite> {
        let mut writes = Vec::new();
        for (slug, stored) in &self.stored {
            if self.streams.by_slug(slug.as_str()).is_some() {
                continue;
            }
            match stored.removed {
                None => {
                    let record = DirectoryRecord { removed: true, owner: None, ..stored.record.clone() };
                    writes
                        .push(RecordWrite::Put(Box::new(StoredRecord { record, of: None, removed: Some(now) }), None));
                }
                Some(at) if now.duration_since(at) >= REMOVED => {
                    writes.push(RecordWrite::Purge(Box::new(stored.record.clone())));
                }
                Some(_) => {}
            }
        }
        for stream in self.streams.all() {
            let (offer, view) = (stream.offer(), stream.view());
            let stored = self.stored.get(&stream.slug);
            let of = stored.and_then(|stored| stored.of.as_ref());
            if of.is_some_and(|(o, v)| Arc::ptr_eq(o, &offer) && (Arc::ptr_eq(v, &view) || v.is_same_to_relays(&view)))
            {
                continue;
            }
            if now < settled && stored.is_some_and(|stored| is_unheard(&stored.record, &offer, &view)) {
                continue;
            }
            let record = record(&stream, &offer, &view, self.defaults);
            if stored.is_none_or(|stored| stored.record != record) {
                let left = stored.map(|stored| &stored.record.zone).filter(|zone| **zone != record.zone).cloned();
                writes.push(RecordWrite::Put(
                    Box::new(StoredRecord { record, of: Some((offer, view)), removed: None }),
                    left,
                ));
            }
        }
        writes
    }
}

/// True when the only difference may be that the owner's first heartbeat has not come yet.
fn is_unheard(stored: &DirectoryRecord, offer: &Offer, view: &View) -> bool {
    let same_placement = view.epoch.is_none() || view.epoch.map(Epoch) == stored.epoch;
    stored.owner.is_some() && view.fence.is_none() && same_placement && offer.enabled == stored.enabled
}

/// The record of a stream for relays.
fn record(stream: &Stream, offer: &Offer, view: &View, defaults: JpegParams) -> DirectoryRecord {
    let owner = || {
        let worker = WorkerId::parse(view.worker.as_deref()?).ok()?;
        Some(DirectoryOwner { worker, fence: view.fence?, http: view.http.clone()? })
    };
    DirectoryRecord {
        v: VERSION,
        cam: stream.slug.clone(),
        id: offer.id,
        name: offer.name.clone(),
        zone: offer.zone.clone(),
        created: offer.created.to_string(),
        enabled: offer.enabled,
        always_on: offer.always_on,
        jpeg: offer.jpeg.over(defaults),
        state: view.state,
        reason: view.reason.clone(),
        since_ms: u64::try_from(view.since.as_millisecond()).unwrap_or(0),
        epoch: view.epoch.map(Epoch),
        owner: owner(),
        video: view.video.clone(),
        audio: view.audio.clone(),
        restarts: view.restarts,
        hls_error: view.hls_error.clone(),
        removed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::bus::connect::Purpose;
    use rsm_shared::config::Config;
    use rsm_shared::stream::fence::Fence;
    use rsm_viewing::streams::JpegOverrides;

    fn offer(id: i64) -> Offer {
        Offer {
            id,
            name: "Yard".into(),
            zone: Zone::default_zone(),
            created: jiff::Timestamp::UNIX_EPOCH,
            enabled: true,
            always_on: false,
            jpeg: JpegOverrides::default(),
        }
    }

    const DEFAULTS: JpegParams = JpegParams { max_fps: 10, max_width: 640, quality: 80 };

    #[tokio::test]
    async fn at_rest_nothing_is_due_and_what_differs_is_due_once() {
        let config = Config::load(None, &[("nats.urls", "nats://127.0.0.1:1".into())]).unwrap();
        let bus = Bus::connect(&config.nats, Purpose::Control, "test").await.unwrap();
        let streams = Streams::default();
        for id in 1..=3 {
            streams.put(&Slug::parse(&format!("cam-{id}")).unwrap(), offer(id));
        }
        let mut publisher = DirectoryPublisher::new(bus, streams.clone(), DEFAULTS, Duration::ZERO);
        let begin = Instant::now();
        // Carries out the writes that are due at `now`, and names them.
        let mut round = |now: Instant| -> Vec<String> {
            let done = publisher.due(now, begin).into_iter().map(|write| match write {
                RecordWrite::Put(stored, left) => {
                    let what = if stored.record.removed { "removed" } else { "put" };
                    let slug = stored.record.cam.clone();
                    publisher.stored.insert(slug.clone(), *stored);
                    left.map_or(format!("{what} {slug}"), |zone| format!("{what} {slug}, which left {zone}"))
                }
                RecordWrite::Purge(record) => {
                    publisher.stored.remove(&record.cam);
                    format!("purge {}", record.cam)
                }
            });
            done.collect()
        };
        assert_eq!(round(begin), ["put cam-1", "put cam-2", "put cam-3"]);
        assert!(round(begin).is_empty());
        let stream = streams.by_id(2).unwrap();
        streams.show(&stream, View { restarts: 1, ..(*stream.view()).clone() });
        assert_eq!(round(begin), ["put cam-2"]);
        streams.put(&stream.slug, Offer { name: "Garden".into(), ..offer(2) });
        assert_eq!(round(begin), ["put cam-2"]);
        streams.put(&stream.slug, Offer { zone: Zone::parse("north").unwrap(), ..offer(2) });
        assert_eq!(round(begin), ["put cam-2, which left default"]);
        streams.remove(1);
        streams.put(&Slug::parse("cam-4").unwrap(), offer(4));
        assert_eq!(round(begin), ["removed cam-1", "put cam-4"], "removals come first");
        assert!(round(begin + REMOVED / 2).is_empty());
        assert_eq!(round(begin + REMOVED), ["purge cam-1"]);
        assert!(round(begin + REMOVED * 2).is_empty());
    }

    #[test]
    fn an_owner_that_was_not_heard_yet_keeps_its_record_for_a_while() {
        let streams = Streams::default();
        let offer = offer(1);
        let (stream, _) = streams.put(&Slug::parse("yard").unwrap(), offer.clone());
        let silent = (*stream.view()).clone();
        let owned = View {
            worker: Some("w1".into()),
            fence: Some(Fence { epoch: Epoch(7), revision: 1 }),
            http: Some("w1:1".into()),
            epoch: Some(7),
            ..silent.clone()
        };
        let stored = record(&stream, &offer, &owned, DEFAULTS);
        assert_eq!(stored.owner.as_ref().map(|owner| owner.http.as_str()), Some("w1:1"));
        let stopped = Offer { enabled: false, ..offer.clone() };
        for (offer, view, want) in [
            (&offer, View { epoch: Some(7), ..silent.clone() }, true),
            (&offer, silent.clone(), true),
            (&offer, View { epoch: Some(8), ..silent.clone() }, false),
            (&stopped, silent.clone(), false),
            (&offer, owned.clone(), false),
        ] {
            assert_eq!(is_unheard(&stored, offer, &view), want, "{view:?}");
        }
    }
}
