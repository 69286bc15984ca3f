//! Players of HLS: they keep up demand by fetching the media playlist, as a real one does, and report their
//! observations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::harness::eventually_in;
use crate::harness::system::System;
use crate::harness::viewer::MediaPlaylist;

/// Between two looks at a media playlist.
const REFRESH: Duration = Duration::from_secs(2);
/// After an answer that was none.
const AGAIN: Duration = Duration::from_millis(200);

/// One link to be played.
#[derive(Clone, Debug)]
pub struct Link {
    pub slug: String,
    pub id: i64,
}

/// Observations of one player.
#[derive(Clone, Debug, Default)]
pub struct PlayerObservations {
    /// From asking to the first playlist with a segment in it.
    pub playable: Option<Duration>,
    /// The newest playlist.
    pub playlist: MediaPlaylist,
    /// Playlists that were refused after the first.
    pub refused: usize,
    /// Discontinuities of the newest playlist, the most at a time.
    pub discontinuities: usize,
    pub steps_back: usize,
}

/// Players of many links, one each. Ended by dropping them.
pub struct Players {
    seen: Vec<Arc<Mutex<PlayerObservations>>>,
    // Held for the tasks in it.
    _tasks: JoinSet<()>,
}

impl Players {
    pub fn start(system: &System, links: &[Link]) -> Self {
        let mut tasks = JoinSet::new();
        let begun = Instant::now();
        let seen = links.iter().map(|link| {
            let seen = Arc::<Mutex<PlayerObservations>>::default();
            tasks.spawn(play(system.http.clone(), system.base.clone(), link.clone(), begun, seen.clone()));
            seen
        });
        Self { seen: seen.collect(), _tasks: tasks }
    }

    pub fn seen(&self) -> Vec<PlayerObservations> {
        self.seen.iter().map(|seen| seen.lock().clone()).collect()
    }

    pub fn playlist(&self, n: usize) -> MediaPlaylist {
        self.seen[n].lock().playlist.clone()
    }

    /// Waits until each playlist holds `segments`.
    pub async fn until(&self, segments: usize, deadline: Duration) {
        let missing = async || self.seen.iter().filter(|seen| seen.lock().playlist.segments.len() < segments).count();
        eventually_in(deadline, "every playlist to be filled (how many are not)", missing, |n| *n == 0).await;
    }
}

async fn text(http: &reqwest::Client, url: &str) -> Option<String> {
    let answer = http.get(url).send().await.ok()?.error_for_status().ok()?;
    answer.text().await.ok()
}

/// For ever.
async fn play(http: reqwest::Client, base: String, link: Link, begun: Instant, seen: Arc<Mutex<PlayerObservations>>) {
    let master = format!("/video/play/{}/", link.id);
    loop {
        // Asks for HLS; the answer is the status.
        let _ = text(&http, &format!("{base}/video/{}/", link.slug)).await;
        let multivariant = text(&http, &format!("{base}{master}")).await.unwrap_or_default();
        let variant = multivariant.lines().find(|line| !line.starts_with('#') && !line.is_empty());
        if let Some(variant) = variant {
            let url = format!("{base}{master}{variant}");
            while let Some(text) = text(&http, &url).await {
                look(&mut seen.lock(), MediaPlaylist::read(&master, text), begun);
                tokio::time::sleep(REFRESH).await;
            }
        }
        {
            let mut seen = seen.lock();
            seen.refused += usize::from(seen.playable.is_some());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn look(seen: &mut PlayerObservations, playlist: MediaPlaylist, begun: Instant) {
    if !playlist.segments.is_empty() {
        seen.playable.get_or_insert_with(|| begun.elapsed());
    }
    seen.steps_back += usize::from(playlist.media_sequence < seen.playlist.media_sequence);
    seen.discontinuities = seen.discontinuities.max(playlist.discontinuities);
    seen.playlist = playlist;
}
