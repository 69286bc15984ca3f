//! The streams of the keeper: it starts and ends them, and switches their outputs.

use std::time::Instant;

use rsm_control::worker::holding::{OwnedStream, StartDecision};
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{DemandMessage, Ticket};
use tokio::sync::watch;
use tracing::{error, info};

use super::Keeper;
use crate::control::intake::ClaimedStream;
use crate::control::running_stream::RunningStream;
use crate::stream::supervisor::{self, StreamContext};
use crate::stream_trace::StreamTrace;

impl Keeper {
    pub(super) fn start(&mut self, start: ClaimedStream) {
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
            engine: self.p.engine.clone(),
        };
        info!(stream = %slug, %fence, reason = ?ticket.reason, "claimed");
        let handle = {
            let _media = self.p.media.enter();
            supervisor::spawn(context)
        };
        let status = handle.status();
        self.watch(slug.clone(), fence, status.clone());
        self.p.owned.lock().insert(slug.clone(), fence.epoch);
        let running = RunningStream { handle, started: Instant::now(), status, demand, trace, slot };
        self.holding.hold(slug, fence, running);
        self.count();
        self.update_standing(|_| {});
    }

    /// Forwards every status change to the keeper.
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

    pub(super) fn on_demand(&mut self, slug: &Slug, message: DemandMessage) {
        let wish = message.traceparent;
        let sum = self.demands.on_message(slug, message, Instant::now());
        if let Some(kept) = self.holding.get(slug) {
            // Before the outputs see the demand.
            wish.into_iter().for_each(|wish| kept.handle.trace.demanded(wish));
            kept.handle.demand.send_if_modified(|now| std::mem::replace(now, sum) != sum);
        }
    }

    pub(super) fn prune(&mut self) {
        let now = Instant::now();
        // A stream that ended by itself is a defect. Once it is released the API places it again.
        let finished = self.holding.inventory().filter(|(_, kept)| kept.handle.handle.is_finished());
        let finished: Vec<(Slug, Fence)> = finished.map(|(slug, kept)| (slug.clone(), kept.fence)).collect();
        for (slug, fence) in finished {
            error!(stream = %slug, %fence, "the stream ended by itself, releasing it");
            if let Some(OwnedStream { handle, .. }) = self.holding.release(&slug, fence.epoch) {
                self.end_stream(&slug, handle);
            }
        }
        for (slug, kept) in self.holding.inventory() {
            let sum = self.demands.of(slug, now);
            kept.handle.demand.send_if_modified(|now| std::mem::replace(now, sum) != sum);
        }
        self.demands.prune(now);
        self.p.engine.metrics.set_disk_bytes(self.p.engine.disk.used());
        self.update_standing(|_| {});
    }

    /// Ends a stream that is owned under `up_to` or an older epoch.
    pub(super) fn release(&mut self, slug: &Slug, up_to: Epoch, why: &str) {
        if let Some(OwnedStream { fence, handle }) = self.holding.release(slug, up_to) {
            info!(stream = %slug, %fence, why, "released");
            self.end_stream(slug, handle);
        }
    }

    pub(super) fn release_all(&mut self) {
        for (slug, kept) in self.holding.release_all() {
            self.end_stream(&slug, kept.handle);
        }
    }

    /// Ends a released stream; its slot is free once it has ended.
    fn end_stream(&mut self, slug: &Slug, running: RunningStream) {
        self.p.owned.lock().remove(slug);
        self.count();
        running.handle.stop();
        let (RunningStream { handle, slot, .. }, slug) = (running, slug.clone());
        self.ending.spawn_on(
            async move {
                handle.stopped().await;
                drop(slot);
                slug
            },
            &self.p.media,
        );
    }

    pub(super) fn on_stream_end(&mut self, ended: Result<Slug, tokio::task::JoinError>) {
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
        self.p.engine.metrics.set_claims(self.holding.len());
    }
}

/// The first numbers of a new owner's playlist. A segment lasts a second at least, so the seconds of the epoch are larger
/// than any media sequence number of an earlier owner; the number in the ticket covers an epoch that was not taken from
/// the clock. Discontinuity sequence numbers are counted by
/// the API and stay small: players use them as indices (hls.js 1.7 hangs on one of ten digits).
fn first_sequences(fence: Fence, ticket: &Ticket) -> (u64, u64) {
    ((fence.epoch.0 / 1000).max(ticket.media_sequence), ticket.discontinuity_sequence)
}
