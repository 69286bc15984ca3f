//! From the arbiter's snapshot of a stream to the view that clients get.

use rsm_control::api::client_state::{StateInputs, client_state};
use rsm_control::api::roster::StreamOwner;
use rsm_control::api::snapshot::StreamSnapshot;
use rsm_shared::stream::state::{Reason, StreamState};

use rsm_viewing::streams::View;

/// State and reason of a stream for clients; `(workers, free)` are the live workers of its zone and their free slots.
pub fn state_of(snapshot: &StreamSnapshot<'_>, (workers, free): (usize, u32)) -> (StreamState, Option<Reason>) {
    let intent = snapshot.intent;
    let reported = |owner: &StreamOwner<'_>| {
        let unexplained = (owner.owned.state, None);
        snapshot.detail.map_or(unexplained, |detail| (detail.state, detail.reason.as_ref()))
    };
    client_state(&StateInputs {
        enabled: intent.enabled,
        wanted: snapshot.wanted,
        demanded: intent.demanded,
        owner: snapshot.owner.as_ref().map(reported),
        hold_back: snapshot.hold_back,
        workers,
        free,
        zone: intent.zone.as_str(),
    })
}

/// The view that follows `before`. A state that the owner did not date has lasted since it was first seen.
pub fn view((state, reason): (StreamState, Option<Reason>), snapshot: &StreamSnapshot<'_>, before: &View) -> View {
    let StreamSnapshot { owner, detail, .. } = snapshot;
    let since = match detail.filter(|detail| detail.state == state) {
        Some(detail) => from_millis(detail.since_ms).unwrap_or(before.since),
        None if before.state == state => before.since,
        None => jiff::Timestamp::now(),
    };
    View {
        state,
        reason,
        since,
        worker: owner.map(|o| o.session.worker.to_string()),
        fence: owner.map(|o| o.owned.fence()),
        http: owner.map(|o| o.session.http.clone()),
        epoch: snapshot.epoch.map(|epoch| epoch.0),
        video: detail.and_then(|d| d.video.clone()),
        audio: detail.and_then(|d| d.audio.clone()),
        restarts: detail.map_or(0, |d| d.restarts),
        hls_error: detail.and_then(|d| d.hls_error.clone()),
    }
}

fn from_millis(ms: u64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}
