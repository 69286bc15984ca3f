//! The text of media playlists (RFC 8216, and RFC 8216bis where parts are listed). Pure.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use rsm_model::stream::rendition::Rendition;

use super::parts::{ClosedParts, Mark, PartTarget};
use super::window::{Listed, Window};

/// fMP4 with EXT-X-MAP and fractional durations needs version 7 (RFC 8216 section 7).
pub(super) const VERSION: u32 = 7;
/// EXT-X-SKIP needs version 9 (RFC 8216bis section 8). The whole playlist names the same version as its updates.
const VERSION_WITH_PARTS: u32 = 9;
/// Segments that end further than this before the newest one's end can be left out of an update, target durations: the
/// least that RFC 8216bis section 4.4.3.8 allows.
const SKIP_TARGETS: u64 = 6;
/// Distance from the end at which players begin: target durations without parts, part targets with them.
const HOLD_BACK_TARGETS: u32 = 3;

/// Progress of another rendition of the stream: a player that switches to it requests its next part at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenditionReport {
    pub rendition: Rendition,
    /// The newest segment of which something is listed.
    pub sequence: u64,
    /// Number of its listed parts.
    pub parts: u64,
}

/// The context of a playlist beside its window.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Prefix of all URIs, such as `1795350214855-7/source`.
    pub prefix: &'a str,
    /// Seconds; that of all renditions of the stream (RFC 8216bis section 6.2.4), not less than the window's.
    pub target_s: u64,
    /// The other renditions.
    pub others: &'a [RenditionReport],
    /// True when segments that the player knows may be left out.
    pub skip: bool,
}

impl Window {
    /// The playlist of whole segments, as a file; its URIs begin with `prefix`.
    pub fn render(&self, prefix: &str) -> String {
        let mut text = String::with_capacity(256 + self.listed.len() * 128);
        self.head(&mut text, VERSION, self.target_s());
        self.numbers(&mut text);
        let mut before = None;
        for segment in &self.listed {
            begin(&mut text, prefix, before, Begin::of(segment));
            whole(&mut text, prefix, segment);
            before = Some(Begin::of(segment));
        }
        text
    }

    /// The playlist that a player gets now: with parts, if there are any.
    pub fn render_live(&self, setting: &Setting) -> String {
        let Some(part_target) = self.part_target() else { return self.render(setting.prefix) };
        let mut text = String::with_capacity(1024 + self.listed.len() * 512);
        let target_s = setting.target_s.max(self.target_s());
        self.head(&mut text, VERSION_WITH_PARTS, target_s);
        self.server_control(&mut text, part_target, target_s);
        self.numbers(&mut text);
        let skipped = if setting.skip { self.skippable(target_s) } else { 0 };
        if skipped > 0 {
            line(&mut text, format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
        }
        let mut before = skipped.checked_sub(1).and_then(|last| self.listed.get(last)).map(Begin::of);
        for segment in self.listed.iter().skip(skipped) {
            begin(&mut text, setting.prefix, before, Begin::of(segment));
            if let Some(closed) = self.tagged(segment.sequence) {
                parts(&mut text, setting.prefix, closed.sequence, &closed.marks);
            }
            whole(&mut text, setting.prefix, segment);
            before = Some(Begin::of(segment));
        }
        if let Some(open) = self.open.as_ref().filter(|open| !open.marks.is_empty()) {
            let opening = open.opening;
            let (discontinuity, init, at) = (opening.discontinuity, opening.init, opening.at);
            begin(&mut text, setting.prefix, before, Begin { discontinuity, init, at });
            parts(&mut text, setting.prefix, opening.sequence, &open.marks);
        }
        if let Some((sequence, index)) = self.next_part() {
            let prefix = setting.prefix;
            line(&mut text, format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{prefix}/{sequence}.{index}.m4s\""));
        }
        setting.others.iter().for_each(|other| report(&mut text, other));
        text
    }

    fn head(&self, text: &mut String, version: u32, target_s: u64) {
        line(text, format_args!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target_s}"));
    }

    /// The same for all renditions of a stream (RFC 8216bis section 6.2.4), as they have the same targets.
    fn server_control(&self, text: &mut String, part_target: PartTarget, target_s: u64) {
        let skip = if self.can_skip() { format!("CAN-SKIP-UNTIL={},", target_s * SKIP_TARGETS) } else { String::new() };
        let part = part_target.duration();
        line(
            text,
            format_args!(
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,{skip}HOLD-BACK={},PART-HOLD-BACK={}\n\
                 #EXT-X-PART-INF:PART-TARGET={}",
                target_s * u64::from(HOLD_BACK_TARGETS),
                seconds(part * HOLD_BACK_TARGETS),
                seconds(part),
            ),
        );
    }

