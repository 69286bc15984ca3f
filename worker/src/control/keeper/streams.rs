//! The streams of this process: starts and ends them, and switches their outputs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_control::worker::demand_table::DemandTable;
use rsm_control::worker::holding::{Holding, OwnedStream, StartDecision};
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::names::SessionId;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{DemandMessage, Event, Owned, Ticket};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::{error, info};

use super::parts::OwnedEpochs;
use crate::control::intake::ClaimedStream;
use crate::control::running_stream::RunningStream;
use crate::stream::engine::Engine;
use crate::stream::supervisor::{self, StreamContext};
use crate::stream_trace::StreamTrace;

/// The owned streams, those that end, and the demand for them. Bounded by the slots of the worker.
pub struct OwnedStreams {
    holding: Holding<RunningStream, ClaimedStream>,
    demands: DemandTable,
    /// Gets the slugs of streams whose status changed.
    changes: mpsc::Sender<Slug>,
    /// Streams that end; each task returns its slug.
    ending: JoinSet<Slug>,
    engine: Arc<Engine>,
    /// The runtime of media.
    media: Handle,
    epochs: OwnedEpochs,
}

impl OwnedStreams {
    /// Without streams. `changes` gets the slug of each stream whose status changes.
    pub fn new(engine: Arc<Engine>, media: Handle, epochs: OwnedEpochs, changes: mpsc::Sender<Slug>) -> Self {
        let (holding, demands) = (Holding::default(), DemandTable::default());
        Self { holding, demands, changes, ending: JoinSet::new(), engine, media, epochs }
    }

    /// Number of owned streams.
    pub fn len(&self) -> usize {
        self.holding.len()
    }

    /// Returns whether no stream is owned.
    pub fn is_empty(&self) -> bool {
        self.holding.is_empty()
    }

    /// Returns whether no stream is owned, ends or waits.
    pub fn is_idle(&self) -> bool {
        self.holding.is_idle()
    }

    /// Slugs of the owned streams.
    pub fn slugs(&self) -> Vec<Slug> {
        self.holding.inventory().map(|(slug, _)| slug.clone()).collect()
    }

    /// The rows of a heartbeat.
    pub fn rows(&self) -> Vec<Owned> {
        self.holding.inventory().map(|(slug, owned)| owned.handle.row(slug, owned.fence)).collect()
    }

    /// Streams that have been without a picture since they were started, less than `young` ago.
    pub fn starting(&self, young: Duration) -> usize {
        self.holding.inventory().filter(|(_, owned)| owned.handle.is_starting(young)).count()
    }

    /// The event that reports the state of a stream now.
    pub fn event(&mut self, slug: &Slug, session: &SessionId) -> Option<Event> {
        let owned = self.holding.get_mut(slug)?;
        owned.handle.status.mark_unchanged();
        Some(owned.handle.event(slug, owned.fence, session))
    }

    /// Starts a claimed stream, once earlier placements of it have ended.
    pub fn start(&mut self, start: ClaimedStream) {
        let (slug, fence) = (start.ticket.cam.clone(), start.fence);
        match self.holding.start(&slug, fence, start) {
            StartDecision::Start(start) => self.open(start),
            StartDecision::Wait(Some(older)) => self.end_stream(&slug, older),
            StartDecision::Wait(None) | StartDecision::Ignore => {}
        }
    }

    fn open(&mut self, start: ClaimedStream) {
        let ClaimedStream { ticket, spec, fence, slot, span } = start;
        let slug = ticket.cam.clone();
        let (demand, demand_rx) = watch::channel(self.demands.of(&slug, Instant::now()));
        let (first_media_sequence, first_discontinuity_sequence) = first_sequences(fence, &ticket);
        let trace = StreamTrace::new(slug.clone(), fence, &span, self.demands.wish(&slug));
        let context = StreamContext {
            start: span,
            trace: trace.clone(),
            slug: slug.clone(),
            zone: ticket.zone.clone(),
            fence,
            spec,
            first_media_sequence,
            first_discontinuity_sequence,
            demand: demand_rx,
            engine: self.engine.clone(),
        };
        info!(stream = %slug, %fence, reason = ?ticket.reason, "claimed");
        let handle = {
            let _media = self.media.enter();
            supervisor::spawn(context)
        };
        let status = handle.status();
        self.watch(slug.clone(), fence, status.clone());
        self.epochs.lock().insert(slug.clone(), fence.epoch);
        let running = RunningStream { handle, started: Instant::now(), status, demand, trace, slot };
        self.holding.hold(slug, fence, running);
        self.count();
    }

