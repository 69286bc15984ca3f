//! What the playlists say (RFC 8216). Pure.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// Version 7 is what fMP4 with EXT-X-MAP and fractional durations asks for at most (RFC 8216 section 7).
const VERSION: u32 = 7;

/// A segment as the playlist names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Never used twice, never going back, over all owners of a stream.
    pub sequence: u64,
    pub duration: Duration,
    /// Bytes.
    pub len: u64,
    /// The run of continuous time it belongs to: its Discontinuity Sequence Number (RFC 8216 section 6.2.1).
    pub discontinuity: u64,
    /// Which init file it needs.
    pub init: u64,
    /// When its first picture reached the worker.
    pub at: SystemTime,
}

/// The segments that a playlist lists now.
#[derive(Debug)]
pub struct Window {
    listed: VecDeque<Listed>,
    max: usize,
    /// Seconds; only ever grows (RFC 8216 section 6.2.1).
    target_duration: u64,
}

impl Window {
    /// Empty; lists at most `max` segments of about `target`.
    pub fn new(max: usize, target: Duration) -> Self {
        Self { listed: VecDeque::new(), max: max.max(1), target_duration: ceil_seconds(target) }
    }

    /// Adds the newest; gives back those that are listed no more.
    pub fn push(&mut self, segment: Listed) -> Vec<Listed> {
        self.target_duration = self.target_duration.max(ceil_seconds(segment.duration));
        self.listed.push_back(segment);
        let surplus = self.listed.len().saturating_sub(self.max);
        self.listed.drain(..surplus).collect()
    }

    /// Takes the oldest out, unless only `least` are left.
    pub fn shorten(&mut self, least: usize) -> Option<Listed> {
        if self.listed.len() > least { self.listed.pop_front() } else { None }
    }

    /// Empties it: nothing is listed any more.
    pub fn clear(&mut self) -> Vec<Listed> {
        self.listed.drain(..).collect()
    }

    /// The init file of the oldest listed segment.
    pub fn first_init(&self) -> Option<u64> {
        self.listed.front().map(|segment| segment.init)
    }

    /// Segments that it lists.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Its target duration, seconds.
    pub fn target_s(&self) -> u64 {
        self.target_duration
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Bits per second: the most of one segment, and the mean of all.
    pub fn bandwidth(&self) -> (u64, u64) {
        let rate =
            |bytes: u64, seconds: f64| if seconds > 0.0 { (bytes as f64 * 8.0 / seconds).ceil() as u64 } else { 0 };
        let peak = self.listed.iter().map(|s| rate(s.len, s.duration.as_secs_f64())).max().unwrap_or_default();
        let bytes = self.listed.iter().map(|s| s.len).sum();
        let seconds = self.listed.iter().map(|s| s.duration.as_secs_f64()).sum();
        (peak, rate(bytes, seconds))
    }

    /// The media playlist; its URIs begin with `prefix`, such as `1795350214855-7/source`.
    pub fn render(&self, prefix: &str) -> String {
        let mut text = String::with_capacity(128 + self.listed.len() * 128);
        let first = self.listed.front();
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}\n#EXT-X-INDEPENDENT-SEGMENTS\n",
            self.target_duration,
            first.map_or(0, |s| s.sequence),
            first.map_or(0, |s| s.discontinuity),
        );
        let mut before: Option<&Listed> = None;
        for segment in &self.listed {
            if before.is_some_and(|before| before.discontinuity != segment.discontinuity) {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if before.is_none_or(|before| before.init != segment.init) {
                let _ = writeln!(text, "#EXT-X-MAP:URI=\"{prefix}/init-{}.mp4\"", segment.init);
            }
            let _ = writeln!(
                text,
                "#EXT-X-PROGRAM-DATE-TIME:{}\n#EXTINF:{:.5},\n{prefix}/{}.m4s",
                rfc3339_ms(segment.at),
                segment.duration.as_secs_f64(),
                segment.sequence,
            );
            before = Some(segment);
        }
        text
    }
}

/// What the multivariant playlist says of the only variant.
#[derive(Clone, Debug)]
pub struct Variant<'a> {
    /// RFC 6381.
    pub codecs: &'a str,
    pub width: u32,
    pub height: u32,
    /// Pictures per second, when known.
    pub frame_rate: Option<f64>,
    /// Bits per second.
    pub peak: u64,
    pub average: u64,
    /// The media playlist, relative to this one.
    pub uri: &'a str,
}

impl Variant<'_> {
    /// The multivariant playlist.
    pub fn render(&self) -> String {
        let rate = self.frame_rate.map_or_else(String::new, |fps| format!(",FRAME-RATE={fps:.3}"));
        format!(
            "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:BANDWIDTH={},\
             AVERAGE-BANDWIDTH={},CODECS=\"{}\",RESOLUTION={}x{}{rate}\n{}\n",
            self.peak.max(1),
            self.average.max(1),
            self.codecs,
            self.width,
            self.height,
            self.uri,
        )
    }
}

