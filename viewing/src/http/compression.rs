//! gzip of text answers. Pictures, segments, events and everything else that is a stream or is packed already goes as it
//! is.
//!
//! The compression of the HTTP library was weighed: it compresses each answer anew on the thread that serves frames, also
//! a list of megabytes, and takes two more encoders along. Here equal answers, such as the playlist that a thousand
//! players wait for, are compressed once.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use moka::future::Cache;
use salvo::http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use salvo::http::{HeaderMap, HeaderValue};

/// Shorter answers fit into a packet as they are, bytes.
pub const MIN: usize = 1 << 10;
/// Longer ones are compressed on a thread of their own: about a millisecond of work, bytes.
const LONG: usize = 64 << 10;
/// Memory for answers and their compressed forms, bytes.
const MAX_KEPT: u64 = 16 << 20;
/// An answer that is longer than this is not kept: no two requests get the same list of all cameras, bytes.
const MAX_ONE: usize = 2 << 20;
/// Level from 1 to 9: playlists and lists get hardly smaller with the higher ones, and those take twice the time.
const LEVEL: u32 = 4;

/// Media types of text, without their parameters.
const TEXTS: [&str; 6] = [
    "application/json",
    "application/problem+json",
    "application/vnd.apple.mpegurl",
    "application/javascript",
    "application/xml",
    "image/svg+xml",
];

/// Compresses, and keeps what it compressed.
pub struct Compressor {
    kept: Cache<Bytes, Bytes>,
}

impl Default for Compressor {
    /// With nothing kept yet.
    fn default() -> Self {
        let weight = |text: &Bytes, packed: &Bytes| u32::try_from(text.len() + packed.len()).unwrap_or(u32::MAX);
        Self { kept: Cache::builder().max_capacity(MAX_KEPT).weigher(weight).build() }
    }
}

impl Compressor {
    /// `text` as gzip; empty when it could not be compressed.
    pub async fn gzip(&self, text: Bytes) -> Bytes {
        if text.len() > MAX_ONE {
            return off_thread(text).await;
        }
        let key = text.clone();
        let pack = async move { if text.len() > LONG { off_thread(text).await } else { gzip(&text) } };
        self.kept.get_with(key, pack).await
    }
}

async fn off_thread(text: Bytes) -> Bytes {
    tokio::task::spawn_blocking(move || gzip(&text)).await.unwrap_or_default()
}

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::new(LEVEL));
    // Writing to memory does not fail.
    encoder.write_all(text).and_then(|()| encoder.finish()).map(Bytes::from).unwrap_or_default()
}

/// True for an answer that gets smaller by compression, by its type.
pub fn is_text(answer: &HeaderMap) -> bool {
    let content_type = answer.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    TEXTS.contains(&kind) || (kind.starts_with("text/") && kind != "text/event-stream")
}

/// True when the client of a request takes gzip.
pub fn takes_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT_ENCODING).iter();
    accepts(values.filter_map(|value: &HeaderValue| value.to_str().ok()))
}

/// Accept-Encoding (RFC 9110 section 12.5.3): gzip by its name, otherwise by `*`, unless its weight is zero.
fn accepts<'a>(values: impl Iterator<Item = &'a str>) -> bool {
    let (mut named, mut any) = (None, None);
    for coding in values.flat_map(|value| value.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=").or_else(|| parameters.trim().strip_prefix("Q="));
        let wanted = weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0));
        match name.trim() {
            "*" => any = Some(wanted),
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => named = Some(wanted),
            _ => {}
        }
    }
    named.or(any).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn gzip_goes_to_those_that_take_it() {
        for (header, want) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("x-gzip", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("gzip;q=x", false),
            ("", false),
        ] {
            assert_eq!(accepts([header].into_iter()), want, "{header}");
        }
        assert!(!accepts(std::iter::empty()));
        assert!(accepts(["br", "gzip"].into_iter()));
    }

    #[test]
    fn only_text_is_compressed() {
        for (content_type, want) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/problem+json", true),
            ("application/vnd.apple.mpegurl", true),
            ("text/html; charset=utf-8", true),
            ("text/csv", true),
            ("image/svg+xml", true),
            ("text/event-stream", false),
            ("image/jpeg", false),
            ("video/mp4", false),
            ("multipart/x-mixed-replace; boundary=x", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_text(&headers), want, "{content_type}");
        }
    }

    #[tokio::test]
    async fn what_is_compressed_reads_back() {
        let compressor = Compressor::default();
        for len in [0, 1, 2000, LONG + 1, MAX_ONE + 1] {
            let text = Bytes::from("#EXTINF:2.0,\n".repeat(len / 13 + 1));
            let packed = compressor.gzip(text.clone()).await;
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
            assert_eq!(back, text);
        }
    }
}