    /// Forwards every status change of a stream.
    fn watch(&self, slug: Slug, fence: Fence, mut status: watch::Receiver<supervisor::StreamStatus>) {
        let changes = self.changes.clone();
        tokio::spawn(async move {
            // The first status is forwarded too. The task ends with the stream.
            loop {
                if changes.send(slug.clone()).await.is_err() || status.changed().await.is_err() {
                    return;
                }
                tracing::trace!(stream = %slug, %fence, "status changed");
            }
        });
    }

    /// Takes in the demand of one relay.
    pub fn on_demand(&mut self, slug: &Slug, message: DemandMessage) {
        let wish = message.traceparent;
        let sum = self.demands.on_message(slug, message, Instant::now());
        if let Some(owned) = self.holding.get(slug) {
            // Before the outputs see the demand.
            wish.into_iter().for_each(|wish| owned.handle.trace.demanded(wish));
            owned.handle.demand.send_if_modified(|now| std::mem::replace(now, sum) != sum);
        }
    }

    /// Releases streams that ended by themselves, and forgets demand that has ended.
    pub fn prune(&mut self) {
        let now = Instant::now();
        // A stream that ended by itself is a defect. Once it is released the API places it again.
        let finished = self.holding.inventory().filter(|(_, owned)| owned.handle.handle.is_finished());
        let finished: Vec<(Slug, Fence)> = finished.map(|(slug, owned)| (slug.clone(), owned.fence)).collect();
        for (slug, fence) in finished {
            error!(stream = %slug, %fence, "the stream ended by itself, releasing it");
            if let Some(OwnedStream { handle, .. }) = self.holding.release(&slug, fence.epoch) {
                self.end_stream(&slug, handle);
            }
        }
        for (slug, owned) in self.holding.inventory() {
            let sum = self.demands.of(slug, now);
            owned.handle.demand.send_if_modified(|now| std::mem::replace(now, sum) != sum);
        }
        self.demands.prune(now);
    }

    /// Begins to end a stream that is owned under `up_to` or an older epoch, in a task of `ending`; `why` is for the log.
    pub fn release(&mut self, slug: &Slug, up_to: Epoch, why: &str) {
        if let Some(OwnedStream { fence, handle }) = self.holding.release(slug, up_to) {
            info!(stream = %slug, %fence, why, "released");
            self.end_stream(slug, handle);
        }
    }

    /// Ends every stream.
    pub fn release_all(&mut self) {
        for (slug, owned) in self.holding.release_all() {
            self.end_stream(&slug, owned.handle);
        }
    }

    /// Ends a released stream; its slot is free once it has ended.
    fn end_stream(&mut self, slug: &Slug, running: RunningStream) {
        self.epochs.lock().remove(slug);
        self.count();
        running.handle.stop();
        let (RunningStream { handle, slot, .. }, slug) = (running, slug.clone());
        self.ending.spawn_on(
            async move {
                handle.stopped().await;
                drop(slot);
                slug
            },
            &self.media,
        );
    }

    /// The next released stream that has ended; `None` while none is ending. Cancel safe.
    pub async fn next_end(&mut self) -> Option<Result<Slug, JoinError>> {
        self.ending.join_next().await
    }

    /// Takes in the end of a stream: starts the placement that waited for it.
    pub fn on_end(&mut self, ended: Result<Slug, JoinError>) {
        match ended {
            Ok(slug) => {
                if let Some((_, start)) = self.holding.ended(&slug) {
                    self.open(start);
                }
            }
            Err(e) => error!(error = %e, "a stream did not end in order"),
        }
    }

    fn count(&self) {
        self.engine.metrics.set_claims(self.holding.len());
    }
}

/// The first numbers of a new owner's playlist. A segment lasts a second at least, so the seconds of the epoch are larger
/// than any media sequence number of an earlier owner; the number in the ticket covers an epoch that was not taken from
/// the clock. Discontinuity sequence numbers are counted by the API and stay small: players use them as indices (hls.js
/// 1.7 hangs on one of ten digits).
fn first_sequences(fence: Fence, ticket: &Ticket) -> (u64, u64) {
    ((fence.epoch.0 / 1000).max(ticket.media_sequence), ticket.discontinuity_sequence)
}
