//! One request to the worker that owns a stream, over a connection that is kept open.
//!
//! ```text
//! http://<owner>/hls/<slug>/<epoch>-<revision>/{index.m3u8, <rendition>.m3u8, <rendition>/<file>}
//! ```

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prometheus::IntCounterVec;
use reqwest::{Client, StatusCode, Url};
use rsm_shared::ops::telemetry::Causes;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use salvo::http::uri::Authority;
use tokio::time::timeout;
use tracing::debug;

use super::turns::{self, RequestTurns};

/// A brief request, from its turn to its last byte. Longer than a worker waits for its disk, so that its answer comes.
const DEADLINE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections kept open to one worker while nothing is asked over them. Long requests each have one of their own, and
/// come back every part: closing and opening them would cost more than the answers.
const MAX_IDLE: usize = 256;
/// Idle time after which such a connection is closed: players come again within seconds, and a worker closes connections
/// that were silent for 30 s.
const IDLE: Duration = Duration::from_secs(20);

/// Address of the files that one owner of a stream makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerFiles {
    /// `host:port`
    pub http: String,
    pub slug: Slug,
    pub fence: Fence,
}

/// Fetches, by outcome.
#[derive(Clone)]
pub struct FetchCounts(pub IntCounterVec);

/// Time that an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As long as reading a file does.
    Brief,
    /// Until the worker has the object that is asked for, at most this long.
    Long(Duration),
}

/// Reason why there is no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The worker has no such file.
    Absent,
    /// It will not have it soon enough to wait for.
    TooFar,
    /// It waited, and it did not come.
    NotYet,
    /// As many requests wait as may.
    Full,
    /// The worker does not answer, or not as it should.
    Failed,
}

/// Makes requests. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    brief: RequestTurns,
    long: RequestTurns,
    counts: FetchCounts,
}

impl Fetcher {
    /// With no connection yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(counts: FetchCounts) -> reqwest::Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(MAX_IDLE)
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self { client, brief: RequestTurns::new(turns::BRIEF), long: RequestTurns::new(turns::LONG), counts })
    }

    /// A file of an owner of at most `max` bytes.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fetch(&self, origin: &OwnerFiles, path: &str, max: usize, wait: Wait) -> Result<Bytes, Miss> {
        let asked = async {
            let url = address(origin, path).ok_or(Miss::Failed)?;
            let (turn, deadline) = match wait {
                Wait::Brief => (self.brief.take(&origin.http).await.ok_or(Miss::Failed)?, DEADLINE),
                Wait::Long(deadline) => (self.long.try_take(&origin.http).ok_or(Miss::Full)?, deadline),
            };
            let answer = timeout(deadline, self.get(url, max)).await.unwrap_or(Err(Miss::Failed));
            drop(turn);
            answer
        };
        let fetched = asked.await.inspect_err(|miss| {
            let OwnerFiles { http, slug, fence } = origin;
            debug!(stream = %slug, %fence, owner = http, path, why = ?miss, "a file of HLS cannot be fetched from its owner");
        });
        self.note(fetched.as_ref().map(|_| ()).map_err(|miss| *miss));
        fetched
    }

    fn note(&self, fetched: Result<(), Miss>) {
        let outcome = match fetched {
            Ok(()) => "miss",
            Err(Miss::Absent | Miss::TooFar | Miss::NotYet) => "absent",
            Err(Miss::Full | Miss::Failed) => "error",
        };
        self.counts.0.with_label_values(&[outcome]).inc();
    }

    async fn get(&self, url: Url, max: usize) -> Result<Bytes, Miss> {
        let failed = |e: reqwest::Error| {
            debug!(error = %Causes(&e), "a worker does not answer a request for HLS");
            Miss::Failed
        };
        let mut answer = self.client.get(url).send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Miss::Absent),
            StatusCode::BAD_REQUEST => return Err(Miss::TooFar),
            StatusCode::SERVICE_UNAVAILABLE => return Err(Miss::NotYet),
            _ => return Err(Miss::Failed),
        }
        let announced = answer.content_length().and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        let mut body = BytesMut::with_capacity(announced.min(max));
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > max {
                return Err(Miss::Failed);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// `None` when the address that a worker gave is more than host and port.
fn address(origin: &OwnerFiles, path: &str) -> Option<Url> {
    let authority: Authority = origin.http.parse().ok()?;
    authority.port_u16().filter(|_| !origin.http.contains('@'))?;
    format!("http://{authority}/hls/{}/{}/{path}", origin.slug, origin.fence.dir_name()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::fence::Epoch;

    #[test]
    fn a_worker_is_a_host_and_a_port() {
        let of = |http: &str| {
            let fence = Fence { epoch: Epoch(7), revision: 3 };
            let origin = OwnerFiles { http: http.into(), slug: Slug::parse("yard").unwrap(), fence };
            address(&origin, "source/1.m4s").map(String::from)
        };
        assert_eq!(of("10.0.0.1:9000").unwrap(), "http://10.0.0.1:9000/hls/yard/7-3/source/1.m4s");
        assert_eq!(of("[::1]:9000").unwrap(), "http://[::1]:9000/hls/yard/7-3/source/1.m4s");
        for bad in
            ["", "host", "host:port", "user@host:1", "host:1/path", "host:1?x", "host:1#", "http://host:1", "a b:1"]
        {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
