//! HLS as players fetch it.

use std::io::SeekFrom;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use rand::RngExt as _;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::rendition::Rendition;
use salvo::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_TYPE, ETAG};
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::endpoint;
use salvo::{Request, Response, Writer as _};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::hls::locate::{MediaFile, Playlist};
use crate::hls::players::Player;
use crate::hls::playlist::{PlaylistText, folder, in_folder, mark_viewer, viewer_id};
use crate::hls::reload::Reload;
use crate::hls::serve;
use crate::http::extract::{ById, Handles, RouteResult, Written};
use crate::http::problem::{Problem, ProblemBody, WaitProblems, WatchProblems};
use crate::http::query;
use crate::http::range::RequestedRange;

/// RFC 8216 section 4.
const PLAYLIST_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
/// Names of the multivariant playlist, without their ending, in the place of a rendition.
const MULTIVARIANT_NAMES: [&str; 2] = ["index", "master"];
/// Bytes read from a segment at a time: the memory that a slow player takes.
const CHUNK: u64 = 256 << 10;

/// HLS multivariant playlist
///
/// Players that look at the ending of an address find it as `index.m3u8` and `master.m3u8` too. Held until the first segments are there, 10 s at most.
#[endpoint(
    operation_id = "hls_playlist",
    tags("watching"),
    responses(
        (status_code = 200, description = "The playlist", body = String,
            content_type = "application/vnd.apple.mpegurl"),
        WatchProblems, WaitProblems
    )
)]
pub async fn multivariant(request: &mut Request, app: Handles, stream: ById, response: &mut Response) -> RouteResult {
    serve_multivariant(request, &app, &stream, response).await
}

async fn serve_multivariant(request: &Request, app: &Handles, stream: &ById, response: &mut Response) -> RouteResult {
    let answer = app.0.hls.playlist(&stream.0, Playlist::Multivariant).await;
    counted(app, answer, |text| {
        let folder = folder(request.uri().path());
        playlist(response, mark_viewer(text.as_str(), &folder, rand::rng().random()).into());
    })
}

/// HLS media playlist
///
/// One rendition: the camera's own video is `source`, its audio is `audio`. Fetched again and again by a player; each
/// fetch keeps the stream running, and the rendition, if it is one that is encoded on demand. With
/// `_HLS_msn` it is answered when that segment, or part of it, is there: three target durations at most (RFC 8216bis
/// section 6.2.5).
#[endpoint(
    operation_id = "hls_media_playlist",
    tags("watching"),
    parameters(
        ("rendition" = String, Path, pattern = "^(source|audio|h264|1080p|720p|540p|480p|360p|240p|index|master)$",
            description = "As the multivariant playlist names it; `index` and `master` are that playlist"),
        ("viewer" = Option<String>, Query, pattern = "^[0-9a-f]{16}$",
            description = "Tells players apart; the multivariant playlist gives it"),
        ("_HLS_msn" = Option<u64>, Query, description = "Answer when the segment of this number is there"),
        ("_HLS_part" = Option<u32>, Query, description = "Or when this part of it is"),
        ("_HLS_skip" = Option<String>, Query, pattern = "^(YES|v2)$",
            description = "The player knows the older segments"),
    ),
    responses(
        (status_code = 200, description = "The playlist", body = String,
            content_type = "application/vnd.apple.mpegurl"),
        (status_code = 400, description = "_HLS_msn, _HLS_part or _HLS_skip is not valid, or too far ahead",
            body = ProblemBody, content_type = "application/problem+json"),
        WatchProblems, WaitProblems
    )
)]
pub async fn media_playlist(request: &mut Request, app: Handles, stream: ById, response: &mut Response) -> RouteResult {
    if MULTIVARIANT_NAMES.contains(&param(request, "rendition")) {
        return serve_multivariant(request, &app, &stream, response).await;
    }
    let answer = read_media_playlist(request, &app, &stream).await;
    counted(&app, answer, |text| playlist(response, in_folder(&text, &folder(request.uri().path()))))
}

async fn read_media_playlist(request: &Request, app: &Handles, stream: &ById) -> Result<PlaylistText, Problem> {
    let (hls, stream) = (&app.0.hls, &stream.0);
    let rendition = rendition(request).ok_or_else(Problem::gone)?;
    let directive = |name| query::text(request, name);
    let reload = Reload::parse(directive("_HLS_msn"), directive("_HLS_part"), directive("_HLS_skip"))
        .map_err(Problem::bad_request)?;
    let id = directive("viewer").and_then(viewer_id);
    let player = id.map(Player::Id).or_else(|| address(request).map(Player::Address));
    let saw = |patience| {
        if let Some(player) = player {
            hls.players.saw(stream.offer().id, player, patience, Instant::now());
        }
    };
    let text = match reload {
        None => hls.playlist(stream, Playlist::Media(rendition)).await?,
        Some(reload) => {
            // A player that waits for a part counts as present while it waits.
            if stream.offer().enabled {
                saw(stream.longest_wait());
            }
            hls.reload(stream, rendition, reload).await?
        }
    };
    saw(text.patience());
    Ok(text)
}

