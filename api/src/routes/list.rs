//! Which part of a list a request asks for; and the list as a relay shows it.

use rsm_shared::stream::state::StreamState;
use salvo::http::HeaderValue;
use salvo::http::header::HeaderName;
use salvo::oapi::endpoint;
use salvo::prelude::Json;
use salvo::{Request, Response, Writer as _};

use super::extract::{Answer, Handles, Written};
use super::query;
use super::shown::{Filter, ShownStream, StateName, show_stream};
use crate::problem::{Problem, QueryProblems};

const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
/// Longest text to search for, characters.
const MAX_SEARCH: usize = 200;
/// Largest page and offset; no configuration allows more cameras.
const MAX_LINKS: u64 = 100_000;

/// A page of those that fit.
pub struct Page {
    limit: usize,
    offset: usize,
    pub filter: Filter,
}

impl Page {
    /// Reads `limit`, `offset`, `state` and `q`.
    ///
    /// # Errors
    /// 422 that names the parameter.
    pub fn read(request: &Request) -> Result<Self, Problem> {
        let limit = query::number(request, "limit", 0..=MAX_LINKS)?.unwrap_or(MAX_LINKS);
        let offset = query::number(request, "offset", 0..=MAX_LINKS)?.unwrap_or(0);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Self { limit: count(limit), offset: count(offset), filter: read_filter(request)? })
    }

    /// What of `fitting` is on the page; the number of all goes into the answer's header.
    pub fn cut<'a, T>(&self, fitting: &'a [T], response: &mut Response) -> impl Iterator<Item = &'a T> + use<'a, T> {
        response.headers_mut().insert(X_TOTAL_COUNT, HeaderValue::from(fitting.len()));
        fitting.iter().skip(self.offset).take(self.limit)
    }
}

fn read_filter(request: &Request) -> Result<Filter, Problem> {
    let state = query::text(request, "state")
        .map(|name| {
            StreamState::from_name(name).ok_or_else(|| {
                let names = StreamState::ALL.map(StreamState::as_str).join(", ");
                Problem::invalid("state", format!("state must be one of {names}"))
            })
        })
        .transpose()?;
    let text = query::text(request, "q").filter(|text| !text.is_empty());
    if text.is_some_and(|text| text.chars().count() > MAX_SEARCH) {
        return Err(Problem::invalid("q", format!("q must have at most {MAX_SEARCH} characters")));
    }
    Ok(Filter { state, text: text.map(str::to_lowercase) })
}

/// All cameras
///
/// By id; with no parameter all of them. A relay knows no addresses of cameras and shows none.
#[endpoint(
    operation_id = "list_cameras",
    tags("cameras"),
    parameters(
        ("limit" = Option<u32>, Query, minimum = 0, maximum = 100_000, description = "At most this many"),
        ("offset" = Option<u32>, Query, minimum = 0, maximum = 100_000, description = "Leaves out this many first"),
        ("state" = Option<StateName>, Query, description = "Only cameras in this state"),
        ("q" = Option<String>, Query, max_length = 200,
            description = "Only cameras with this text in name or slug, whatever its case"),
    ),
    responses(
        (status_code = 200, description = "The cameras", body = Vec<ShownStream>,
            headers(("X-Total-Count" = u32, description = "Cameras that fit, on all pages"))),
        QueryProblems
    )
)]
pub async fn streams(request: &mut Request, app: Handles, response: &mut Response) -> Answer {
    let page = Page::read(request)?;
    let fitting: Vec<_> = app.0.streams.all().into_iter().filter(|stream| page.filter.admits(stream)).collect();
    let shown: Vec<ShownStream> =
        page.cut(&fitting, response).map(|stream| show_stream(stream, &app.0.hls.players)).collect();
    response.render(Json(shown));
    Ok(Written)
}
