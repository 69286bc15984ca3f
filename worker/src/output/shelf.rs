//! The segments of one owner of a stream: on disk, listed, or waiting to be removed; and their numbers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::spec::HlsParams;
use tokio::time::Instant;

use crate::hls::disk::{DiskError, SegmentDir};
use crate::hls::multivariant::{Multivariant, Variant};
use crate::hls::segmenter::Segment;
use crate::hls::window::{Listed, Window};
use crate::media::parameters::VideoParameters;

/// A playlist is not made shorter than this to stay within the budget: players begin three segments before the end
/// (RFC 8216 section 6.3.3).
const LEAST_LISTED: usize = 3;

/// How far HLS has come, and what ails it. Read by the heartbeat.
pub trait HlsReport: Send + Sync + 'static {
    /// The numbers that the next segment gets.
    fn progress(&self, media_sequence: u64, discontinuity_sequence: u64);
    /// Segments that the playlist lists, 0 while there is none; and its target duration, seconds.
    fn listed(&self, segments: usize, target_s: u64);
    /// A sentence for people while HLS cannot be made; `None` when it can.
    fn error(&self, text: Option<String>);
    /// Pictures per second as measured.
    fn fps(&self) -> Option<f64>;
}

/// What a segment needs beside its bytes.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub init: u64,
    /// When the first picture of its muxer reached the worker.
    pub began: SystemTime,
    pub video: Arc<VideoParameters>,
}

/// A segment that no playlist lists, until its time is over.
struct Buried {
    until: Instant,
    sequence: u64,
    len: u64,
    init: u64,
}

pub(super) struct Shelf {
    dir: SegmentDir,
    report: Arc<dyn HlsReport>,
    params: HlsParams,
    /// What the media playlist's URIs begin with.
    prefix: String,
    window: Window,
    /// Kept for a window's time for players that have an older playlist; so at most as many as two windows list.
    buried: VecDeque<Buried>,
    next_init: u64,
    /// Of the next segment.
    sequence: u64,
    discontinuity: u64,
    /// A segment has that number.
    unbroken: bool,
    /// As last written; empty when there is none.
    multivariant: String,
}

impl Shelf {
    /// Empty; numbers begin with `sequence` and `discontinuity`.
    pub fn new(
        dir: SegmentDir,
        report: Arc<dyn HlsReport>,
        params: HlsParams,
        prefix: String,
        (sequence, discontinuity): (u64, u64),
    ) -> Self {
        let window = Window::new(params.window_segments as usize, target(params), None);
        let shelf = Self {
            dir,
            report,
            params,
            prefix,
            window,
            buried: VecDeque::new(),
            next_init: 0,
            sequence,
            discontinuity,
            unbroken: false,
            multivariant: String::new(),
        };
        shelf.report_progress();
        shelf
    }

    /// Number of the next segment.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Writes an initialisation section; gives back its number.
    pub async fn add_init(&mut self, parts: Vec<Bytes>) -> Result<u64, DiskError> {
        let number = self.next_init;
        self.next_init += 1;
        self.dir.write_init(number, parts).await?;
        Ok(number)
    }

    /// Writes a segment, and the playlists that list it. Not to be dropped half-way.
    pub async fn add(&mut self, origin: &Origin, segment: Segment) -> Result<(), DiskError> {
        self.sweep().await;
        let (sequence, len, duration) = (self.sequence, segment.len(), segment.duration);
        // Taken even if the write fails: one that comes late must not land on another segment's name.
        self.sequence += 1;
        self.write_within_budget(sequence, segment.parts).await?;
        self.unbroken = true;
        let (discontinuity, at) = (self.discontinuity, origin.began + segment.start);
        let gone = self.window.push(Listed { sequence, duration, len, discontinuity, init: origin.init, at });
        self.bury(gone);
        let multivariant = self.render_multivariant(&origin.video);
        let changed = (multivariant != self.multivariant).then(|| multivariant.clone());
        self.dir.write_playlists(self.window.render(&self.prefix), changed).await?;
        self.multivariant = multivariant;
        self.report.listed(self.window.len(), self.window.target_s());
        self.report.error(None);
        self.report_progress();
        Ok(())
    }

