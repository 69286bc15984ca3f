//! HLS as players fetch it.

use std::net::IpAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use rand::RngExt as _;
use rsm_shared::stream::fence::Fence;
use salvo::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::endpoint;
use salvo::{Request, Response, Writer as _};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::extract::{Answer, ById, Handles, Written};
use super::query;
use crate::hls::locate::{MediaFile, Playlist};
use crate::hls::playlist::{mark_viewer, viewer_id};
use crate::hls::serve::{self, patience};
use crate::hls::viewers::Player;
use crate::problem::{Problem, WaitProblems, WatchProblems};

/// RFC 8216 section 4.
const PLAYLIST_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
/// Bytes read from a segment at a time; what a slow player keeps in memory.
const CHUNK: u64 = 256 << 10;

/// HLS multivariant playlist
///
/// Held until the first segments are there, 10 s at most.
#[endpoint(
    operation_id = "hls_playlist",
    tags("watching"),
    responses(
        (status_code = 200, description = "The playlist", body = String,
            content_type = "application/vnd.apple.mpegurl"),
        WatchProblems, WaitProblems
    )
)]
pub async fn multivariant(app: Handles, stream: ById, response: &mut Response) -> Answer {
    let answer = app.0.hls.playlist(&stream.0, Playlist::Multivariant).await;
    counted(&app, answer, |text| {
        playlist(response, mark_viewer(&text, rand::rng().random()));
    })
}

/// HLS media playlist
///
/// Fetched again and again by a player; each fetch keeps the stream running.
#[endpoint(
    operation_id = "hls_media_playlist",
    tags("watching"),
    parameters(("viewer" = Option<String>, Query, pattern = "^[0-9a-f]{16}$",
        description = "Tells players apart; the multivariant playlist gives it")),
    responses(
        (status_code = 200, description = "The playlist", body = String,
            content_type = "application/vnd.apple.mpegurl"),
        WatchProblems, WaitProblems
    )
)]
pub async fn media_playlist(request: &mut Request, app: Handles, stream: ById, response: &mut Response) -> Answer {
    let answer = app.0.hls.playlist(&stream.0, Playlist::Media).await;
    counted(&app, answer, |text| {
        let id = query::text(request, "viewer").and_then(viewer_id);
        let player = id.map(Player::Id).or_else(|| address(request).map(Player::Address));
        if let Some(player) = player {
            app.0.hls.players.saw(stream.0.offer().id, player, patience(&text), Instant::now());
        }
        playlist(response, text);
    })
}

/// HLS media file
///
/// A segment, or the header that segments need.
#[endpoint(
    operation_id = "hls_media",
    tags("watching"),
    parameters(
        ("owner" = String, Path, pattern = "^[0-9]+-[0-9]+$", description = "Which placement of the stream wrote it"),
        ("file" = String, Path, pattern = "^([0-9]{1,20}[.]m4s|init-[0-9]{1,20}[.]mp4)$",
            description = "As the media playlist names it"),
    ),
    responses(
        (status_code = 200, description = "The file", content(
            ("video/iso.segment" = Vec<u8>), ("video/mp4" = Vec<u8>)
        )),
        WatchProblems
    )
)]
pub async fn media(request: &mut Request, app: Handles, stream: ById, response: &mut Response) -> Answer {
    let param = |name: &str| request.params().get(name).map(String::as_str).unwrap_or_default();
    let (fence, file) = (Fence::from_dir_name(param("owner")), MediaFile::parse(param("file")));
    let answer = match (fence, &file) {
        (Some(fence), Some(file)) => app.0.hls.media(&stream.0, fence, file).await,
        _ => Err(Problem::gone()),
    };
    counted(&app, answer, |found| {
        let headers = response.headers_mut();
        let content_type = file.as_ref().map_or("application/octet-stream", MediaFile::content_type);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        // A name is never written twice with another content.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600, immutable"));
        match found {
            serve::Media::File(file, len) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
                response.stream(chunks(file, len));
            }
            serve::Media::Fetched(bytes) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                response.body(bytes);
            }
        }
    })
}

fn counted<T>(app: &Handles, answer: Result<T, Problem>, write: impl FnOnce(T)) -> Answer {
    let status = answer.as_ref().map_or_else(Problem::status, |_| StatusCode::OK);
    app.0.metrics.hls_request(status);
    answer.map(|value| {
        write(value);
        Written
    })
}

fn playlist(response: &mut Response, text: String) {
    response.headers_mut().insert(CONTENT_TYPE, PLAYLIST_TYPE);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.body(text);
}

/// The bytes of a file, [`CHUNK`] by [`CHUNK`]; a file that got shorter ends the connection, not the answer.
fn chunks(file: File, len: u64) -> impl Stream<Item = std::io::Result<Bytes>> {
    futures_util::stream::try_unfold((file, len), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = BytesMut::with_capacity(usize::try_from(left.min(CHUNK)).unwrap_or(usize::MAX));
        let read = (&mut file).take(left.min(CHUNK)).read_buf(&mut chunk).await?;
        match u64::try_from(read) {
            Ok(read) if read > 0 => Ok(Some((chunk.freeze(), (file, left - read)))),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    })
}

fn address(request: &Request) -> Option<IpAddr> {
    request.remote_addr().ip()
}
