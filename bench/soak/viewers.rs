//! Viewers of every kind. Each chooses a camera and a kind, stays for a while, and begins anew.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Client;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::dice::{one_of, part};
use crate::harness::system::System;
use crate::harness::viewer::MediaPlaylist;

/// For anything that a viewer asks for.
const DEADLINE: Duration = Duration::from_secs(40);
/// Between two looks at a playlist.
const PAUSE: Duration = Duration::from_millis(500);
/// After an answer that is an error.
const AFTER_ERROR: Duration = Duration::from_millis(200);

/// A camera.
#[derive(Clone)]
pub struct SoakStream {
    pub slug: String,
    pub id: i64,
    pub url: String,
}

/// The kinds of viewers with their weights.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Frames,
    Hls,
    LowLatency,
    Snapshot,
    Multipart,
    Test,
    Patch,
}

const KINDS: [(Kind, u32); 7] = [
    (Kind::Frames, 40),
    (Kind::Hls, 22),
    (Kind::LowLatency, 12),
    (Kind::Snapshot, 12),
    (Kind::Multipart, 7),
    (Kind::Test, 2),
    (Kind::Patch, 5),
];

/// Viewers of each kind so far, and those that met an error.
#[derive(Default)]
pub struct VisitCounts {
    done: [AtomicU64; KINDS.len()],
    errors: AtomicU64,
}

impl fmt::Display for VisitCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((kind, _), count) in KINDS.iter().zip(&self.done) {
            write!(f, "{} {kind:?}, ", count.load(Ordering::Relaxed))?;
        }
        write!(f, "{} errors", self.errors.load(Ordering::Relaxed))
    }
}

/// One of them.
pub struct SoakViewer {
    base: String,
    http: Client,
    streams: Vec<SoakStream>,
    /// Longest stay, seconds.
    stay: f64,
    counts: Arc<VisitCounts>,
}

type Visit = Result<(), Box<dyn std::error::Error + Send + Sync>>;

impl SoakViewer {
    pub fn new(system: &System, streams: Vec<SoakStream>, stay: f64, counts: Arc<VisitCounts>) -> Self {
        Self { base: system.base.clone(), http: system.http.clone(), streams, stay, counts }
    }

