//! Changes of streams as server-sent events: a page shows a state when it changes and asks for no list again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use rsm_shared::stream::slug::Slug;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use salvo::http::{HeaderValue, Method};
use salvo::oapi::endpoint;
use salvo::{Request, Response, Writer as _};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::seat;
use crate::http::extract::{Handles, RouteResult, Written};
use crate::http::problem::{Problem, QueryProblems, SeatProblems};
use crate::http::query;
use crate::relay::seats::{Seat, ViewerKind};
use crate::streams::Stream;
use crate::streams::changed::{ChangesSince, StreamChange};
use crate::viewing::Viewing;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// When a browser comes back after its connection ended, milliseconds.
const RETRY_MS: u32 = 2000;
/// A connection says something at least this often, or proxies end it.
const QUIET: Duration = Duration::from_secs(15);
/// Least time between two answers with changes: a stream that changes more often is sent once.
const PACE: Duration = Duration::from_millis(100);
/// Changes that are told at once; those after them come a moment later.
const AT_ONCE: usize = 512;
/// Slugs in one question.
const MAX_SLUGS: usize = 64;
/// Ages told at once.
const MAX_AGES: usize = 1000;

/// Follow changes
///
/// Server-sent events. First `resync`, which means "get the list now"; not when the header `Last-Event-ID` could be
/// taken up. Then `stream` when a camera is added, or anything of it changes but the age of its pictures and the number
/// of its viewers: an item of `GET /video/`. `removed`: `{"id", "slug"}`. `ages`: `{"ages": {"<slug>": milliseconds}}`,
/// the age of the last picture where it is known, of 1000 cameras at most. `closing`: `{"in_ms"}`, the server stops and ends this
/// connection then. Several changes of one camera within 0.1 s may come as one.
#[endpoint(
    operation_id = "follow_cameras",
    tags("watching"),
    parameters(
        ("slug" = Option<String>, Query, description = "Only of these cameras: up to 64 slugs with commas between them"),
        ("ages" = Option<u32>, Query, minimum = 1, maximum = 60,
            description = "Tells the ages of pictures each so many seconds"),
        ("Last-Event-ID" = Option<String>, Header, description = "Where an earlier connection ended"),
    ),
    responses(
        (status_code = 200, description = "Events, without end", body = String, content_type = "text/event-stream"),
        SeatProblems, QueryProblems
    )
)]
pub async fn events(request: &mut Request, viewing: Handles, response: &mut Response) -> RouteResult {
    let viewing = viewing.0;
    let only = query::text(request, "slug").map(slugs).transpose()?;
    let ages = query::number(request, "ages", 1..=60)?;
    let mark = request.headers().get(LAST_EVENT_ID).and_then(|mark| mark.to_str().ok());
    let resumed = mark.and_then(|mark| viewing.streams.changed.resume(mark));
    if *request.method() != Method::HEAD {
        let seat = seat::take(&viewing, request, ViewerKind::Events, None)?;
        let follower = EventClient::new(viewing, seat, only, ages.map(Duration::from_secs), resumed);
        // Pulled as the client takes it, so nothing gathers here for one that does not.
        response.stream(stream::unfold(follower, |mut follower| async move {
            let text = follower.next().await?;
            Some((Ok::<_, std::io::Error>(text), follower))
        }));
    }
    for (name, value) in [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (X_ACCEL_BUFFERING, "no")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(Written)
}

fn slugs(list: &str) -> Result<BTreeSet<Slug>, Problem> {
    let bad = || Problem::invalid("slug", format!("slug must be 1 to {MAX_SLUGS} slugs with commas between them"));
    let slugs: BTreeSet<_> = list.split(',').map(Slug::parse).collect::<Result<_, _>>().map_err(|_| bad())?;
    if slugs.len() > MAX_SLUGS { Err(bad()) } else { Ok(slugs) }
}

/// One client.
struct EventClient {
    viewing: Arc<Viewing>,
    only: Option<BTreeSet<Slug>>,
    newest: watch::Receiver<u64>,
    /// Number of the last change that was told.
    seen: u64,
    /// True once anything was sent.
    greeted: bool,
    resumed: bool,
    /// Changes wait until then.
    not_before: Instant,
    quiet_until: Instant,
    ages: Option<Interval>,
    /// When the connection ends, once the process is told to stop.
    ends: Option<Instant>,
    _seat: Seat,
}

impl EventClient {
    fn new(
        viewing: Arc<Viewing>,
        seat: Seat,
        only: Option<BTreeSet<Slug>>,
        ages: Option<Duration>,
        resumed: Option<u64>,
    ) -> Self {
        let newest = viewing.streams.changed.newest();
        let seen = resumed.unwrap_or(*newest.borrow());
        let ages = ages.map(|period| {
            let mut ages = interval(period);
            ages.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ages
        });
        let now = Instant::now();
        let resumed = resumed.is_some();
        Self {
            viewing,
            only,
            newest,
            seen,
            greeted: false,
            resumed,
            not_before: now,
            quiet_until: now,
            ages,
            ends: None,
            _seat: seat,
        }
    }

    /// The text to send next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let text = if self.greeted { self.news().await? } else { self.greeting() };
        self.greeted = true;
        self.quiet_until = Instant::now() + QUIET;
        Some(text)
    }

    fn greeting(&self) -> Bytes {
        let resync = if self.resumed { String::new() } else { self.resync() };
        format!("retry: {RETRY_MS}\n\n{resync}").into()
    }

    /// Waits for something to say; `None` when it is time to go.
    async fn news(&mut self) -> Option<Bytes> {
        let (viewing, ends) = (self.viewing.clone(), self.ends);
        let goodbye = async {
            match ends {
                Some(at) => {
                    sleep_until(at).await;
                    None
                }
                None => Some(viewing.closing.moment().await),
            }
        };
        tokio::select! {
            biased;
            () = viewing.stop.cancelled() => None,
            moment = goodbye => moment.map(|moment| {
                self.ends = Some(moment.at);
                event("closing", None, &json!({"in_ms": moment.in_ms()}).to_string())
            }),
            text = self.next_text() => Some(text),
        }
    }

    async fn next_text(&mut self) -> Bytes {
        loop {
            let (newest, seen, not_before, ages) = (&mut self.newest, self.seen, self.not_before, &mut self.ages);
            let changed = async {
                sleep_until(not_before).await;
                if newest.wait_for(|number| *number > seen).await.is_err() {
                    // Never: the streams hold the sender.
                    std::future::pending::<()>().await;
                }
            };
            let due = async {
                match ages {
                    Some(ages) => ages.tick().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => {
                    self.not_before = Instant::now() + PACE;
                    let text = self.changes();
                    if !text.is_empty() {
                        return text;
                    }
                }
                _ = due => return self.ages(),
                () = sleep_until(self.quiet_until) => return Bytes::from_static(b":\n\n"),
            }
        }
    }

    /// Changes since the last call; empty when none of them is for this client.
    fn changes(&mut self) -> Bytes {
        let changes = match self.viewing.streams.changed.since(self.seen, AT_ONCE) {
            ChangesSince::Changes(changes) => changes,
            ChangesSince::TooLate(newest) => {
                self.seen = newest;
                return self.resync().into();
            }
        };
        if let Some(last) = changes.last() {
            self.seen = last.number;
        }
        let mine = changes.iter().filter(|change| self.only.as_ref().is_none_or(|only| only.contains(&change.slug)));
        let texts: Vec<Bytes> = mine.map(|change| change.text(|change| change_event(&self.viewing, change))).collect();
        texts.concat().into()
    }

    fn resync(&self) -> String {
        let mark = self.viewing.streams.changed.mark(self.seen);
        format!("event: resync\nid: {mark}\ndata: {{}}\n\n")
    }

    fn ages(&self) -> Bytes {
        let streams = &self.viewing.streams;
        match &self.only {
            Some(only) => ages(only.iter().filter_map(|slug| streams.by_slug(slug.as_str()))),
            None => self.viewing.ages.get_or_make(|| ages(streams.all().into_iter())),
        }
    }
}

/// A change as every client of this process is told.
fn change_event(viewing: &Viewing, change: &StreamChange) -> Bytes {
    let slug = change.slug.as_str();
    let mark = viewing.streams.changed.mark(change.number);
    match viewing.items.item(slug, &viewing.hls.players) {
        Some(item) => event("stream", Some(&mark), &item),
        None => event("removed", Some(&mark), &json!({"id": change.id, "slug": slug}).to_string()),
    }
}

fn ages(streams: impl Iterator<Item = Arc<Stream>>) -> Bytes {
    let known = streams.filter_map(|stream| {
        let age = stream.last_media()?.elapsed();
        Some((stream.slug.to_string(), json!(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))))
    });
    let ages: Map<String, Value> = known.take(MAX_AGES).collect();
    event("ages", None, &json!({"ages": ages}).to_string())
}

/// JSON is one line: line ends in texts are escaped.
fn event(name: &str, mark: Option<&str>, data: &str) -> Bytes {
    let id = mark.map(|mark| format!("id: {mark}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n").into()
}
