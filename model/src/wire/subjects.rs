//! Every subject, stream, bucket and consumer name. docs/nats.md shows them with their publishers and readers.

use crate::stream::fence::Epoch;
use crate::stream::jpeg_width::JpegWidth;
use crate::stream::names::{SessionId, WorkerId, Zone};
use crate::stream::slug::Slug;
use crate::wire::messages::Priority;

/// Work queue of start tickets.
pub const COMMANDS_STREAM: &str = "RSM_CMD";
/// Subjects that [`COMMANDS_STREAM`] stores.
pub const COMMANDS_SUBJECTS: &str = "rsm.v1.cmd.start.*.*.*";
/// JetStream stream of the bucket that holds the last desired record per stream.
pub const DESIRED_STREAM: &str = "KV_RSM_DESIRED";
/// Subjects that [`DESIRED_STREAM`] stores.
pub const DESIRED_SUBJECTS: &str = "$KV.RSM_DESIRED.>";
/// JetStream stream of the bucket that holds write-once claims.
pub const CLAIMS_STREAM: &str = "KV_RSM_CLAIMS";
/// Subjects that [`CLAIMS_STREAM`] stores.
pub const CLAIMS_SUBJECTS: &str = "$KV.RSM_CLAIMS.>";

/// JetStream stream of the bucket that tells relays what may be watched, and where.
pub const DIRECTORY_STREAM: &str = "KV_RSM_DIRECTORY";
/// Subjects that [`DIRECTORY_STREAM`] stores.
pub const DIRECTORY_SUBJECTS: &str = "$KV.RSM_DIRECTORY.>";

/// Hellos of every relay.
pub const ALL_RELAYS: &str = "rsm.v1.relay.*";

/// Heartbeats of every worker; core requests that the API answers.
pub const ALL_HEARTBEATS: &str = "rsm.v1.hb.*";
/// Events of every worker.
pub const ALL_EVENTS: &str = "rsm.v1.evt.*.*";

/// The start ticket of a stream.
pub fn start(zone: &Zone, priority: Priority, slug: &Slug) -> String {
    format!("rsm.v1.cmd.start.{zone}.{}.{slug}", priority.as_str())
}

/// The tickets of one zone and priority: the filter of one consumer.
pub fn start_filter(zone: &Zone, priority: Priority) -> String {
    format!("rsm.v1.cmd.start.{zone}.{}.*", priority.as_str())
}

/// The tickets of one stream, whatever its zone and priority: what a stop purges.
pub fn start_of_stream(slug: &Slug) -> String {
    format!("rsm.v1.cmd.start.*.*.{slug}")
}

/// The durable consumer of one zone and priority.
pub fn start_consumer(zone: &Zone, priority: Priority) -> String {
    format!("start_{zone}_{}", priority.as_str())
}

/// The fast form of a stop; the durable form is the desired record.
pub fn stop(zone: &Zone, slug: &Slug) -> String {
    format!("rsm.v1.cmd.stop.{zone}.{slug}")
}

/// Every fast stop of a zone.
pub fn stop_filter(zone: &Zone) -> String {
    format!("rsm.v1.cmd.stop.{zone}.*")
}

/// Heartbeat of a worker.
pub fn heartbeat(worker: &WorkerId) -> String {
    format!("rsm.v1.hb.{worker}")
}

/// Requests to one process of a worker. Once that process is gone the subject has no subscriber, and a request fails at
/// once.
pub fn control(worker: &WorkerId, session: &SessionId) -> String {
    format!("rsm.v1.ctl.{worker}.{session}")
}

/// State changes of a stream, reported by its worker.
pub fn event(worker: &WorkerId, slug: &Slug) -> String {
    format!("rsm.v1.evt.{worker}.{slug}")
}

/// Viewers' demand for a stream.
pub fn demand(zone: &Zone, slug: &Slug) -> String {
    format!("rsm.v1.demand.{zone}.{slug}")
}

/// All demand in a zone.
pub fn demand_filter(zone: &Zone) -> String {
    format!("rsm.v1.demand.{zone}.*")
}

/// All demand in every zone.
pub const ALL_DEMAND: &str = "rsm.v1.demand.*.*";

/// The stream that a demand or stop subject names: its last token.
pub fn slug_of(subject: &str) -> Option<Slug> {
    Slug::parse(subject.rsplit('.').next()?).ok()
}

/// JPEG frames of a stream: of its own width, or of a step of the ladder.
pub fn frame(zone: &Zone, slug: &Slug, width: Option<JpegWidth>) -> String {
    match width {
        None => format!("rsm.v1.frame.{zone}.{slug}"),
        Some(width) => format!("rsm.v1.frame.{zone}.{slug}.{width}"),
    }
}

/// Requests to look at a camera that is not registered yet; any worker of the zone answers.
pub fn probe(zone: &Zone) -> String {
    format!("rsm.v1.look.{zone}")
}

/// Queue group of the workers of a zone: one of them gets each request to look.
pub const PROBE_QUEUE_GROUP: &str = "rsm-lookers";

/// The desired record of a stream.
pub fn desired(zone: &Zone, slug: &Slug) -> String {
    format!("$KV.RSM_DESIRED.{zone}.{slug}")
}

/// The desired records of a stream in whatever zone it was.
pub fn desired_of_stream(slug: &Slug) -> String {
    format!("$KV.RSM_DESIRED.*.{slug}")
}

/// The directory record of a stream.
pub fn directory(zone: &Zone, slug: &Slug) -> String {
    format!("$KV.RSM_DIRECTORY.{zone}.{slug}")
}

/// A relay's hello. `relay` is a token that it chose for its process.
pub fn relay(relay: &str) -> String {
    format!("rsm.v1.relay.{relay}")
}

/// The claim of one epoch of a stream.
pub fn claim(zone: &Zone, slug: &Slug, epoch: Epoch) -> String {
    format!("$KV.RSM_CLAIMS.{zone}.{slug}.{epoch}")
}

/// Every claim of a stream.
pub fn claims_of_stream(slug: &Slug) -> String {
    format!("$KV.RSM_CLAIMS.*.{slug}.*")
}