    /// Until it is dropped.
    pub async fn come_and_go(self) {
        loop {
            let (stream, (at, kind)) = (one_of(&self.streams), choose());
            if let Err(e) = self.visit(stream, kind).await {
                self.counts.errors.fetch_add(1, Ordering::Relaxed);
                if std::env::var_os("SOAK_ERRORS").is_some() {
                    eprintln!("{kind:?} of {}: {e}", stream.slug);
                }
                sleep(AFTER_ERROR).await;
            }
            self.counts.done[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn visit(&self, stream: &SoakStream, kind: Kind) -> Visit {
        let until = Instant::now() + Duration::from_secs_f64(0.05 + part() * self.stay);
        let SoakStream { slug, id, url } = stream;
        match kind {
            Kind::Frames => self.frames(slug, until).await,
            Kind::Hls => self.hls(slug, *id, until).await,
            Kind::LowLatency => self.low_latency(slug, *id, until).await,
            Kind::Snapshot => {
                let width = one_of(&[64, 320, 1000]);
                self.get(&format!("/video/{slug}/snapshot.jpg?width={width}")).await.map(drop)
            }
            Kind::Multipart => self.multipart(slug, until).await,
            Kind::Test => {
                let answer = self.http.post(self.url("/video/test")).json(&json!({ "url": url })).send();
                timeout(DEADLINE, answer).await??.bytes().await?;
                Ok(())
            }
            Kind::Patch => {
                let body = json!({ "mjpeg": { "max_fps": one_of(&[5, 10, 15]) } });
                let answer = self.http.patch(self.url(&format!("/video/{slug}/"))).json(&body).send();
                timeout(DEADLINE, answer).await??.error_for_status()?;
                Ok(())
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn get(&self, path: &str) -> Result<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>> {
        let answer = timeout(DEADLINE, self.http.get(self.url(path)).send()).await??.error_for_status()?;
        Ok(timeout(DEADLINE, answer.bytes()).await??)
    }

    async fn frames(&self, slug: &str, until: Instant) -> Visit {
        let query = one_of(&["", "?width=320", "?fps=2", "?width=640&fps=5"]);
        let url = format!("{}/ws/stream/{slug}/{query}", self.base.replace("http://", "ws://"));
        let (mut socket, _) = timeout(DEADLINE, tokio_tungstenite::connect_async(url)).await??;
        while let Ok(Some(message)) = timeout_at(until, socket.next()).await {
            message?;
        }
        Ok(())
    }

    async fn multipart(&self, slug: &str, until: Instant) -> Visit {
        let answer = self.http.get(self.url(&format!("/video/{slug}/mjpeg?fps=5"))).send();
        let mut answer = timeout(DEADLINE, answer).await??.error_for_status()?;
        while let Ok(piece) = timeout_at(until, answer.chunk()).await {
            if piece?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The path of one of the renditions, audio included.
    async fn rendition(&self, slug: &str, id: i64) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        self.get(&format!("/video/{slug}/")).await?;
        let text = String::from_utf8_lossy(&self.get(&format!("/video/play/{id}/")).await?).into_owned();
        let variants = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let uri = |line: &'_ str| Some(line.split_once("URI=\"")?.1.split_once('"')?.0.to_owned());
        let media = text.lines().filter(|line| line.starts_with("#EXT-X-MEDIA:")).filter_map(uri);
        let all: Vec<_> = variants.map(str::to_owned).chain(media).collect();
        if all.is_empty() {
            return Err("no rendition".into());
        }
        Ok(one_of(&all).clone())
    }

    /// A playlist again and again, and some of what it names.
    async fn hls(&self, slug: &str, id: i64, until: Instant) -> Visit {
        let rendition = self.rendition(slug, id).await?;
        let base = format!("/video/play/{id}/");
        while Instant::now() < until {
            let text = String::from_utf8_lossy(&self.get(&format!("{base}{rendition}")).await?).into_owned();
            let playlist = MediaPlaylist::read(&base, text);
            for path in playlist.maps.iter().chain(playlist.segments.iter().rev().take(3)) {
                if part() < 0.3 {
                    self.get(path).await?;
                }
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The part that is next, before it is there (RFC 8216bis section 6.2.5.2).
    async fn low_latency(&self, slug: &str, id: i64, until: Instant) -> Visit {
        let rendition = self.rendition(slug, id).await?;
        let base = format!("/video/play/{id}/");
        let mut query = String::new();
        while Instant::now() < until {
            let text = self.get(&format!("{base}{rendition}{query}")).await?;
            let playlist = MediaPlaylist::read(&base, String::from_utf8_lossy(&text).into_owned());
            let next = playlist.media_sequence + playlist.segments.len() as u64;
            // The URL may name the player already.
            let join = if rendition.contains('?') { '&' } else { '?' };
            let part = parts_behind_segments(&playlist.text);
            query = format!("{join}_HLS_msn={next}&_HLS_part={part}");
        }
        Ok(())
    }
}

/// Parts of the segment that is not whole yet.
fn parts_behind_segments(playlist: &str) -> usize {
    let lines = playlist.lines().rev().take_while(|line| line.is_empty() || line.starts_with('#'));
    lines.filter(|line| line.starts_with("#EXT-X-PART:")).count()
}

/// A kind by its weight, and its place.
fn choose() -> (usize, Kind) {
    let all: u32 = KINDS.iter().map(|(_, weight)| weight).sum();
    let mut at = part() * f64::from(all);
    for (i, (kind, weight)) in KINDS.iter().enumerate() {
        at -= f64::from(*weight);
        if at < 0.0 {
            return (i, *kind);
        }
    }
    (0, Kind::Frames)
}
