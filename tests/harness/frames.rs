//! Viewers that check every message of a WebSocket and every part of a multipart answer, and slow ones.

use futures_util::StreamExt as _;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

use super::within;

/// Bytes that a slow viewer's system takes for it, about.
const NARROW: u32 = 4096;

/// A message of the server over a WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Jpeg(Vec<u8>),
    Text(Value),
    /// With this code; `None` when the connection just ended.
    Closed(Option<u16>),
}

/// A viewer over WebSocket.
#[derive(Debug)]
pub struct Listener {
    socket: WebSocketStream<TcpStream>,
}

impl Listener {
    /// At `http://host:port`, with a query such as `?width=320`.
    pub async fn open(base: &str, slug: &str, query: &str) -> Self {
        Self::try_open(base, slug, query, None).await.unwrap()
    }

    /// One whose system takes next to nothing for it while it reads nothing.
    pub async fn open_slow(base: &str, slug: &str) -> Self {
        Self::connect(base, slug, "", None, Some(NARROW)).await.unwrap()
    }

    /// Behind a proxy that names its address, if one is given.
    pub async fn try_open(
        base: &str,
        slug: &str,
        query: &str,
        address: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        Self::connect(base, slug, query, address, None).await
    }

    async fn connect(
        base: &str,
        slug: &str,
        query: &str,
        address: Option<&str>,
        narrow: Option<u32>,
    ) -> Result<Self, tungstenite::Error> {
        let host = base.trim_start_matches("http://");
        let tcp = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = narrow {
            tcp.set_recv_buffer_size(bytes).unwrap();
        }
        let stream = within("a connection", tcp.connect(host.parse().unwrap())).await.unwrap();
        let mut request = format!("ws://{host}/ws/stream/{slug}/{query}").into_client_request().unwrap();
        if let Some(address) = address {
            request.headers_mut().insert("X-Forwarded-For", HeaderValue::from_str(address).unwrap());
        }
        let (socket, _) = within("a WebSocket", client_async(request, stream)).await?;
        Ok(Self { socket })
    }

    pub async fn next(&mut self) -> Said {
        loop {
            return match within("a message", self.socket.next()).await {
                Some(Ok(Message::Binary(jpeg))) => Said::Jpeg(jpeg.to_vec()),
                Some(Ok(Message::Text(text))) => Said::Text(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => Said::Closed(frame.map(|frame| frame.code.into())),
                None | Some(Err(_)) => Said::Closed(None),
                Some(Ok(_)) => continue,
            };
        }
    }

    pub async fn jpeg(&mut self) -> Vec<u8> {
        loop {
            match self.next().await {
                Said::Jpeg(jpeg) => return jpeg,
                Said::Text(_) => {}
                Said::Closed(code) => panic!("closed with {code:?}, not a frame"),
            }
        }
    }
}

/// The status and Retry-After with which a WebSocket was refused.
pub fn refusal(opened: Result<Listener, tungstenite::Error>) -> (StatusCode, Option<u64>) {
    match opened {
        Err(tungstenite::Error::Http(answer)) => {
            let later = answer.headers().get("retry-after");
            (answer.status(), later.map(|seconds| seconds.to_str().unwrap().parse().unwrap()))
        }
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// Frames as one answer without end (RFC 2046 section 5.1).
pub struct MultipartParts {
    answer: Response,
    boundary: String,
    unread: Vec<u8>,
}

/// One part.
#[derive(Debug)]
pub struct Part {
    pub headers: HeaderMap,
    pub jpeg: Vec<u8>,
}

impl MultipartParts {
    /// At `http://host:port`, with a query such as `?fps=2`.
    pub async fn open(base: &str, slug: &str, query: &str) -> Self {
        let answer = Self::ask(base, slug, query).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let kind = answer.headers()["content-type"].to_str().unwrap();
        let boundary = kind.strip_prefix("multipart/x-mixed-replace; boundary=").expect(kind);
        let boundary = format!("--{}\r\n", boundary.trim_matches('"'));
        let mut parts = Self { answer, boundary, unread: Vec::new() };
        assert_eq!(parts.until_boundary().await, Some(Vec::new()), "nothing before the first boundary");
        parts
    }

    pub async fn ask(base: &str, slug: &str, query: &str) -> Response {
        // Without a deadline for the whole answer: it has no end.
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        within("an answer", http.get(format!("{base}/video/{slug}/mjpeg{query}")).send()).await.unwrap()
    }

    /// The next one, as soon as the boundary that ends it is there; `None` when the answer ended.
    pub async fn next(&mut self) -> Option<Part> {
        let part = self.until_boundary().await?;
        let head = part.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of a part's headers");
        let mut headers = HeaderMap::new();
        for line in std::str::from_utf8(&part[..head]).unwrap().lines() {
            let (name, value) = line.split_once(": ").expect(line);
            headers.insert(name.parse::<reqwest::header::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let jpeg = part[head + 4..].strip_suffix(b"\r\n").expect("a line's end before the boundary").to_vec();
        assert_eq!(headers["content-type"], "image/jpeg");
        assert_eq!(headers["content-length"].to_str().unwrap(), jpeg.len().to_string());
        Some(Part { headers, jpeg })
    }

    async fn until_boundary(&mut self) -> Option<Vec<u8>> {
        let boundary = self.boundary.clone().into_bytes();
        loop {
            if let Some(at) = self.unread.windows(boundary.len()).position(|some| some == boundary) {
                let before = self.unread.drain(..at).collect();
                self.unread.drain(..boundary.len());
                return Some(before);
            }
            let piece = within("a piece of a part", self.answer.chunk()).await.ok().flatten()?;
            self.unread.extend_from_slice(&piece);
        }
    }
}
