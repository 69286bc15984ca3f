//! Parses the tail of an address: it names one of the files that a worker makes. Pure; no other code reads it.

use std::path::PathBuf;

use rsm_model::stream::fence::Fence;
use rsm_model::stream::rendition::Rendition;
use rsm_model::stream::slug::Slug;

/// Most digits of a number that fits 64 bits.
const MAX_DIGITS: usize = 20;

/// A file of one owner of one stream. Every member is of a type that cannot hold `/` or `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub slug: Slug,
    pub fence: Fence,
    pub file: HlsFile,
}

/// The kinds of files that an owner makes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HlsFile {
    /// `index.m3u8`
    Multivariant,
    /// `<rendition>.m3u8`
    Playlist(Rendition),
    /// `<rendition>/init-<number>.mp4`
    Init(Rendition, u64),
    /// `<rendition>/<media sequence>.m4s`
    Segment(Rendition, u64),
    /// `<rendition>/<media sequence>.<index>.m4s`: no file on disk.
    Part(Rendition, u64, u64),
}

impl Address {
    /// Reads `<slug>/<epoch>-<revision>/<file>`; `None` for anything else. Nothing is percent-decoded: no name
    /// needs it. A file has exactly one spelling.
    pub fn parse(tail: &str) -> Option<Self> {
        let mut parts = tail.splitn(3, '/');
        let slug = Slug::parse(parts.next()?).ok()?;
        let fence = Fence::from_dir_name(parts.next()?)?;
        let file = HlsFile::parse(parts.next()?)?;
        Some(Self { slug, fence, file })
    }

    /// Path of the file below the root of all HLS files; for a part, the file of its segment.
    pub fn path(&self) -> PathBuf {
        let mut path = PathBuf::from(self.slug.as_str());
        path.push(self.fence.dir_name());
        path.push(self.file.name());
        path
    }
}

impl HlsFile {
    fn parse(name: &str) -> Option<Self> {
        if name == "index.m3u8" {
            return Some(Self::Multivariant);
        }
        let Some((dir, file)) = name.split_once('/') else {
            return name.strip_suffix(".m3u8").and_then(Rendition::from_name).map(Self::Playlist);
        };
        let rendition = Rendition::from_name(dir)?;
        if let Some(init) = file.strip_prefix("init-") {
            return init.strip_suffix(".mp4").and_then(number).map(|k| Self::Init(rendition, k));
        }
        let media = file.strip_suffix(".m4s")?;
        match media.split_once('.') {
            Some((sequence, index)) => Some(Self::Part(rendition, number(sequence)?, number(index)?)),
            None => number(media).map(|sequence| Self::Segment(rendition, sequence)),
        }
    }

    /// Its name on disk, below its owner's directory.
    fn name(self) -> String {
        match self {
            Self::Multivariant => "index.m3u8".into(),
            Self::Playlist(rendition) => format!("{}.m3u8", rendition.as_str()),
            Self::Init(rendition, k) => format!("{}/init-{k}.mp4", rendition.as_str()),
            Self::Segment(rendition, sequence) | Self::Part(rendition, sequence, _) => {
                format!("{}/{sequence}.m4s", rendition.as_str())
            }
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Multivariant | Self::Playlist(_) => "application/vnd.apple.mpegurl",
            Self::Init(Rendition::Audio, _) | Self::Segment(Rendition::Audio, _) | Self::Part(Rendition::Audio, ..) => {
                "audio/mp4"
            }
            Self::Init(..) => "video/mp4",
            Self::Segment(..) | Self::Part(..) => "video/iso.segment",
        }
    }
}

