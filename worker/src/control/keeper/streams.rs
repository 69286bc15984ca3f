//! How the keeper starts and ends streams, and switches their outputs.

use std::time::Instant;

use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{DemandMessage, Ticket};
use tokio::sync::watch;
use tracing::{error, info};

use super::Keeper;
use crate::control::held::Held;
use crate::control::holding::{Begin, Kept};
use crate::control::intake::Start;
use crate::stream::supervisor::{self, StreamContext};
use crate::stream_trace::StreamTrace;

impl Keeper {
    pub(super) fn start(&mut self, start: Start) {
        let (slug, fence) = (start.ticket.cam.clone(), start.fence);
        match self.holding.start(&slug, fence, start) {
            Begin::Now(start) => self.open(start),
            Begin::Waits(Some(older)) => self.release(&slug, older),
            Begin::Waits(None) | Begin::Ignored => {}
        }
    }

    fn open(&mut self, start: Start) {
        let Start { ticket, spec, fence, slot, span } = start;
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
        let held = Held { handle, started: Instant::now(), status, demand, trace, slot };
        self.holding.hold(slug, fence, held);
        self.count();
        self.stand(|_| {});
    }

    /// Has every status change told.
    fn watch(&self, slug: Slug, fence: Fence, mut status: watch::Receiver<supervisor::StreamStatus>) {
        let changes = self.changes.clone();
        tokio::spawn(async move {
            // The first status is told too. Ends when the stream does.
            loop {
                if changes.send(slug.clone()).await.is_err() || status.changed().await.is_err() {
                    return;
                }
                tracing::trace!(stream = %slug, %fence, "status changed");
            }
        });
    }

    pub(super) fn wish(&mut self, slug: &Slug, message: DemandMessage) {
        let wish = message.traceparent;
        let sum = self.demands.hear(slug, message, Instant::now());
        if let Some(kept) = self.holding.get(slug) {
            // Before the outputs look.
            wish.into_iter().for_each(|wish| kept.handle.trace.demanded(wish));
            kept.handle.demand.send_if_modified(|now| std::mem::replace(now, sum) != sum);
        }
    }

    pub(super) fn prune(&mut self) {
        let now = Instant::now();
        // A stream that ended by itself has a fault of ours; let go, the API places it again.
        let finished = self.holding.inventory().filter(|(_, kept)| kept.handle.handle.is_finished());
        let finished: Vec<(Slug, Fence)> = finished.map(|(slug, kept)| (slug.clone(), kept.fence)).collect();
        for (slug, fence) in finished {
            error!(stream = %slug, %fence, "the stream ended by itself, letting it go");
            if let Some(Kept { handle, .. }) = self.holding.let_go(&slug, fence.epoch) {
                self.release(&slug, handle);
            }
        }
        for (slug, kept) in self.holding.inventory() {
            let sum = self.demands.of(slug, now);
            kept.handle.demand.send_if_modified(|now| std::mem::replace(now, sum) != sum);
        }
        self.demands.prune(now);
        self.p.engine.metrics.set_disk_bytes(self.p.engine.disk.used());
        self.stand(|_| {});
    }

    /// Ends a stream that is owned under `up_to` or an older epoch.
    pub(super) fn let_go(&mut self, slug: &Slug, up_to: Epoch, why: &str) {
        if let Some(Kept { fence, handle }) = self.holding.let_go(slug, up_to) {
            info!(stream = %slug, %fence, why, "let go");
            self.release(slug, handle);
        }
    }

    pub(super) fn let_all_go(&mut self) {
        for (slug, kept) in self.holding.let_all_go() {
            self.release(&slug, kept.handle);
        }
    }

    /// Ends what was let go; the slot is free once it has ended.
    fn release(&mut self, slug: &Slug, held: Held) {
        self.p.owned.lock().remove(slug);
        self.count();
        held.handle.stop();
        let (Held { handle, slot, .. }, slug) = (held, slug.clone());
        self.ending.spawn_on(
            async move {
                handle.stopped().await;
                drop(slot);
                slug
            },
            &self.p.media,
        );
    }

    pub(super) fn ended(&mut self, ended: Result<Slug, tokio::task::JoinError>) {
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

/// Where the playlist of a new owner begins. A segment lasts a second at least, and so does each pause that makes a
/// discontinuity, so the epoch's seconds are past whatever media sequence number an earlier owner reached; the
/// ticket's number covers an epoch that was not taken from the clock. Discontinuity sequence numbers are counted by
/// the API and stay small: players use them as indices (hls.js 1.7 hangs on one of ten digits).
fn first_sequences(fence: Fence, ticket: &Ticket) -> (u64, u64) {
    ((fence.epoch.0 / 1000).max(ticket.media_sequence), ticket.discontinuity_sequence)
}
