//! Where the files of HLS are. Every part of a path is of a type that cannot hold `/` or `..`.

use std::fmt;
use std::path::{Path, PathBuf};

use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::slug::Slug;

/// One of a stream's playlists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Playlist {
    /// Refers to the media playlists; there means playable.
    Multivariant,
    /// Lists the segments of a rendition.
    Media(Rendition),
}

impl Playlist {
    /// As the worker names it.
    pub fn file_name(self) -> String {
        match self {
            Self::Multivariant => "index.m3u8".into(),
            Self::Media(rendition) => format!("{}.m3u8", rendition.as_str()),
        }
    }
}

/// A media file of a rendition. Shown as its path below the owner's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaFile {
    pub rendition: Rendition,
    pub kind: FileKind,
}

/// Kind of a media file, with the numbers that its worker gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `<media sequence>.m4s`
    Segment(u64),
    /// `<media sequence>.<number>.m4s`. On no disk: only its worker has it.
    Part(u64, u32),
    /// `init-<number>.mp4`
    Init(u64),
}

impl MediaFile {
    /// Reads a file name; `None` for anything but the three shapes, each number written in one way only.
    pub fn parse(rendition: Rendition, name: &str) -> Option<Self> {
        let kind = if let Some(init) = name.strip_prefix("init-") {
            FileKind::Init(number(init.strip_suffix(".mp4")?)?)
        } else {
            let numbers = name.strip_suffix(".m4s")?;
            match numbers.split_once('.') {
                None => FileKind::Segment(number(numbers)?),
                Some((segment, part)) => FileKind::Part(number(segment)?, u32::try_from(number(part)?).ok()?),
            }
        };
        Some(Self { rendition, kind })
    }

    /// Its media type (RFC 8216bis section 3.1.2 asks for none; these are the registered ones).
    pub fn content_type(self) -> &'static str {
        match (self.kind, self.rendition) {
            (FileKind::Segment(_) | FileKind::Part(..), _) => "video/iso.segment",
            (FileKind::Init(_), Rendition::Audio) => "audio/mp4",
            (FileKind::Init(_), _) => "video/mp4",
        }
    }
}

impl fmt::Display for MediaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.rendition.as_str())?;
        match self.kind {
            FileKind::Segment(segment) => write!(f, "{segment}.m4s"),
            FileKind::Part(segment, part) => write!(f, "{segment}.{part}.m4s"),
            FileKind::Init(init) => write!(f, "init-{init}.mp4"),
        }
    }
}

/// A number as it is written: no sign, no zeros in front.
pub fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Where a playlist of an owner is.
pub fn playlist(root: &Path, slug: &Slug, fence: Fence, playlist: Playlist) -> PathBuf {
    owner(root, slug, fence).join(playlist.file_name())
}

/// Where a media file of an owner is.
pub fn media(root: &Path, slug: &Slug, fence: Fence, file: MediaFile) -> PathBuf {
    owner(root, slug, fence).join(file.to_string())
}

fn owner(root: &Path, slug: &Slug, fence: Fence) -> PathBuf {
    root.join(slug.as_str()).join(fence.dir_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rsm_shared::stream::fence::Epoch;

    #[test]
    fn takes_the_three_shapes_only() {
        for good in [
            "0.m4s",
            "1795350214.m4s",
            "18446744073709551615.m4s",
            "init-0.mp4",
            "init-12.mp4",
            "7.0.m4s",
            "1795350214.12.m4s",
        ] {
            let file = MediaFile::parse(Rendition::P360, good).unwrap();
            assert_eq!(file.to_string(), format!("360p/{good}"));
        }
        for bad in [
            "",
            ".m4s",
            "init-.mp4",
            "../1.m4s",
            "..%2f1.m4s",
            "1.m4s/..",
            "a.m4s",
            "1.mp4",
            "init-1.m4s",
            "1.m4s.tmp",
            "-1.m4s",
            "+1.m4s",
            "1 .m4s",
            "1\0.m4s",
            "١.m4s",
            "..",
            ".",
            "/etc/passwd",
            "index.m3u8",
            "source.m3u8",
            "init-../1.mp4",
            "18446744073709551616.m4s",
            "C:1.m4s",
            "1.M4S",
            "01.m4s",
            "1..m4s",
            "1.-1.m4s",
            "1.01.m4s",
            "1.2.3.m4s",
            ".1.m4s",
            "1.4294967296.m4s",
            "init-1.2.mp4",
        ] {
            assert_eq!(MediaFile::parse(Rendition::Source, bad), None, "{bad:?}");
        }
    }

    #[test]
    fn paths_are_the_workers_layout() {
        let (root, slug) = (Path::new("/hls"), Slug::parse("yard-x1").unwrap());
        let fence = Fence { epoch: Epoch(7), revision: 3 };
        assert_eq!(playlist(root, &slug, fence, Playlist::Multivariant), Path::new("/hls/yard-x1/7-3/index.m3u8"));
        let of = |rendition| playlist(root, &slug, fence, Playlist::Media(rendition));
        assert_eq!(of(Rendition::Source), Path::new("/hls/yard-x1/7-3/source.m3u8"));
        assert_eq!(of(Rendition::P360), Path::new("/hls/yard-x1/7-3/360p.m3u8"));
        let file = MediaFile::parse(Rendition::Audio, "42.m4s").unwrap();
        assert_eq!(media(root, &slug, fence, file), Path::new("/hls/yard-x1/7-3/audio/42.m4s"));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_path_stays_in_the_streams_directory(
            fence in "\\PC{0,24}", rendition in "\\PC{0,8}", name in "\\PC{0,24}"
        ) {
            let (root, slug) = (Path::new("/hls"), Slug::parse("yard").unwrap());
            let rendition = Rendition::from_name(&rendition).unwrap_or(Rendition::Source);
            if let (Some(fence), Some(file)) = (Fence::from_dir_name(&fence), MediaFile::parse(rendition, &name)) {
                let path = media(root, &slug, fence, file);
                let parts: Vec<_> = path.components().collect();
                prop_assert_eq!(parts.len(), 6);
                prop_assert!(path.starts_with("/hls/yard"));
                prop_assert!(!parts.contains(&std::path::Component::ParentDir));
            }
        }

        #[test]
        fn what_is_read_is_written_the_same(name in "(init-)?[0-9]{1,21}([.][0-9]{1,11})?[.](m4s|mp4)") {
            if let Some(file) = MediaFile::parse(Rendition::Source, &name) {
                prop_assert_eq!(file.to_string(), format!("source/{name}"));
            }
        }
    }
}
