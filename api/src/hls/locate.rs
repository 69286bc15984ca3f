//! Where the files of HLS are. Every part of a path is of a type that cannot hold `/` or `..`.

use std::path::{Path, PathBuf};

use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;

/// Most digits of a number that fits 64 bits.
const MAX_DIGITS: usize = 20;

/// One of the two playlists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Playlist {
    /// Refers to the media playlist; there means playable.
    Multivariant,
    /// Lists segments.
    Media,
}

impl Playlist {
    /// As the worker names it.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Multivariant => "index.m3u8",
            Self::Media => "source.m3u8",
        }
    }
}

/// A media file, named as the worker names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaFile {
    /// `<media sequence>.m4s`
    Segment(String),
    /// `init-<number>.mp4`
    Init(String),
}

impl MediaFile {
    /// Reads a file name; `None` for anything but the two shapes.
    pub fn parse(name: &str) -> Option<Self> {
        let number = |text: &str| (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if name.strip_suffix(".m4s").is_some_and(number) {
            return Some(Self::Segment(name.to_owned()));
        }
        let init = name.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4"));
        init.is_some_and(number).then(|| Self::Init(name.to_owned()))
    }

    /// Its media type (RFC 8216bis section 3.1.2 asks for none; these are the registered ones).
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Segment(_) => "video/iso.segment",
            Self::Init(_) => "video/mp4",
        }
    }

    /// As the worker names it.
    pub fn name(&self) -> &str {
        match self {
            Self::Segment(name) | Self::Init(name) => name,
        }
    }
}

/// Where a playlist of an owner is.
pub fn playlist(root: &Path, slug: &Slug, fence: Fence, playlist: Playlist) -> PathBuf {
    owner(root, slug, fence).join(playlist.file_name())
}

/// Where a media file of an owner is.
pub fn media(root: &Path, slug: &Slug, fence: Fence, file: &MediaFile) -> PathBuf {
    owner(root, slug, fence).join("source").join(file.name())
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
    fn takes_the_two_shapes_only() {
        for good in ["0.m4s", "1795350214.m4s", "18446744073709551615.m4s", "init-0.mp4", "init-12.mp4"] {
            assert!(MediaFile::parse(good).is_some(), "{good}");
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
            "111111111111111111111.m4s",
            "C:1.m4s",
            "1.M4S",
        ] {
            assert_eq!(MediaFile::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn paths_are_the_workers_layout() {
        let (root, slug) = (Path::new("/hls"), Slug::parse("yard-x1").unwrap());
        let fence = Fence { epoch: Epoch(7), revision: 3 };
        assert_eq!(playlist(root, &slug, fence, Playlist::Multivariant), Path::new("/hls/yard-x1/7-3/index.m3u8"));
        assert_eq!(playlist(root, &slug, fence, Playlist::Media), Path::new("/hls/yard-x1/7-3/source.m3u8"));
        let file = MediaFile::parse("42.m4s").unwrap();
        assert_eq!(media(root, &slug, fence, &file), Path::new("/hls/yard-x1/7-3/source/42.m4s"));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_path_stays_in_the_streams_directory(fence in "\\PC{0,24}", name in "\\PC{0,24}") {
            let (root, slug) = (Path::new("/hls"), Slug::parse("yard").unwrap());
            if let (Some(fence), Some(file)) = (Fence::from_dir_name(&fence), MediaFile::parse(&name)) {
                let path = media(root, &slug, fence, &file);
                let parts: Vec<_> = path.components().collect();
                prop_assert_eq!(parts.len(), 6);
                prop_assert!(path.starts_with("/hls/yard"));
                prop_assert!(!parts.contains(&std::path::Component::ParentDir));
            }
        }
    }
}