/// Plain decimal without a leading zero.
fn number(text: &str) -> Option<u64> {
    let plain = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain && (text.len() == 1 || !text.starts_with('0')) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_worker_makes_of_every_rendition_has_a_place() {
        for rendition in Rendition::ALL {
            let name = rendition.as_str();
            let media = if rendition == Rendition::Audio { "audio/mp4" } else { "video/iso.segment" };
            let init = if rendition == Rendition::Audio { "audio/mp4" } else { "video/mp4" };
            let playlist = "application/vnd.apple.mpegurl";
            for (tail, file, path, content_type) in [
                ("index.m3u8".to_owned(), HlsFile::Multivariant, "index.m3u8".to_owned(), playlist),
                (format!("{name}.m3u8"), HlsFile::Playlist(rendition), format!("{name}.m3u8"), playlist),
                (format!("{name}/42.m4s"), HlsFile::Segment(rendition, 42), format!("{name}/42.m4s"), media),
                (format!("{name}/0.m4s"), HlsFile::Segment(rendition, 0), format!("{name}/0.m4s"), media),
                (format!("{name}/42.7.m4s"), HlsFile::Part(rendition, 42, 7), format!("{name}/42.m4s"), media),
                (format!("{name}/init-3.mp4"), HlsFile::Init(rendition, 3), format!("{name}/init-3.mp4"), init),
            ] {
                let address = Address::parse(&format!("yard-x1/7-3/{tail}")).unwrap();
                assert_eq!((address.file, address.file.content_type()), (file, content_type), "{tail}");
                assert_eq!(address.path().to_str(), Some(format!("yard-x1/7-3/{path}").as_str()));
            }
        }
    }

    #[test]
    fn nothing_else_has_one() {
        for bad in [
            "",
            "yard",
            "yard/7-3",
            "yard/7-3/",
            "yard/7-3/source",
            "yard/7-3/source/",
            "yard/7-3/.m3u8",
            "yard/7-3/8k.m3u8",
            "yard/7-3/SOURCE.m3u8",
            "yard/7-3/42.m4s",
            "yard/7-3/8k/42.m4s",
            "yard/7-3/source/index.m3u8",
            "yard/7-3/source/source/42.m4s",
            "yard/7-3/source/../index.m3u8",
            "yard/7-3/../7-3/index.m3u8",
            "yard/7-3/source/..%2f..%2fx.m4s",
            "yard/7-3/source//etc/passwd",
            "yard/7-3/source/42.m4s.tmp",
            "yard/7-3/source/.42.m4s",
            "yard/7-3/source/42..m4s",
            "yard/7-3/source/42.1.2.m4s",
            "yard/7-3/source/42.-1.m4s",
            "yard/7-3/source/042.m4s",
            "yard/7-3/source/42.01.m4s",
            "yard/7-3/source/+4.m4s",
            "yard/7-3/source/18446744073709551616.m4s",
            "yard/7-3/source/111111111111111111111.m4s",
            "yard/7-3/source/init-.mp4",
            "yard/7-3/source/init-1.2.mp4",
            "yard/7-3/source/init-1.m4s",
            "yard/07-3/index.m3u8",
            "yard/7/index.m3u8",
            "../7-3/index.m3u8",
            "YARD/7-3/index.m3u8",
            "yard/7-3/index.m3u8/",
            "/yard/7-3/index.m3u8",
            "yard/7-3/source/42.m4s\0",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_path_stays_below_the_root(parts in proptest::collection::vec(proptest::sample::select(
            vec!["yard", "7-3", "source", "source/1.m4s", "audio/1.2.m4s", "init-2.mp4", "index.m3u8", "720p.m3u8", "..",
                ".", "", "%2e%2e", "\0"]
        ), 1..6)) {
            if let Some(address) = Address::parse(&parts.join("/")) {
                let path = address.path();
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
                prop_assert!((3..=4).contains(&path.components().count()));
            }
        }

        #[test]
        fn one_thing_has_one_spelling(text in "[0-9a-z./-]{0,40}") {
            let tail = format!("yard/7-3/{text}");
            if let Some(address) = Address::parse(&tail) && !matches!(address.file, HlsFile::Part(..)) {
                prop_assert_eq!(address.path(), PathBuf::from(tail));
            }
        }
    }
}