    /// Over the budget, a shorter playlist is better than none.
    async fn write_within_budget(&mut self, sequence: u64, parts: Vec<Bytes>) -> Result<(), DiskError> {
        loop {
            match self.dir.write_segment(sequence, parts.clone()).await {
                Err(DiskError::Budget(_)) if self.give_way().await? => {}
                done => return done,
            }
        }
    }

    /// Removes what is needed least: all that no playlist lists, or else the oldest that one lists. `false` when there
    /// is neither; so not more often in a row than a window is long.
    async fn give_way(&mut self) -> Result<bool, DiskError> {
        if self.buried.is_empty() {
            let Some(oldest) = self.window.shorten(LEAST_LISTED) else { return Ok(false) };
            self.bury(vec![oldest]);
            // Before its file goes.
            self.dir.write_playlists(self.window.render(&self.prefix), None).await?;
        }
        self.make_room().await;
        Ok(true)
    }

    /// What comes next does not follow what was. Numbers go up by one per break that a playlist shows: one without a
    /// segment before it shows nowhere.
    pub fn break_time(&mut self) {
        self.discontinuity += u64::from(std::mem::take(&mut self.unbroken));
        self.report_progress();
    }

    /// Nothing is playable any more; the files stay for a window's time.
    pub async fn withdraw(&mut self) {
        self.report.listed(0, self.window.target_s());
        self.dir.remove_playlists().await;
        self.multivariant.clear();
        let gone = self.window.clear();
        self.bury(gone);
    }

    /// Removes every segment that no playlist lists, now.
    pub async fn make_room(&mut self) {
        self.buried.iter_mut().for_each(|buried| buried.until = Instant::now());
        self.sweep().await;
    }

    /// Waits for the time of the oldest unlisted segment, then removes it; for ever when there is none.
    pub async fn tidy(&mut self) {
        match self.buried.front().map(|buried| buried.until) {
            Some(until) => {
                tokio::time::sleep_until(until).await;
                self.sweep().await;
            }
            None => std::future::pending().await,
        }
    }

    fn bury(&mut self, gone: Vec<Listed>) {
        let until = Instant::now() + target(self.params) * self.params.window_segments;
        self.buried.extend(gone.into_iter().map(|s| Buried { until, sequence: s.sequence, len: s.len, init: s.init }));
    }

    /// Removes the segments whose time is over, and the init files that no later segment needs.
    async fn sweep(&mut self) {
        let now = Instant::now();
        let (mut gone, mut inits) = (Vec::new(), Vec::new());
        while let Some(buried) = self.buried.pop_front_if(|buried| buried.until <= now) {
            gone.push((buried.sequence, buried.len));
            let next_init = self.buried.front().map_or(self.window.first_init(), |next| Some(next.init));
            if next_init != Some(buried.init) && buried.init + 1 < self.next_init {
                inits.push(buried.init);
            }
        }
        if !gone.is_empty() {
            self.dir.remove_segments(gone).await;
        }
        if !inits.is_empty() {
            self.dir.remove_inits(inits).await;
        }
    }

    fn render_multivariant(&self, video: &VideoParameters) -> String {
        let (peak, average) = self.window.bandwidth();
        let source = Variant {
            rendition: Rendition::Source,
            codecs: video.rfc6381.clone(),
            width: video.width,
            height: video.height,
            frame_rate: self.report.fps().or(video.declared_fps),
            range: None,
            peak,
            average,
        };
        Multivariant { variants: vec![source], audio: None }.render()
    }

    fn report_progress(&self) {
        self.report.progress(self.sequence, self.discontinuity);
    }
}

fn target(params: HlsParams) -> Duration {
    Duration::from_secs(u64::from(params.segment_seconds))
}
