//! Messages of the control plane, JSON. Readers ignore members, columns and rows that they do not know and take states
//! that they do not know as `unknown`; writers set `v`, and a reader refuses a higher one.

use serde::{Deserialize, Serialize};

use crate::stream::demand::Demand;
use crate::stream::fence::{Epoch, Fence};
use crate::stream::names::{SessionId, WorkerId, Zone};
use crate::stream::slug::Slug;
use crate::stream::spec::{JpegParams, StreamSpec};
use crate::stream::state::{AudioInfo, Reason, StreamState, VideoInfo};
use crate::wire::rows;
use crate::wire::trace_context::TraceContext;

/// Version of every message here.
pub const VERSION: u8 = 1;

/// Reads the version of a message: up to [`VERSION`].
fn version<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let found = u64::deserialize(from)?;
    let known = u8::try_from(found).ok().filter(|found| *found <= VERSION);
    known.ok_or_else(|| {
        serde::de::Error::custom(format!("it is of version {found}, and this program reads version {VERSION}"))
    })
}

/// Longest message read, in bytes: JetStream refuses longer tickets, and a heartbeat of 10,000 streams is 1 MB.
pub const MAX_MESSAGE_LEN: usize = 4 << 20;

/// Which queue a ticket waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A viewer waits for a picture.
    Hi,
    /// No viewer waits: always-on streams.
    Lo,
}

impl Priority {
    /// Both, the urgent one first.
    pub const ALL: [Self; 2] = [Self::Hi, Self::Lo];

    /// The token in subjects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hi => "hi",
            Self::Lo => "lo",
        }
    }
}

/// The wanted state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    Run,
    Stop,
}

/// The desired record of a stream: the state that it should be in. Only the API writes it. Carries the camera's
/// password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub cam: Slug,
    pub epoch: Epoch,
    pub state: Want,
    /// `None` when `state` is stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<StreamSpec>,
}

/// Why a ticket was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketReason {
    /// A viewer or an operator wants the stream.
    Start,
    /// Its address or settings changed.
    Change,
    /// Its worker is gone, or lost it.
    Failover,
    /// An earlier ticket led to nothing.
    Retry,
    /// Its worker is about to end and goes on until the new owner has pictures.
    Drain,
    /// Another worker has more room; the old one goes on until the new owner has pictures.
    Rebalance,
}

impl TicketReason {
    /// The name on the wire and in traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Change => "change",
            Self::Failover => "failover",
            Self::Retry => "retry",
            Self::Drain => "drain",
            Self::Rebalance => "rebalance",
        }
    }
}

/// The start command: the worker that pulls it may claim the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub cam: Slug,
    pub zone: Zone,
    pub epoch: Epoch,
    pub reason: TicketReason,
    /// The smallest media sequence number that the next owner's playlist may go on with.
    #[serde(default)]
    pub media_sequence: u64,
    #[serde(default)]
    pub discontinuity_sequence: u64,
    /// A process that must not take it: it owns the stream until the new owner has pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avoid: Option<SessionId>,
    /// The span that it belongs to, while traces are on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "TraceContext::lenient")]
    pub traceparent: Option<TraceContext>,
}

/// Asks a worker to look at a camera that may not be registered. Carries the camera's password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeRequest {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub spec: StreamSpec,
    /// Bounds of the wanted picture.
    pub jpeg: JpegParams,
}

/// The report of a worker on a camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub worker: WorkerId,
    /// `running` when there is a picture; else the state that a stream of this camera would be in.
    pub state: StreamState,
    /// Why there is no picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioInfo>,
    /// From the request to the picture or the reason, milliseconds.
    pub took_ms: u64,
}

/// Value of a claim; written once per epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub session: SessionId,
    pub worker: WorkerId,
    /// Time of the claim by the worker's clock, Unix milliseconds. It is for people; nothing decides by it.
    pub at_ms: u64,
}

/// The message that a worker process sends every second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub session: SessionId,
    pub worker: WorkerId,
    /// From 1 within a session.
    pub seq: u64,
    pub state: WorkerState,
    pub zones: Vec<Zone>,
    /// Streams it runs at most.
    pub cap: u32,
    /// Streams it would take now: its free slots, or 0 while it has no memory for more.
    #[serde(default)]
    pub room: u32,
    #[serde(default)]
    pub load: Load,
    /// `host:port` where its metrics, health and segments are served.
    pub http: String,
    /// All that it owns.
    #[serde(deserialize_with = "rows::inventory")]
    pub inv: Vec<Owned>,
}

/// The load of a worker's machine, as far as its process may use it. Shares, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Mean of the last seconds.
    pub cpu: f32,
    pub memory: f32,
}

/// Phase of a worker process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    Up,
    Draining,
    /// A phase that this version does not know. It counts as draining: no new streams, and its streams move away.
    #[serde(other)]
    Unknown,
}

/// One owned stream in a heartbeat; an array on the wire, because there are hundreds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "OwnedRow", into = "OwnedRow")]
pub struct Owned {
    pub cam: Slug,
    pub epoch: Epoch,
    pub revision: u64,
    pub state: StreamState,
    /// Milliseconds since the last picture came from the camera; `None` before the first.
    pub media_age_ms: Option<u64>,
    /// Media sequence number of the newest segment; 0 before the first.
    pub media_sequence: u64,
    pub discontinuity_sequence: u64,
    /// Every output that viewers want of it has something to show: a frame was published, and the playlist is long
    /// enough to play from. An earlier owner may end.
    pub ready: bool,
}