/// EXTINF rounded to the nearest integer must not be above the target duration; rounding up leaves room for the
/// next segment to be a little longer without changing it.
fn ceil_seconds(duration: Duration) -> u64 {
    // A few milliseconds over a whole second are jitter, and round down to it.
    let seconds = (duration.as_secs_f64() - 0.05).ceil().max(1.0);
    seconds as u64
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listed(sequence: u64, ms: u64, discontinuity: u64, init: u64) -> Listed {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123 + sequence * 2000);
        Listed { sequence, duration: Duration::from_millis(ms), len: 1000, discontinuity, init, at }
    }

    #[test]
    fn renders_a_playlist_with_a_break() {
        let mut window = Window::new(3, Duration::from_secs(2));
        assert!(window.push(listed(7, 2000, 4, 0)).is_empty());
        window.push(listed(8, 1966, 4, 0));
        window.push(listed(9, 2033, 5, 1));
        assert_eq!(
            window.render("12-3/source"),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MAP:URI=\"12-3/source/init-0.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:34.123Z\n#EXTINF:2.00000,\n12-3/source/7.m4s\n\
             #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:36.123Z\n#EXTINF:1.96600,\n12-3/source/8.m4s\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"12-3/source/init-1.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:38.123Z\n#EXTINF:2.03300,\n12-3/source/9.m4s\n"
        );
        let gone = window.push(listed(10, 2000, 5, 1));
        assert_eq!(gone.iter().map(|s| s.sequence).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn the_target_duration_is_that_of_the_longest_segment() {
        let mut window = Window::new(3, Duration::from_secs(2));
        assert_eq!(window.target_s(), 2);
        for (sequence, ms, want) in [(0, 2000, 2), (1, 4800, 5), (2, 1000, 5)] {
            window.push(listed(sequence, ms, 0, 0));
            assert_eq!(window.target_s(), want, "{ms}");
        }
    }

    #[test]
    fn is_shortened_from_the_oldest_down_to_the_least() {
        let mut window = Window::new(6, Duration::from_secs(2));
        (0..5).for_each(|i| drop(window.push(listed(i, 2000, 0, 0))));
        let gone: Vec<_> = std::iter::from_fn(|| window.shorten(3)).map(|segment| segment.sequence).collect();
        assert_eq!(gone, [0, 1]);
        assert!(window.render("p").contains("#EXT-X-MEDIA-SEQUENCE:2\n"));
    }

    #[test]
    fn renders_the_variant() {
        let variant = Variant {
            codecs: "avc1.64001f",
            width: 1920,
            height: 1080,
            frame_rate: Some(29.97),
            peak: 4_100_000,
            average: 3_900_000,
            uri: "source.m3u8",
        };
        assert_eq!(
            variant.render(),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:BANDWIDTH=4100000,\
             AVERAGE-BANDWIDTH=3900000,CODECS=\"avc1.64001f\",RESOLUTION=1920x1080,FRAME-RATE=29.970\nsource.m3u8\n"
        );
    }

    #[test]
    fn dates() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339_ms(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }

    /// What RFC 8216 sections 6.2.1 and 6.2.2 forbid between two versions of a playlist.
    fn values(text: &str) -> (u64, u64, u64) {
        let value = |tag: &str| text.lines().find_map(|line| line.strip_prefix(tag)).unwrap().parse().unwrap();
        (value("#EXT-X-TARGETDURATION:"), value("#EXT-X-MEDIA-SEQUENCE:"), value("#EXT-X-DISCONTINUITY-SEQUENCE:"))
    }

    proptest! {
        #[test]
        fn sequences_never_go_back(segments in prop::collection::vec((100u64..9000, prop::bool::weighted(0.2)), 1..80), max in 1usize..10) {
            let mut window = Window::new(max, Duration::from_secs(2));
            let (mut discontinuity, mut last) = (3, None);
            for (i, (ms, breaks)) in segments.into_iter().enumerate() {
                discontinuity += u64::from(breaks);
                window.push(listed(i as u64, ms, discontinuity, 0));
                let text = window.render("p");
                let (target, media, disc) = values(&text);
                prop_assert!(target >= (ms + 500) / 1000);
                if let Some((t, m, d)) = last {
                    prop_assert!(target >= t && media >= m && disc >= d);
                }
                // The number of the last segment is the first one's plus the tags between them.
                let tags = text.lines().filter(|l| *l == "#EXT-X-DISCONTINUITY").count() as u64;
                prop_assert_eq!(disc + tags, discontinuity);
                prop_assert!(text.matches("#EXTINF").count() <= max);
                last = Some((target, media, disc));
            }
        }
    }
}
