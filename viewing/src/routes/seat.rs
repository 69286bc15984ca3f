//! A seat for the client of a request that holds its connection.

use rsm_shared::stream::slug::Slug;
use salvo::Request;
use salvo::http::HeaderName;

use crate::http::problem::Problem;
use crate::relay::seats::{Seat, SeatRefusal, ViewerKind};
use crate::viewing::Viewing;

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
/// When to try again while seats are taken, seconds.
const RETRY_AFTER: u64 = 5;
/// When to try again while this process ends, seconds: another one may take its place.
const RETRY_AFTER_STOP: u64 = 2;

/// A seat for the client of `request`; of `stream`, if it watches one.
///
/// # Errors
/// 429 when its address has too many, 503 when all are taken or the stream's, or when the process is told to stop; each
/// with `Retry-After`.
pub fn take(viewing: &Viewing, request: &Request, kind: ViewerKind, stream: Option<&Slug>) -> Result<Seat, Problem> {
    if viewing.closing.has_begun() {
        return Err(Problem::later(RETRY_AFTER_STOP, "the server is stopping"));
    }
    let forwarded = request.headers().get_all(FORWARDED).iter().map(|value| value.to_str().unwrap_or_default());
    let address = viewing.proxies.viewer(request.remote_addr().ip(), forwarded);
    viewing.seats.take(kind, stream, address).map_err(Problem::from)
}

impl From<SeatRefusal> for Problem {
    fn from(refusal: SeatRefusal) -> Self {
        match refusal {
            SeatRefusal::All => Self::later(RETRY_AFTER, "every seat for viewers is taken; see api.max_viewers"),
            SeatRefusal::Stream => {
                Self::later(RETRY_AFTER, "every seat of this camera is taken; see api.max_viewers_per_stream")
            }
            SeatRefusal::Address => Self::too_many(
                RETRY_AFTER,
                "your address has as many connections as it may have; see api.max_viewers_per_address",
            ),
        }
    }
}