impl Owned {
    /// The fence in its frames and directories.
    pub fn fence(&self) -> Fence {
        Fence { epoch: self.epoch, revision: self.revision }
    }
}

impl Event {
    /// The fence of the claim that it speaks of.
    pub fn fence(&self) -> Fence {
        Fence { epoch: self.epoch, revision: self.revision }
    }
}

type OwnedRow = (Slug, Epoch, u64, StreamState, Option<u64>, u64, u64, bool);

impl From<OwnedRow> for Owned {
    fn from(row: OwnedRow) -> Self {
        let (cam, epoch, revision, state, media_age_ms, media_sequence, discontinuity_sequence, ready) = row;
        Self { cam, epoch, revision, state, media_age_ms, media_sequence, discontinuity_sequence, ready }
    }
}

impl From<Owned> for OwnedRow {
    fn from(o: Owned) -> Self {
        (o.cam, o.epoch, o.revision, o.state, o.media_age_ms, o.media_sequence, o.discontinuity_sequence, o.ready)
    }
}

/// The API's answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    /// The API process; another one means that it restarted and knows no details: send them again.
    pub api_session: String,
    /// Another live process has this worker's name: end.
    #[serde(default)]
    pub conflict: bool,
    /// Streams to release: every owned epoch of that stream up to and including this one.
    #[serde(default, deserialize_with = "rows::releases")]
    pub drop: Vec<(Slug, Epoch)>,
    #[serde(default)]
    pub fleet: Fleet,
}

/// Totals over the other workers of a worker's zones. They decide which worker takes the next ticket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// Others that live and are not draining.
    pub others: u32,
    /// Streams that they would take.
    pub room: u32,
    /// The smallest share of its capacity that one of them with room uses, 0 to 1; 0 when none has room.
    pub least_used: f32,
    /// Processor load of the least busy one with room, 0 to 1; 1 when none has room.
    #[serde(default)]
    pub least_cpu: f32,
    /// Tickets that wait in the queues, as far as is known.
    pub queued: u32,
}

/// A request to one worker process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Control {
    /// Is this process there?
    Probe,
    /// Take this stream over: a ticket that does not wait in the queue, because the API has chosen the worker.
    Take { ticket: Box<Ticket> },
}

/// The answer to a [`Control`] request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlReply {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    /// True when it is done, or will be tried.
    pub ok: bool,
}

/// The fast form of a stop: release every owned epoch up to and including this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub epoch_le: Epoch,
}

/// A state change of an owned stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub session: SessionId,
    pub cam: Slug,
    pub epoch: Epoch,
    pub revision: u64,
    pub state: StreamState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioInfo>,
    /// Camera sessions after the first, in this epoch.
    pub restarts: u32,
    /// Why HLS is not written although it is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hls_error: Option<String>,
}

/// Viewers' demand, as one relay sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandMessage {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    /// Which relay says so; demands of several are added up.
    pub from: String,
    /// Time for which it holds, milliseconds.
    pub ttl_ms: u64,
    #[serde(flatten)]
    pub demand: Demand,
    /// The span of the wish that it began with, while traces are on and until there are pictures.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "TraceContext::lenient")]
    pub traceparent: Option<TraceContext>,
}

/// The record of a stream for relays: all that viewers need, and no address or password of the camera. Only the API
/// writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectoryRecord {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    pub cam: Slug,
    pub id: i64,
    pub name: String,
    pub zone: Zone,
    /// RFC 3339.
    pub created: String,
    /// `false` once an operator stopped it: viewers are sent away.
    pub enabled: bool,
    pub always_on: bool,
    /// Bounds of the JPEG output.
    pub jpeg: JpegParams,
    pub state: StreamState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Since when, Unix milliseconds.
    pub since_ms: u64,
    /// Epoch of the newest placement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The owner whose media counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<DirectoryOwner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioInfo>,
    /// Camera sessions after the first, in this epoch.
    #[serde(default)]
    pub restarts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hls_error: Option<String>,
    /// The link was removed: relays forget it, and the record goes a while later.
    #[serde(default)]
    pub removed: bool,
}

/// The owner of a stream, as relays know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DirectoryOwner {
    pub worker: WorkerId,
    pub fence: Fence,
    /// `host:port` where its segments are served.
    pub http: String,
}

/// The message that a relay sends every few seconds, so that Prometheus finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayHello {
    #[serde(deserialize_with = "version")]
    pub v: u8,
    /// Unique to the process.
    pub relay: String,
    /// `host:port` of its metrics and health.
    pub http: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_stream_is_an_array_on_the_wire() {
        let owned = Owned {
            cam: Slug::parse("yard").unwrap(),
            epoch: Epoch(7),
            revision: 3,
            state: StreamState::Running,
            media_age_ms: Some(40),
            media_sequence: 9,
            discontinuity_sequence: 1,
            ready: true,
        };
        let json = serde_json::to_string(&owned).unwrap();
        assert_eq!(json, r#"["yard",7,3,"running",40,9,1,true]"#);
        assert_eq!(serde_json::from_str::<Owned>(&json).unwrap(), owned);
    }

    #[test]
    fn unknown_members_are_ignored_and_bad_slugs_are_not() {
        let stop: Stop = serde_json::from_str(r#"{"v":1,"epoch_le":5,"later":true}"#).unwrap();
        assert_eq!(stop.epoch_le, Epoch(5));
        assert!(serde_json::from_str::<Desired>(r#"{"v":1,"cam":"../x","epoch":1,"state":"run"}"#).is_err());
    }
}
