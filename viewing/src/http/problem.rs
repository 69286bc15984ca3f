//! Errors that a client sees: `application/problem+json` (RFC 9457). Nothing internal is in them: no path, no SQL,
//! no credential.

use std::borrow::Cow;

use salvo::http::header::{CONTENT_TYPE, RETRY_AFTER};
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::{
    Components, Content, EndpointOutRegister, Operation, Response as Documented, Responses, ToResponses, ToSchema,
};
use salvo::{Response, Scribe};
use serde::Serialize;

/// Media type of every error.
const MEDIA_TYPE: &str = "application/problem+json";

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    sentence: Cow<'static, str>,
    field: Option<String>,
    /// Seconds.
    retry_after: Option<u64>,
}

/// Body of an error. `error` and `detail` are the same sentence: older clients read the first, RFC 9457 names the
/// second.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "Problem"))]
pub struct ProblemBody {
    /// Always `about:blank`: the status tells the kind of problem (RFC 9457 section 4.2.1).
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// A sentence for a person.
    pub detail: Cow<'static, str>,
    /// The same sentence.
    pub error: Cow<'static, str>,
    /// The member of the body, or the parameter, that is wrong; `mjpeg.max_fps` for one inside another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Problem {
    /// An error of that status with a sentence for a person.
    pub fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { status, sentence: sentence.into(), field: None, retry_after: None }
    }

    /// The error of a handler that gave no sentence.
    pub fn bare(status: StatusCode) -> Self {
        let sentence = match status {
            StatusCode::NOT_FOUND => "there is nothing at this address",
            StatusCode::METHOD_NOT_ALLOWED => {
                "this address does not take that method; the Allow header says which it takes"
            }
            StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
            _ if status.is_client_error() => "the request cannot be understood",
            _ => "the server failed; its log says more",
        };
        Self::new(status, sentence)
    }

    /// 400.
    pub fn bad_request(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// 404 for a stream that is not registered.
    pub fn unknown_stream() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no camera is registered under this name")
    }

    /// 404 for a file that is not, or no longer, there.
    pub fn gone() -> Self {
        Self::new(StatusCode::NOT_FOUND, "this file is not there, or no longer")
    }

    /// 404 for a rendition that is not made of this camera.
    pub fn not_offered() -> Self {
        Self::new(StatusCode::NOT_FOUND, "this camera is not offered in this rendition")
    }

    /// 409 for a stream that an operator stopped.
    pub fn stopped() -> Self {
        Self::new(StatusCode::CONFLICT, "the camera is stopped; start it first")
    }

    /// 422 for one value of the body or the query.
    pub fn invalid(field: impl Into<String>, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, sentence) }
    }

    /// 503 with `Retry-After`, seconds.
    pub fn later(seconds: u64, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence) }
    }

    /// 429 with `Retry-After`, seconds.
    pub fn too_many(seconds: u64, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, sentence) }
    }

    /// 500. The caller logs the cause.
    pub fn internal() -> Self {
        Self::bare(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The value it is about, if any.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// When to try again, seconds.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// Its sentence.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

impl Scribe for Problem {
    fn render(self, response: &mut Response) {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.sentence.clone(),
            error: self.sentence,
            field: self.field,
        };
        // A struct of texts and a number: serialising it cannot fail.
        let text = serde_json::to_vec(&body).unwrap_or_default();
        response.status_code(self.status);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.body(text);
    }
}

/// Every endpoint may answer a problem.
impl EndpointOutRegister for Problem {
    fn register(components: &mut Components, operation: &mut Operation) {
        operation.responses.insert("default", documented(components, "Any other error"));
    }
}

fn documented(components: &mut Components, description: &str) -> Documented {
    Documented::new(description).add_content(MEDIA_TYPE, Content::new(ProblemBody::to_schema(components)))
}

/// Problems of an endpoint, for its documentation: a name, and pairs of status and description.
macro_rules! documented_problems {
    ($($(#[$doc:meta])* $name:ident { $($status:literal: $text:literal),+ $(,)? })+) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl ToResponses for $name {
                fn to_responses(components: &mut Components) -> Responses {
                    let mut responses = Responses::new();
                    $(responses.insert($status, documented(components, $text));)+
                    responses
                }
            }
        )+
    };
}

documented_problems! {
    /// Problems of endpoints about one stream.
    UnknownStream {
        "404": "No camera is registered under this name",
    }
    /// Problems of endpoints that change something.
    Refusable {
        "403": "The request comes from a page of another origin",
    }
    /// Problems of endpoints that take a body.
    BodyProblems {
        "400": "The body is not JSON, or a member that must be there is missing",
        "408": "The body did not arrive in time",
        "413": "The body is larger than api.max_body_bytes",
        "415": "The content type is not JSON",
        "422": "A member is unknown, of the wrong type or out of its range; `field` names it",
    }
    /// Problems of endpoints that take a list.
    ListProblems {
        "400": "The body is not UTF-8; the sentence names the line",
        "408": "The body did not arrive in time",
        "413": "The body has more than 1 MiB, or more than 5000 lines",
        "415": "The content type is not text/csv",
        "409": "The limit of registered cameras was reached meanwhile",
        "422": "The header names what is not known; or a line has a mistake, and the body is that of 200",
    }
    /// Problems of endpoints with checked query parameters.
    QueryProblems {
        "422": "A query parameter is out of its range; `field` names it",
    }
    /// Problems of endpoints that write to the database.
    StoreProblems {
        "503": "The database is busy; Retry-After says when to try again",
    }
    /// Problems of endpoints that have a worker probe a camera.
    TestProblems {
        "429": "Too many tests are running; Retry-After says when to try again",
        "503": "No worker of the camera's zone is there; Retry-After says when to try again",
    }
    /// Problems of endpoints that show a stream.
    WatchProblems {
        "409": "The camera is stopped",
    }
    /// Problems of endpoints that hold a viewer's connection.
    SeatProblems {
        "429": "The viewer's address has as many connections as it may; Retry-After says when to try again",
        "503": "Every seat for viewers, or every one of this camera, is taken, or the server is stopping; Retry-After \
            says when to try again",
    }
    /// Problems of endpoints that wait for media.
    WaitProblems {
        "503": "There is no media yet; Retry-After says when to try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_every_member_of_the_contract() {
        let mut response = Response::new();
        Problem::invalid("mjpeg.max_fps", "it must be from 1 to 60").render(&mut response);
        assert_eq!(response.status_code, Some(StatusCode::UNPROCESSABLE_ENTITY));
        assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
        let salvo::http::ResBody::Once(bytes) = response.take_body() else { panic!("a whole body") };
        let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
                "detail": "it must be from 1 to 60", "error": "it must be from 1 to 60", "field": "mjpeg.max_fps",
            })
        );
    }
}