    /// The numbers of the first segment, or of the first parts when no segment is whole yet.
    fn numbers(&self, text: &mut String) {
        let first = self.listed.front().map(|first| (first.sequence, first.discontinuity));
        let open = || self.open.as_ref().map(|open| (open.opening.sequence, open.opening.discontinuity));
        let (sequence, discontinuity) = first.or_else(open).unwrap_or_default();
        line(
            text,
            format_args!(
                "#EXT-X-MEDIA-SEQUENCE:{sequence}\n#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity}\n\
                 #EXT-X-INDEPENDENT-SEGMENTS"
            ),
        );
    }

    /// Number of the oldest segments that end before the skip boundary.
    fn skippable(&self, target_s: u64) -> usize {
        let boundary = Duration::from_secs(target_s * SKIP_TARGETS);
        let mut after = Duration::ZERO;
        let near = self.listed.iter().rev().take_while(|segment| {
            let is_near = after <= boundary;
            after += segment.duration;
            is_near
        });
        if self.can_skip() { self.listed.len() - near.count() } else { 0 }
    }

    /// True when it lists so many segments that a player can leave old ones out when it asks again.
    fn can_skip(&self) -> bool {
        self.max > SKIP_TARGETS as usize
    }

    fn tagged(&self, sequence: u64) -> Option<&ClosedParts> {
        self.closed.iter().rev().find(|closed| closed.sequence == sequence && closed.tagged)
    }
}

/// The tags before a segment, or before its first part.
#[derive(Clone, Copy)]
struct Begin {
    discontinuity: u64,
    init: u64,
    at: SystemTime,
}

impl Begin {
    fn of(segment: &Listed) -> Self {
        Self { discontinuity: segment.discontinuity, init: segment.init, at: segment.at }
    }
}

fn begin(text: &mut String, prefix: &str, before: Option<Begin>, now: Begin) {
    if before.is_some_and(|before| before.discontinuity != now.discontinuity) {
        line(text, format_args!("#EXT-X-DISCONTINUITY"));
    }
    if before.is_none_or(|before| before.init != now.init) {
        line(text, format_args!("#EXT-X-MAP:URI=\"{prefix}/init-{}.mp4\"", now.init));
    }
    line(text, format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", rfc3339_ms(now.at)));
}

fn parts(text: &mut String, prefix: &str, sequence: u64, marks: &[Mark]) {
    for (index, mark) in marks.iter().enumerate() {
        let independent = if mark.independent { ",INDEPENDENT=YES" } else { "" };
        let duration = seconds(mark.duration);
        line(
            text,
            format_args!("#EXT-X-PART:DURATION={duration},URI=\"{prefix}/{sequence}.{index}.m4s\"{independent}"),
        );
    }
}

fn whole(text: &mut String, prefix: &str, segment: &Listed) {
    if segment.len == 0 {
        line(text, format_args!("#EXT-X-GAP"));
    }
    let (duration, sequence) = (seconds(segment.duration), segment.sequence);
    line(text, format_args!("#EXTINF:{duration},\n{prefix}/{sequence}.m4s"));
}

fn report(text: &mut String, other: &RenditionReport) {
    let (name, sequence) = (other.rendition.as_str(), other.sequence);
    let last = other.parts.checked_sub(1).map_or_else(String::new, |last| format!(",LAST-PART={last}"));
    line(text, format_args!("#EXT-X-RENDITION-REPORT:URI=\"{name}.m3u8\",LAST-MSN={sequence}{last}"));
}

fn line(text: &mut String, line: std::fmt::Arguments) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{line}");
}

fn seconds(duration: Duration) -> String {
    format!("{:.5}", duration.as_secs_f64())
}

/// UTC with milliseconds, as EXT-X-PROGRAM-DATE-TIME wants (RFC 8216 section 4.3.2.6). Days to date after Howard
/// Hinnant's `civil_from_days`.
pub fn rfc3339_ms(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s, ms) = (second / 3600, second % 3600 / 60, second % 60, since.subsec_millis());
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests;