/// HLS media file
///
/// A segment, a part of one, or the header that segments need. A part that the playlist announces is answered when it
/// is there.
#[endpoint(
    operation_id = "hls_media",
    tags("watching"),
    parameters(
        ("owner" = String, Path, pattern = "^[0-9]+-[0-9]+$", description = "Which placement of the stream wrote it"),
        ("rendition" = String, Path, pattern = "^(source|audio|h264|1080p|720p|540p|480p|360p|240p)$",
            description = "As the media playlist names it"),
        ("file" = String, Path, pattern = "^([0-9]{1,20}([.][0-9]{1,10})?[.]m4s|init-[0-9]{1,20}[.]mp4)$",
            description = "As the media playlist names it"),
    ),
    responses(
        (status_code = 200, description = "The file", content(
            ("video/iso.segment" = Vec<u8>), ("video/mp4" = Vec<u8>), ("audio/mp4" = Vec<u8>)
        )),
        (status_code = 206, description = "The range that was asked for", content(
            ("video/iso.segment" = Vec<u8>), ("video/mp4" = Vec<u8>), ("audio/mp4" = Vec<u8>)
        )),
        (status_code = 304, description = "As the client has it"),
        (status_code = 416, description = "The file has no such bytes",
            body = ProblemBody, content_type = "application/problem+json"),
        WatchProblems, WaitProblems
    )
)]
pub async fn media(request: &mut Request, app: Handles, stream: ById, response: &mut Response) -> RouteResult {
    let fence = Fence::from_dir_name(param(request, "owner"));
    let file = rendition(request).and_then(|rendition| MediaFile::parse(rendition, param(request, "file")));
    let answer = match fence.zip(file) {
        Some((fence, file)) => app.0.hls.media(&stream.0, fence, file).await,
        None => Err(Problem::gone()),
    };
    counted(&app, answer, |found| {
        let headers = response.headers_mut();
        let content_type = file.map_or("application/octet-stream", MediaFile::content_type);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        // A name is never written twice with another content.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600, immutable"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(tag) = fence.zip(file).and_then(|(fence, file)| file_tag(fence, file)) {
            headers.insert(ETAG, tag);
        }
        match found {
            serve::Media::File(file, len) => {
                let range = RequestedRange::of(request, response.headers(), len);
                if range.begin(response, len) {
                    let part = if let RequestedRange::Part(part) = range { part } else { 0..len };
                    response.stream(chunks(file, part));
                }
            }
            serve::Media::Fetched(bytes) => drop(response.body(bytes)),
        }
    })
}

/// Its name, which is never given to another content.
fn file_tag(fence: Fence, file: MediaFile) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{}/{file}\"", fence.dir_name())).ok()
}

fn param<'a>(request: &'a Request, name: &str) -> &'a str {
    request.params().get(name).map(String::as_str).unwrap_or_default()
}

fn rendition(request: &Request) -> Option<Rendition> {
    Rendition::from_name(param(request, "rendition"))
}

fn counted<T>(app: &Handles, answer: Result<T, Problem>, write: impl FnOnce(T)) -> RouteResult {
    let status = answer.as_ref().map_or_else(Problem::status, |_| StatusCode::OK);
    app.0.metrics.hls_request(status);
    answer.map(|value| {
        write(value);
        Written
    })
}

fn playlist(response: &mut Response, text: Bytes) {
    response.headers_mut().insert(CONTENT_TYPE, PLAYLIST_TYPE);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.body(text);
}

/// These bytes of a file, [`CHUNK`] by [`CHUNK`]; a file that got shorter ends the connection, not the answer.
fn chunks(file: File, part: Range<u64>) -> impl Stream<Item = std::io::Result<Bytes>> {
    // The place to begin to read at; `None` when reading goes on.
    let seek = (part.start > 0).then_some(part.start);
    futures_util::stream::try_unfold((file, seek, part.end - part.start), |(mut file, seek, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        if let Some(start) = seek {
            file.seek(SeekFrom::Start(start)).await?;
        }
        let mut chunk = BytesMut::with_capacity(usize::try_from(left.min(CHUNK)).unwrap_or(usize::MAX));
        let read = (&mut file).take(left.min(CHUNK)).read_buf(&mut chunk).await?;
        match u64::try_from(read) {
            Ok(read) if read > 0 => Ok(Some((chunk.freeze(), (file, None, left - read)))),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    })
}

fn address(request: &Request) -> Option<IpAddr> {
    request.remote_addr().ip()
}
