//! A worker's playlist: the values that are read from it, and what is added before a player gets it: its id, and
//! the way to the files. Pure.

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
/// media playlist it fetches. `folder` leads to them, see [`folder`].
pub fn mark_viewer(multivariant: &str, folder: &str, viewer: u64) -> String {
    with_children(multivariant, |uri| {
        let separator = if uri.contains('?') { '&' } else { '?' };
        format!("{folder}{uri}{separator}viewer={viewer:016x}")
    })
}

/// A media playlist for a player that reaches its files through `folder`, see [`folder`].
pub fn in_folder(media: &PlaylistText, folder: &str) -> Bytes {
    if folder.is_empty() { media.bytes() } else { with_children(media.as_str(), |uri| format!("{folder}{uri}")).into() }
}

/// Beginning of a reference to a file beside a playlist, when the playlist was asked for at `path`. Players resolve
/// references against the address they asked at, and each playlist has one with a last slash and one without:
/// `/video/play/7/` and `/video/play/7/source.m3u8` stand in the folder of their files, `/video/play/7` above it and
/// `/video/play/7/source.m3u8/` in one below.
pub fn folder(path: &str) -> String {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let is_file = |name: &str| name.ends_with(".m3u8");
    match path.strip_suffix('/') {
        Some(path) if is_file(&last(path)) => "../".into(),
        Some(_) => String::new(),
        None if is_file(&last(path)) => String::new(),
        None => format!("{}/", last(path)),
    }
}

/// The playlist with its URIs as `named` has them. They stand on lines of their own and in URI attributes (RFC 8216
/// section 4.1 and 4.2).
fn with_children(playlist: &str, named: impl Fn(&str) -> String) -> String {
    let mut text = String::with_capacity(playlist.len() * 2);
    for line in playlist.lines() {
        if !line.starts_with('#') && !line.is_empty() {
            text.push_str(&named(line.trim_end()));
        } else if let Some((before, uri, after)) = uri_attribute(line) {
            text.push_str(before);
            text.push_str(&named(uri));
            text.push_str(after);
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// The id of a viewer as it stands in a query: 16 hexadecimal digits, or it is not one of ours.
pub fn viewer_id(text: &str) -> Option<u64> {
    let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if ours { u64::from_str_radix(text, 16).ok() } else { None }
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
        assert_eq!(mark_viewer(playlist, "", 255), want);
        let below = want.replace("source.m3u8", "7/source.m3u8").replace("audio.m3u8", "7/audio.m3u8");
        assert_eq!(mark_viewer(playlist, "7/", 255), below);
    }

    #[test]
    fn children_are_found_from_every_spelling_of_a_playlist_s_address() {
        for (path, want) in [
            ("/video/play/7/", ""),
            ("/video/play/7", "7/"),
            ("/cams/video/play/7", "7/"),
            ("/video/play/7/master.m3u8", ""),
            ("/video/play/7/master.m3u8/", "../"),
            ("/video/play/7/source.m3u8", ""),
            ("/video/play/7/source.m3u8/", "../"),
        ] {
            assert_eq!(folder(path), want, "{path}");
        }
        let media = PlaylistText::read(
            "#EXTM3U\n#EXT-X-MAP:URI=\"7-3/source/init-1.mp4\"\n#EXT-X-PART:DURATION=0.3,URI=\"7-3/source/1.0.m4s\"\n\
            #EXTINF:2.0,\n7-3/source/1.m4s\n",
        )
        .unwrap();
        assert_eq!(in_folder(&media, ""), media.bytes());
        let moved = String::from_utf8(in_folder(&media, "../").to_vec()).unwrap();
        assert_eq!(moved, media.as_str().replace("7-3/", "../7-3/"));
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
            let marked = mark_viewer("#EXTM3U\nsource.m3u8\n", "", id);
            let (_, query) = marked.trim_end().split_once("?viewer=").unwrap();
            prop_assert_eq!(viewer_id(query), Some(id));
        }

        #[test]
        fn any_text_is_marked(text in "\\PC{0,80}") {
            mark_viewer(&text, &folder(&text), 1);
        }
    }
}
