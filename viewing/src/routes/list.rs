//! The part of a list that a request asks for, and the list as a relay shows it.

use rsm_shared::stream::state::StreamState;
use salvo::http::HeaderValue;
use salvo::http::header::HeaderName;
use salvo::oapi::{
    BasicType, Components, Object, Operation, Parameter, ParameterIn, RefOr, Schema, ToResponses as _, ToSchema as _,
    endpoint,
};
use salvo::prelude::Json;
use salvo::{Depot, Request, Response, Writer as _};

use super::shown::{Filter, ShownStream, StateName, show_stream};
use crate::handler_argument;
use crate::http::extract::{Handles, RequestPart, RouteResult, Written};
use crate::http::problem::{Problem, QueryProblems};
use crate::http::query;

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

handler_argument!(Page);

impl RequestPart for Page {
    fn read(request: &Request, _: &Depot) -> Result<Self, Problem> {
        let limit = query::number(request, "limit", 0..=MAX_LINKS)?.unwrap_or(MAX_LINKS);
        let offset = query::number(request, "offset", 0..=MAX_LINKS)?.unwrap_or(0);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Self { limit: count(limit), offset: count(offset), filter: read_filter(request)? })
    }

    fn document(components: &mut Components, operation: &mut Operation) {
        let count = || Object::with_type(BasicType::Integer).minimum(0.0).maximum(100_000.0);
        let text = Object::with_type(BasicType::String).max_length(MAX_SEARCH);
        let parameters: [(&str, &str, RefOr<Schema>); 4] = [
            ("limit", "At most this many", count().into()),
            ("offset", "Leaves out this many first", count().into()),
            ("state", "Only cameras in this state", StateName::to_schema(components)),
            ("q", "Only cameras with this text in name, slug or, in the API, address, whatever its case", text.into()),
        ];
        for (name, description, schema) in parameters {
            let parameter = Parameter::new(name).location(ParameterIn::Query).required(false);
            operation.parameters.insert(parameter.description(description).schema(schema));
        }
        operation.responses.append(&mut QueryProblems::to_responses(components));
    }
}

impl Page {
    /// The items of `fitting` that are on the page; the number of all goes into the answer's header.
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
    responses(
        (status_code = 200, description = "The cameras", body = Vec<ShownStream>,
            headers(("X-Total-Count" = u32, description = "Cameras that fit, on all pages")))
    )
)]
pub async fn streams(page: Page, app: Handles, response: &mut Response) -> RouteResult {
    let fitting: Vec<_> = app.0.streams.all().into_iter().filter(|stream| page.filter.admits(stream)).collect();
    let shown: Vec<ShownStream> =
        page.cut(&fitting, response).map(|stream| show_stream(stream, &app.0.hls.players)).collect();
    response.render(Json(shown));
    Ok(Written)
}
