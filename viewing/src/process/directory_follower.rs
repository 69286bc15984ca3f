//! A relay's knowledge of streams: the records that the API writes to NATS, put into the table that viewers' routes use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_shared::bus::directory::News;
use rsm_shared::ops::health::{Dependency, Health};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::DirectoryRecord;
use tracing::{info, warn};

use crate::relay::demand_desk::DemandDesk;
use crate::relay::hub::Hub;
use crate::relay::slot::StreamEnd;
use crate::streams::{JpegOverrides, Offer, Streams, View};
use crate::viewing::Viewing;

/// A stream that a store which was read anew does not hold is forgotten after this time: a wiped store is filled again
/// within seconds, and its viewers stay. Removals are told as such.
const MISSING: Duration = Duration::from_secs(30);
/// Streams known at most: no API has more.
const MAX_STREAMS: usize = 100_000;

/// Puts records into the table, and disconnects viewers of streams that were stopped or removed.
pub struct DirectoryFollower {
    streams: Streams,
    hub: Hub,
    desk: DemandDesk,
    health: Health,
    /// Streams that the last whole reading did not hold, and since when. A part of the table.
    missing: HashMap<Slug, Instant>,
    /// True after a whole reading since the last interruption.
    whole: bool,
}

impl DirectoryFollower {
    /// For the viewers of `viewing`. Not ready until the first whole reading.
    pub fn new(viewing: &Arc<Viewing>) -> Self {
        let health = viewing.health.clone();
        health.fault(Dependency::Directory, "the directory of streams has not been read from NATS yet");
        Self {
            streams: viewing.streams.clone(),
            hub: viewing.hub.clone(),
            desk: viewing.desk.clone(),
            health,
            missing: HashMap::new(),
            whole: false,
        }
    }

    /// Applies news of the directory.
    pub fn take(&mut self, news: News, now: Instant) {
        match news {
            News::Snapshot(records) => {
                let before: Vec<Slug> = self.streams.all().iter().map(|stream| stream.slug.clone()).collect();
                self.missing = before.into_iter().map(|slug| (slug, now)).collect();
                if !self.whole {
                    info!(streams = records.len(), "the directory of streams is read");
                }
                records.into_iter().for_each(|record| self.apply(record));
                self.whole = true;
                self.health.well(Dependency::Directory);
            }
            News::Change(record) => self.apply(*record),
            News::Away(why) => {
                if self.whole {
                    warn!(error = why, "the state of streams may be out of date");
                }
                self.whole = false;
                self.health.fault(Dependency::Directory, why);
            }
        }
    }

    /// Forgets streams that have been missing for long enough. Only while the directory is followed: a stream of which no
    /// news can come is not missing.
    pub fn sweep(&mut self, now: Instant) {
        if !self.whole {
            return;
        }
        let gone: Vec<Slug> = self
            .missing
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= MISSING)
            .map(|(slug, _)| slug.clone())
            .collect();
        for slug in gone {
            self.missing.remove(&slug);
            self.forget(&slug);
        }
    }

    fn apply(&mut self, record: DirectoryRecord) {
        self.missing.remove(&record.cam);
        let slug = record.cam.clone();
        if record.removed {
            return self.forget(&slug);
        }
        let before = self.streams.by_slug(slug.as_str());
        if before.is_none() && self.streams.len() >= MAX_STREAMS {
            warn!(repeats = true, stream = %slug, "too many streams; this one is left out");
            return;
        }
        let Some((offer, view)) = read(record) else {
            warn!(repeats = true, stream = %slug, "the record of this stream is not readable; it is left out");
            return;
        };
        let stops = before.is_some_and(|stream| stream.offer().enabled) && !offer.enabled;
        let (stream, other) = self.streams.put(&slug, offer);
        self.streams.show(&stream, view);
        if let Some(other) = other {
            self.hub.end(&other.slug, StreamEnd::Removed);
        }
        if stops {
            stream.demand.clear();
            self.hub.end(&slug, StreamEnd::Stopped);
            self.desk.changed().notify_one();
        }
    }

    fn forget(&self, slug: &Slug) {
        if let Some(stream) = self.streams.by_slug(slug.as_str()) {
            self.streams.remove(stream.offer().id);
            self.hub.end(slug, StreamEnd::Removed);
            self.desk.changed().notify_one();
        }
    }
}

/// A record as this process keeps it; `None` when a time in it is none.
fn read(record: DirectoryRecord) -> Option<(Offer, View)> {
    let offer = Offer {
        id: record.id,
        name: record.name,
        zone: record.zone,
        created: record.created.parse().ok()?,
        enabled: record.enabled,
        always_on: record.always_on,
        jpeg: JpegOverrides {
            max_fps: Some(record.jpeg.max_fps),
            max_width: Some(record.jpeg.max_width),
            quality: Some(record.jpeg.quality),
        },
    };
    let (worker, fence, http) = match record.owner {
        Some(owner) => (Some(owner.worker.to_string()), Some(owner.fence), Some(owner.http)),
        None => (None, None, None),
    };
    let view = View {
        state: record.state,
        reason: record.reason,
        since: jiff::Timestamp::from_millisecond(i64::try_from(record.since_ms).ok()?).ok()?,
        worker,
        fence,
        http,
        epoch: record.epoch.map(|epoch| epoch.0),
        video: record.video,
        audio: record.audio,
        restarts: record.restarts,
        hls_error: record.hls_error,
    };
    Some((offer, view))
}
