//! The last step of every whole answer: a tag, 304 for a client that has it, the range that was asked for, gzip.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use salvo::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    VARY,
};
use salvo::http::{HeaderMap, HeaderValue, Method, ResBody, StatusCode};
use salvo::{Request, Response};

use super::compression::{self, Compressor};
use super::range::RequestedRange;

/// A tag that changes with the content.
pub fn strong_tag(bytes: &[u8]) -> HeaderValue {
    tag("", bytes)
}

fn tag(kind: &str, bytes: &[u8]) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    // Hexadecimal digits are a header.
    HeaderValue::from_str(&format!("{kind}\"{:016x}\"", hasher.finish())).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Finishes an answer. Streams without an end are left as they are; those of files have their tag and range already.
pub async fn finish(request: &Request, response: &mut Response, compressor: &Compressor) {
    let status = response.status_code.unwrap_or(StatusCode::OK);
    join(response);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        if let ResBody::Once(bytes) = &response.body
            && !response.headers.contains_key(ETAG)
            && may_be_kept(&response.headers)
        {
            // Equal for a reader, whatever the encoding: weak.
            let tag = tag("W/", bytes);
            response.headers.insert(ETAG, tag);
            response.headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
        }
        if has_it(request.headers(), &response.headers) {
            not_modified(response);
        } else if status == StatusCode::OK
            && let ResBody::Once(bytes) = &response.body
        {
            let (bytes, len) = (bytes.clone(), bytes.len() as u64);
            cut(request, response, &bytes, len);
        }
    }
    compress(request, response, compressor).await;
}

/// Makes one piece of an answer that the HTTP library wrote in pieces, as it does with JSON above 8 kB.
fn join(response: &mut Response) {
    if let ResBody::Chunks(chunks) = &response.body {
        let whole = chunks.iter().fold(Vec::new(), |mut whole, chunk| {
            whole.extend_from_slice(chunk);
            whole
        });
        response.body(whole);
    }
}

/// The part that was asked for, if one was.
fn cut(request: &Request, response: &mut Response, bytes: &Bytes, len: u64) {
    let range = RequestedRange::of(request, &response.headers, len);
    if range == RequestedRange::Whole {
        return;
    }
    let body = range.begin(response, len);
    if let RequestedRange::Part(part) = range
        && body
        && let (Ok(start), Ok(end)) = (usize::try_from(part.start), usize::try_from(part.end))
    {
        response.body(bytes.slice(start..end));
    }
}

async fn compress(request: &Request, response: &mut Response, compressor: &Compressor) {
    let headers = &response.headers;
    let ResBody::Once(bytes) = &response.body else { return };
    if bytes.len() < compression::MIN || headers.contains_key(CONTENT_ENCODING) || !compression::is_text(headers) {
        return;
    }
    let bytes = bytes.clone();
    response.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if response.headers.contains_key(CONTENT_RANGE) || !compression::takes_gzip(request.headers()) {
        return;
    }
    let packed = compressor.gzip(bytes.clone()).await;
    if packed.is_empty() || packed.len() >= bytes.len() {
        return;
    }
    let headers = &mut response.headers;
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    // A strong tag names one sequence of bytes, and these are others.
    let weak = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| !tag.starts_with("W/"));
    if let Some(weak) = weak.and_then(|tag| HeaderValue::from_str(&format!("W/{tag}")).ok()) {
        headers.insert(ETAG, weak);
    }
    response.body(packed);
}

/// False for answers that a client must not keep.
fn may_be_kept(answer: &HeaderMap) -> bool {
    answer.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).is_none_or(|value| !value.contains("no-store"))
}

/// True when the client has this version.
fn has_it(request: &HeaderMap, answer: &HeaderMap) -> bool {
    let Some(tag) = answer.get(ETAG).and_then(|tag| tag.to_str().ok()) else { return false };
    request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|known| names(known, tag))
}

/// True when a list of tags names this one. Weak comparison (RFC 9110 section 13.1.2).
fn names(known: &str, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|one| bare(one) == bare(tag))
}

fn not_modified(response: &mut Response) {
    response.status_code(StatusCode::NOT_MODIFIED);
    for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_RANGE, ACCEPT_RANGES] {
        response.headers.remove(name);
    }
    response.body(ResBody::None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_whether_weak_or_strong() {
        for (known, want) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(names(known, "W/\"a\""), want, "{known}");
            assert_eq!(names(known, "\"a\""), want, "{known}");
        }
    }

    #[test]
    fn tags_follow_the_content() {
        assert_eq!(strong_tag(b"a"), strong_tag(b"a"));
        assert_ne!(strong_tag(b"a"), strong_tag(b"b"));
    }
}
