//! Keeps the arbiter's intents in line with the links and the demand of viewers, without reading all of them in each
//! pass: the streams that were noted, those that are watched, whose demand may end at any time, and a slice of the rest.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rsm_control::api::arbiter::Arbiter;
use rsm_control::api::intent::StreamIntent;
use rsm_shared::config::Config;
use rsm_shared::stream::slug::Slug;
use rsm_viewing::streams::NotedStreams;

use crate::directory::{Directory, Entry};

/// Every stream is read again in this time, noted or not: a note that went missing costs this much, not for ever.
const SWEEP: Duration = Duration::from_secs(10);
/// Most streams of the sweep in one pass.
const SWEEP_AT_A_TIME: usize = 1000;

/// What was read so far.
#[derive(Default)]
pub struct Intents {
    /// Streams that somebody wants now: one entry for each registered stream at most.
    watched: HashSet<Slug>,
    /// The sweep has come to this id.
    swept: i64,
    swept_at: Option<Instant>,
}

impl Intents {
    /// Reads what may have changed since the last call.
    pub fn read(&mut self, directory: &Directory, config: &Config, arbiter: &mut Arbiter, now: Instant) {
        let mut slugs = std::mem::take(&mut self.watched);
        match directory.wake.take() {
            NotedStreams::These(noted) => slugs.extend(noted),
            NotedStreams::All => return self.read_all(directory, config, arbiter),
        }
        for slug in slugs {
            match directory.get(&slug) {
                Some(entry) => self.take_in(&entry, config, arbiter),
                None => arbiter.withdraw(&slug),
            }
        }
        self.sweep(directory, config, arbiter, now);
    }

    /// Reads every link, and withdraws what is registered no more.
    pub fn read_all(&mut self, directory: &Directory, config: &Config, arbiter: &mut Arbiter) {
        self.watched.clear();
        for entry in directory.all() {
            self.take_in(&entry, config, arbiter);
        }
        let gone = arbiter.streams().all().filter(|intent| directory.get(&intent.slug).is_none());
        let gone: Vec<Slug> = gone.map(|intent| intent.slug.clone()).collect();
        gone.iter().for_each(|slug| arbiter.withdraw(slug));
    }

    fn sweep(&mut self, directory: &Directory, config: &Config, arbiter: &mut Arbiter, now: Instant) {
        let since = now.saturating_duration_since(*self.swept_at.get_or_insert(now));
        let share = since.as_secs_f64() / SWEEP.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count, not negative")]
        let part = ((directory.len() as f64 * share) as usize).min(SWEEP_AT_A_TIME);
        if part == 0 && since < SWEEP {
            return;
        }
        self.swept_at = Some(now);
        let slice = directory.after(self.swept, part.max(1));
        self.swept = slice.last().map_or(0, |entry| entry.offer().id);
        for entry in slice {
            self.take_in(&entry, config, arbiter);
        }
        if self.swept == 0 && arbiter.streams().all().len() != directory.len() {
            self.read_all(directory, config, arbiter);
        }
    }

    fn take_in(&mut self, entry: &Entry, config: &Config, arbiter: &mut Arbiter) {
        let intent = intent(entry, config);
        if intent.demanded {
            self.watched.insert(intent.slug.clone());
        }
        arbiter.intend(intent);
    }
}

fn intent(entry: &Entry, config: &Config) -> StreamIntent {
    let link = entry.link();
    let demanded = entry.demand.current(link.jpeg_params(config.mjpeg)).any() || entry.demand.elsewhere();
    StreamIntent {
        slug: link.slug.clone(),
        id: link.id,
        zone: link.zone.clone(),
        enabled: link.enabled,
        always_on: link.runs_unwatched(config.hls.params()),
        exclusive: link.exclusive,
        spec_rev: link.spec_rev,
        demanded,
        unwanted_since: entry.demand.last_wanted().filter(|_| !demanded),
    }
}
