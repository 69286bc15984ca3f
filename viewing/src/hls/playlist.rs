//! A worker's playlist: the values that are read from it, and the viewer id that is added before a player gets it. Pure.

use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::rendition::Rendition;

use super::locate::Playlist;

/// Longest time that a player may stay away, whatever its playlist says, seconds.
const MAX_PATIENCE: u64 = 90;

/// A playlist as its worker wrote it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaylistText {
    /// UTF-8.
    bytes: Bytes,
    /// Seconds; `None` when it names none, as multivariant ones do.
    target: Option<u64>,
}

impl PlaylistText {
    /// Reads one; `None` when it is not text.
    pub fn read(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        let text = std::str::from_utf8(&bytes).ok()?;
        let target = text.lines().find_map(|line| line.strip_prefix("#EXT-X-TARGETDURATION:"));
        let target = target.and_then(|seconds| seconds.trim().parse().ok());
        Some(Self { bytes, target })
    }

    /// The bytes that a player gets.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    /// The target duration that it names.
    pub fn target(&self) -> Option<Duration> {
        self.target.map(Duration::from_secs)
    }

    /// Time that a player of this playlist may stay away before it counts as gone: three target durations, 90 s at
    /// most; zero when it names none.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.target.unwrap_or(0).saturating_mul(3).min(MAX_PATIENCE))
    }

    /// True when this multivariant playlist offers that rendition of the video.
    pub fn offers(&self, rendition: Rendition) -> bool {
        let name = Playlist::Media(rendition).file_name();
        self.as_str().lines().any(|line| line.split('?').next().is_some_and(|uri| uri.trim_end() == name))
    }
}

/// Adds `?viewer=<id>` to the children that a multivariant playlist names, so that each player can be counted by the
/// media playlist it fetches. URIs stand on lines of their own and in URI attributes (RFC 8216 section 4.1 and 4.2).
pub fn mark_viewer(multivariant: &str, viewer: u64) -> String {
    let mut marked = String::with_capacity(multivariant.len() + 64);
    for line in multivariant.lines() {
        if !line.starts_with('#') && !line.is_empty() {
            marked.push_str(&with_viewer(line.trim_end(), viewer));
        } else if let Some((before, uri, after)) = uri_attribute(line) {
            marked.push_str(before);
            marked.push_str(&with_viewer(uri, viewer));
            marked.push_str(after);
        } else {
            marked.push_str(line);
        }
        marked.push('\n');
    }
    marked
}

/// The id of a viewer as it stands in a query: 16 hexadecimal digits, or it is not one of ours.
pub fn viewer_id(text: &str) -> Option<u64> {
    let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if ours { u64::from_str_radix(text, 16).ok() } else { None }
}

fn with_viewer(uri: &str, viewer: u64) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}viewer={viewer:016x}")
}

fn uri_attribute(line: &str) -> Option<(&str, &str, &str)> {
    let start = line.find("URI=\"")? + "URI=\"".len();
    let end = start + line.get(start..)?.find('"')?;
    Some((line.get(..start)?, line.get(start..end)?, line.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_playlist_says_how_long_its_players_stay_away() {
        for (text, seconds) in [
            ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n", 6),
            ("#EXTM3U\n#EXT-X-TARGETDURATION: 7 \r\n", 21),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:18446744073709551615\n", 90),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:x\n", 0),
            ("#EXTM3U\nsource.m3u8\n", 0),
        ] {
            assert_eq!(PlaylistText::read(text).unwrap().patience(), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(PlaylistText::read(&b"\xff"[..]), None);
    }

    #[test]
    fn a_multivariant_playlist_offers_what_it_names() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=2\nsource.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\n360p.m3u8?x=1\n";
        let index = PlaylistText::read(text).unwrap();
        let offered: Vec<_> = Rendition::ALL.into_iter().filter(|rendition| index.offers(*rendition)).collect();
        assert_eq!(offered, [Rendition::Source, Rendition::P360]);
    }

    #[test]
    fn children_carry_the_viewer_and_the_rest_stays() {
        let playlist = "#EXTM3U\n#EXT-X-VERSION:7\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio.m3u8?x=1\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001f\"\nsource.m3u8\n";
        let want = "#EXTM3U\n#EXT-X-VERSION:7\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio.m3u8?x=1&viewer=00000000000000ff\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001f\"\nsource.m3u8?viewer=00000000000000ff\n";
        assert_eq!(mark_viewer(playlist, 255), want);
    }

    #[test]
    fn only_ids_of_ours_are_read() {
        assert_eq!(viewer_id("00000000000000ff"), Some(255));
        for bad in ["", "ff", "00000000000000FF", "+0000000000000ff", "00000000000000fg", "000000000000000ff"] {
            assert_eq!(viewer_id(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_id_reads_back(id: u64) {
            let marked = mark_viewer("#EXTM3U\nsource.m3u8\n", id);
            let (_, query) = marked.trim_end().split_once("?viewer=").unwrap();
            prop_assert_eq!(viewer_id(query), Some(id));
        }

        #[test]
        fn any_text_is_marked(text in "\\PC{0,80}") {
            mark_viewer(&text, 1);
        }
    }
}
