//! What orchestrators and Prometheus ask for.

use std::collections::BTreeMap;

use rsm_shared::ops::health::Readiness;
use rsm_shared::ops::metrics;
use salvo::http::header::{CONTENT_TYPE, HOST};
use salvo::http::uri::Authority;
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::Json;
use salvo::{Request, Response, Writer as _};
use serde::Serialize;

use super::extract::{Answer, Handles, Operating, Written};
use crate::problem::Problem;
use crate::serve_relay::advertised;

/// Longest Host header that is taken for a name, bytes.
const MAX_HOST: usize = 262;

/// The process runs.
#[derive(Debug, Serialize, ToSchema)]
struct Live {
    live: bool,
}

/// Whether the process can do its work.
#[derive(Debug, ToSchema)]
#[salvo(schema(name = "Readiness"))]
#[expect(dead_code, reason = "documents the body; the body itself comes from the shared crate")]
struct ReadinessBody {
    ready: bool,
    /// A sentence for each dependency that is away: `nats`, `store`, `disk`, `shutdown`, `directory`.
    reasons: BTreeMap<String, String>,
    /// A sentence for what is not as it should be, though the process is ready: `workers`.
    warnings: BTreeMap<String, String>,
}

/// One group of targets of Prometheus' HTTP service discovery.
#[derive(Debug, Serialize, ToSchema)]
struct TargetGroup {
    /// `host:port`
    targets: Vec<String>,
    labels: TargetLabels,
}

/// Labels of a target.
#[derive(Debug, Serialize, ToSchema)]
struct TargetLabels {
    /// `api`, `relay` or `worker`
    role: &'static str,
    /// Its name; the others have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
}

/// Does the process run?
#[endpoint(
    operation_id = "health_live",
    tags("operation"),
    responses((status_code = 200, description = "It does", body = Live))
)]
pub async fn live(response: &mut Response) -> Answer {
    response.render(Json(Live { live: true }));
    Ok(Written)
}

/// Can it do its work?
#[endpoint(
    operation_id = "health_ready",
    tags("operation"),
    responses(
        (status_code = 200, description = "It can", body = ReadinessBody),
        (status_code = 503, description = "A dependency is away", body = ReadinessBody)
    )
)]
pub async fn ready(app: Handles, response: &mut Response) -> Answer {
    let readiness: Readiness = app.0.health.readiness();
    if !readiness.ready {
        response.status_code(StatusCode::SERVICE_UNAVAILABLE);
    }
    response.render(Json(readiness));
    Ok(Written)
}

/// Metrics of this process
#[endpoint(
    operation_id = "metrics",
    tags("operation"),
    responses((status_code = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"))
)]
pub async fn numbers(app: Handles, response: &mut Response) -> Answer {
    let text = metrics::render(&app.0.registry).map_err(|e| {
        tracing::error!(repeats = true, error = %e, "metrics cannot be shown");
        Problem::internal()
    })?;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    response.body(text);
    Ok(Written)
}

/// Where the metrics of every process are
///
/// For Prometheus' `http_sd_configs`, which needs no other address. The API itself is named as it was asked for.
#[endpoint(
    operation_id = "metrics_targets",
    tags("operation"),
    responses((status_code = 200, description = "The API, every live worker and relay", body = Vec<TargetGroup>))
)]
pub async fn targets(request: &mut Request, app: Operating, response: &mut Response) -> Answer {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let here = host.and_then(asked_at).unwrap_or_else(|| advertised(app.0.config.api.listen));
    let api = TargetGroup { targets: vec![here], labels: TargetLabels { role: "api", worker: None } };
    let workers = app.0.workers.borrow().clone();
    let workers = workers.into_iter().map(|worker| TargetGroup {
        targets: vec![worker.http],
        labels: TargetLabels { role: "worker", worker: Some(worker.worker) },
    });
    let relays = app
        .0
        .relays
        .live()
        .into_iter()
        .map(|http| TargetGroup { targets: vec![http], labels: TargetLabels { role: "relay", worker: None } });
    let groups: Vec<TargetGroup> = std::iter::once(api).chain(workers).chain(relays).collect();
    response.render(Json(groups));
    Ok(Written)
}

/// `host:port` of a Host header that can be a target; without a port it is the one of HTTP.
fn asked_at(host: &str) -> Option<String> {
    let plain = host.len() <= MAX_HOST && !host.contains('@');
    let authority = host.parse::<Authority>().ok().filter(|authority| plain && !authority.host().is_empty())?;
    match authority.port() {
        Some(port) if port.as_u16() > 0 => Some(authority.to_string()),
        // Nothing follows the host, also nothing that is no port.
        None if authority.as_str() == authority.host() => Some(format!("{authority}:80")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_that_was_asked_is_a_target_only_if_it_is_one() {
        for (host, want) in [
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("cams.example", Some("cams.example:80")),
            ("[::1]:8080", Some("[::1]:8080")),
            ("[fd00::7]", Some("[fd00::7]:80")),
            ("user:pw@host:1", None),
            ("host:0", None),
            ("host:99999", None),
            ("host:", None),
            (":8080", None),
            ("host/metrics", None),
            ("a b", None),
            ("", None),
            (&"x".repeat(300), None),
        ] {
            assert_eq!(asked_at(host).as_deref(), want, "{host}");
        }
    }
}
