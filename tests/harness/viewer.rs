//! Viewers: a WebSocket that takes JPEG frames, and a reader of playlists.

use futures_util::StreamExt as _;
use image::GrayImage;
use reqwest::StatusCode;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::system::System;
use super::within;

pub struct JpegViewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl JpegViewer {
    pub async fn open(system: &System, slug: &str) -> Self {
        Self::try_open(system, slug).await.unwrap_or_else(|e| panic!("{e}\n{}", system.log.text()))
    }

    pub async fn try_open(system: &System, slug: &str) -> Result<Self, Error> {
        Self::try_open_at(&system.base, slug).await
    }

    /// At `http://host:port` of anything that serves viewers.
    pub async fn try_open_at(base: &str, slug: &str) -> Result<Self, Error> {
        let url = format!("{}/ws/stream/{slug}/", base.replace("http://", "ws://"));
        let (socket, _) = within("a WebSocket", tokio_tungstenite::connect_async(url)).await?;
        Ok(Self { socket })
    }

    /// The status with which an upgrade was refused.
    pub async fn refusal(system: &System, slug: &str) -> StatusCode {
        match Self::try_open(system, slug).await {
            Err(Error::Http(answer)) => answer.status(),
            Err(e) => panic!("{e}"),
            Ok(_) => panic!("the upgrade was not refused"),
        }
    }

    /// The next whole JPEG; `None` when the server closed.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match within("a JPEG frame", self.socket.next()).await {
                Some(Ok(Message::Binary(jpeg))) => return Some(jpeg.to_vec()),
                Some(Ok(Message::Close(_))) | None | Some(Err(_)) => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The number burnt into the next frame that shows one.
    pub async fn frame_number(&mut self) -> u32 {
        loop {
            let jpeg = self.next().await.expect("a frame");
            if let Some(number) = frame_number(&jpeg) {
                return number;
            }
        }
    }
}

/// Decodes a JPEG and reads the frame number in its clock row.
pub fn frame_number(jpeg: &[u8]) -> Option<u32> {
    let picture: GrayImage = image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg).unwrap().to_luma8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    rsm_simulator::clock_row::decode(picture.as_raw(), width, height, width)
}

/// One look at a media playlist.
#[derive(Clone, Debug, Default)]
pub struct MediaPlaylist {
    pub text: String,
    pub media_sequence: u64,
    /// Addresses of the segments, absolute paths.
    pub segments: Vec<String>,
    pub maps: Vec<String>,
    pub discontinuities: usize,
}

impl MediaPlaylist {
    /// The media playlist of a stream, through its multivariant playlist.
    pub async fn fetch(system: &System, id: i64) -> Option<Self> {
        Self::fetch_at(&system.http, &system.base, id).await
    }

    /// At a process of its own: `http://host:port`.
    pub async fn fetch_at(http: &reqwest::Client, base: &str, id: i64) -> Option<Self> {
        let master = format!("/video/play/{id}/");
        let answer = http.get(format!("{base}{master}")).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let text = answer.text().await.ok()?;
        let variant = text.lines().find(|line| !line.starts_with('#') && !line.is_empty())?.to_owned();
        let answer = http.get(format!("{base}{master}{variant}")).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        Some(Self::read(&master, answer.text().await.ok()?))
    }

    /// Reads the text of a media playlist; its files lie beside `base`.
    pub fn read(base: &str, text: String) -> Self {
        let tag = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).and_then(|v| v.parse().ok());
        let uri = |line: &str| line.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
        Self {
            media_sequence: tag("#EXT-X-MEDIA-SEQUENCE:").unwrap_or(0),
            segments: text
                .lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty())
                .map(|line| format!("{base}{line}"))
                .collect(),
            maps: text
                .lines()
                .filter(|line| line.starts_with("#EXT-X-MAP:"))
                .filter_map(uri)
                .map(|map| format!("{base}{map}"))
                .collect(),
            discontinuities: text.lines().filter(|line| *line == "#EXT-X-DISCONTINUITY").count(),
            text,
        }
    }
}
