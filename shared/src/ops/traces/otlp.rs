//! Posts spans to a collector with the system's own HTTP client. A collector that is away costs one line in the log, not
//! one for each try.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use salvo::async_trait;
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::config::OtlpEndpoint;

/// Deadline of one message, with its answer. Its spans are lost then: it is not tried again.
const DEADLINE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// Longest answer that is read, bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Carries messages of the exporter.
#[derive(Debug)]
pub(super) struct Post {
    client: Client,
    credentials: Option<(String, String)>,
    /// The exporter has a thread of its own, without a runtime.
    runtime: Handle,
    /// As it may be shown.
    collector: String,
    /// Messages lost since one arrived.
    lost: AtomicU64,
}

impl Post {
    /// Call inside the runtime that is to carry them.
    pub fn new(endpoint: &OtlpEndpoint) -> Result<Self, reqwest::Error> {
        // A redirect could lead anywhere, with the credentials.
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let credentials = endpoint.credentials().map(|(user, password)| (user.to_owned(), password.to_owned()));
        let collector = endpoint.to_string();
        Ok(Self { client, credentials, runtime: Handle::current(), collector, lost: AtomicU64::new(0) })
    }

    fn note(&self, failure: Option<String>) {
        match failure {
            Some(why) if self.lost.fetch_add(1, Ordering::Relaxed) == 0 => {
                warn!(collector = %self.collector, error = %why, "spans cannot be sent; further losses are only counted");
            }
            Some(_) => {}
            None => match self.lost.swap(0, Ordering::Relaxed) {
                0 => {}
                lost => info!(collector = %self.collector, lost_messages = lost, "spans are sent again"),
            },
        }
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut post = self.client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
        if let Some((user, password)) = &self.credentials {
            post = post.basic_auth(user, Some(password));
        }
        let answered = match self.runtime.spawn(exchange(post)).await {
            Ok(answered) => answered,
            Err(_) => Err("the process ends".into()),
        };
        let failure = match &answered {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status())),
            Err(why) => Some(why.clone()),
        };
        self.note(failure);
        answered.map_err(HttpError::from)
    }
}

async fn exchange(post: reqwest::RequestBuilder) -> Result<Response<Bytes>, String> {
    let mut answer = post.send().await.map_err(|e| reason(&e))?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| reason(&e))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = answer.status();
    if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    Ok(response)
}

/// The error without the address, which is logged beside it.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
