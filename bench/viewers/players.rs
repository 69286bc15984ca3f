//! Many HLS players in a process of their own: each asks for the multivariant playlist once, for the media playlist
//! every 2 s, and for every segment that is new in it, over a connection that it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::figures::spread;
use crate::harness::viewer::MediaPlaylist;

const REFRESH: Duration = Duration::from_secs(2);
/// A playlist that is not there yet is asked for again.
const AGAIN: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(30);
/// For every player to have a segment.
const START: Duration = Duration::from_secs(90);

#[derive(Default)]
struct PlayerTally {
    /// Milliseconds, by kind of request.
    ms: BTreeMap<&'static str, Vec<f64>>,
    /// Errors, by request and answer.
    errors: BTreeMap<String, u64>,
    objects: BTreeSet<String>,
    bytes: u64,
    playing: usize,
}

#[derive(Clone)]
struct Player {
    http: reqwest::Client,
    base: String,
    seen: Arc<Mutex<PlayerTally>>,
}

/// `count` players of `ids` in turn: prints a line when all play, and their observations after `seconds` more.
///
/// # Errors
/// The system has no more descriptors or memory.
pub fn run(base: &str, ids: &[i64], count: usize, seconds: u64) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let seen = Arc::<Mutex<PlayerTally>>::default();
        let mut tasks = JoinSet::new();
        for n in 0..count {
            let http =
                reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().map_err(std::io::Error::other)?;
            let player = Player { http, base: base.to_owned(), seen: seen.clone() };
            // Spread over the time between two looks, as players that did not come together are.
            let delay = REFRESH.mul_f64(n as f64 / count as f64);
            tasks.spawn(player.play(ids[n % ids.len()], delay));
        }
        let begun = Instant::now();
        while seen.lock().playing < count && begun.elapsed() < START {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("{}", json!({ "playing": seen.lock().playing, "seconds": begun.elapsed().as_secs_f64() }));
        seen.lock().begin();
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        println!("{}", seen.lock().json(begun.elapsed()));
        Ok(())
    })
}

impl PlayerTally {
    /// Forgets the observations of the start.
    fn begin(&mut self) {
        *self = Self { playing: self.playing, ..Self::default() };
    }

    fn json(&mut self, took: Duration) -> Value {
        let ms = std::mem::take(&mut self.ms);
        let requests: BTreeMap<&str, usize> = ms.iter().map(|(kind, times)| (*kind, times.len())).collect();
        let ms: BTreeMap<&str, Value> = ms.into_iter().map(|(kind, times)| (kind, spread(times))).collect();
        json!({ "seconds": took.as_secs_f64(), "requests": requests, "ms": ms, "errors": self.errors,
            "objects": self.objects.len(), "bytes": self.bytes })
    }
}

impl Player {
    /// For ever.
    async fn play(self, id: i64, delay: Duration) {
        tokio::time::sleep(delay).await;
        let master = format!("/video/play/{id}/");
        let variant = loop {
            let text = self.text("multivariant", &master).await.unwrap_or_default();
            if let Some(variant) = text.lines().find(|line| !line.starts_with('#') && !line.is_empty()) {
                break format!("{master}{variant}");
            }
            tokio::time::sleep(AGAIN).await;
        };
        let mut have: Option<BTreeSet<String>> = None;
        loop {
            let begun = Instant::now();
            if let Some(text) = self.text("playlist", &variant).await {
                let playlist = MediaPlaylist::read(&master, text);
                let wanted = match &have {
                    // Begins with the newest, as a player does.
                    None => playlist.maps.iter().chain(playlist.segments.last()).cloned().collect::<Vec<_>>(),
                    Some(have) => playlist.segments.iter().filter(|path| !have.contains(*path)).cloned().collect(),
                };
                for path in &wanted {
                    self.get("segment", path).await;
                }
                if have.is_none() && !playlist.segments.is_empty() {
                    self.seen.lock().playing += 1;
                }
                if !playlist.segments.is_empty() {
                    have = Some(playlist.segments.into_iter().collect());
                }
            }
            tokio::time::sleep(REFRESH.saturating_sub(begun.elapsed())).await;
        }
    }

    async fn text(&self, kind: &'static str, path: &str) -> Option<String> {
        self.get(kind, path).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn get(&self, kind: &'static str, path: &str) -> Option<Vec<u8>> {
        let begun = Instant::now();
        let outcome = async {
            let answer = self.http.get(format!("{}{path}", self.base)).send().await?.error_for_status()?;
            answer.bytes().await
        };
        match outcome.await {
            Ok(bytes) => {
                let mut seen = self.seen.lock();
                seen.ms.entry(kind).or_default().push(begun.elapsed().as_secs_f64() * 1000.0);
                seen.bytes += bytes.len() as u64;
                if kind == "segment" {
                    seen.objects.insert(path.to_owned());
                }
                Some(bytes.to_vec())
            }
            Err(error) => {
                let what = error.status().map_or_else(|| "no answer".to_owned(), |status| status.to_string());
                *self.seen.lock().errors.entry(format!("{kind}: {what}")).or_default() += 1;
                None
            }
        }
    }
}
