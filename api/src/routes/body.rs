//! Request bodies: bounded, in time, JSON or a list.

use std::time::Duration;

use futures_util::StreamExt as _;
use rsm_viewing::http::problem::Problem;
use salvo::Request;
use salvo::http::StatusCode;
use salvo::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Map, Value};

/// A body takes no longer than this.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a body that is too large that are read and dropped, so that the client reads the answer instead of a reset
/// connection.
const DRAIN: u64 = 4 << 20;

/// Reads a JSON object of at most `max` bytes. An empty body without a content type is an empty object.
///
/// # Errors
/// 413, 415, 408, 400, or 422 when the JSON is not an object.
pub async fn json_object(request: &mut Request, max: u64) -> Result<Map<String, Value>, Problem> {
    let (content_type, body) = read(request, max).await?;
    match content_type {
        None if body.is_empty() => return Ok(Map::new()),
        Some(text) if is_json(&text) => {}
        _ => {
            let sentence = "the body must be JSON, with the header Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
        }
    }
    parse(&body)
}

/// Reads a list, `text/csv`, of at most `max` bytes.
///
/// # Errors
/// 413, 415, 408 or 400.
pub async fn csv(request: &mut Request, max: u64) -> Result<Vec<u8>, Problem> {
    let (content_type, body) = read(request, max).await?;
    if content_type.is_none_or(|text| essence(&text) != "text/csv") {
        let sentence = "the body must be a list of cameras, with the header Content-Type: text/csv";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
    }
    Ok(body)
}

/// Content type and body.
async fn read(request: &mut Request, max: u64) -> Result<(Option<String>, Vec<u8>), Problem> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|len| len > max.saturating_add(DRAIN)) {
        return Err(too_large(max));
    }
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default().to_owned());
    let body = tokio::time::timeout(DEADLINE, collect(request, max)).await.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {} s", DEADLINE.as_secs()))
    })??;
    Ok((content_type, body))
}

async fn collect(request: &mut Request, max: u64) -> Result<Vec<u8>, Problem> {
    let mut body = request.take_body();
    let mut kept = Vec::new();
    let mut len: u64 = 0;
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|_| Problem::bad_request("the body ended early"))?;
        let Ok(data) = frame.into_data() else { continue };
        len = len.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if len > max.saturating_add(DRAIN) {
            break;
        }
        if len <= max {
            kept.extend_from_slice(&data);
        }
    }
    if len > max { Err(too_large(max)) } else { Ok(kept) }
}

fn too_large(max: u64) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {max} bytes"))
}

/// `application/json` or another type with a JSON suffix (RFC 6839), such as `application/merge-patch+json`.
fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads the text of a body.
///
/// # Errors
/// 400 when it is not JSON, 422 when it is not an object.
pub fn parse(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the body must be a JSON object")),
        // Only the place of the parser's message is sent: the text may hold a password.
        Err(e) => {
            Err(Problem::bad_request(format!("the body is not valid JSON, at line {} column {}", e.line(), e.column())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_json_by_its_type() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["", "text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonx", "json"] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_without_repeating_it() {
        for (body, status) in [
            ("{", StatusCode::BAD_REQUEST),
            ("", StatusCode::BAD_REQUEST),
            ("{\"password\": \"hunter2\"", StatusCode::BAD_REQUEST),
            ("\u{feff}{}", StatusCode::BAD_REQUEST),
            ("[]", StatusCode::UNPROCESSABLE_ENTITY),
            ("null", StatusCode::UNPROCESSABLE_ENTITY),
            ("\"rtsp://u:hunter2@h/\"", StatusCode::UNPROCESSABLE_ENTITY),
        ] {
            let problem = parse(body.as_bytes()).unwrap_err();
            assert_eq!(problem.status(), status, "{body}");
            assert!(!problem.sentence().contains("hunter2"));
        }
        assert_eq!(parse(&"[".repeat(100_000).into_bytes()).unwrap_err().status(), StatusCode::BAD_REQUEST);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body: Vec<u8>) {
            let _ = parse(&body);
        }
    }
}
