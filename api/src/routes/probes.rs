//! What orchestrators and Prometheus ask for.

use rsm_shared::ops::health::Readiness;
use rsm_shared::ops::metrics;
use salvo::http::header::CONTENT_TYPE;
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::Json;
use salvo::{Response, Writer as _};
use serde::Serialize;

use super::extract::{Answer, Handles, Operating, Written};
use crate::problem::Problem;

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
    /// A sentence for each dependency that is away.
    reasons: std::collections::BTreeMap<String, String>,
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
    /// `worker` or `relay`
    role: &'static str,
    /// Its name; relays have none.
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

/// Where the metrics of workers and relays are
///
/// For Prometheus' `http_sd_configs`.
#[endpoint(
    operation_id = "metrics_targets",
    tags("operation"),
    responses((status_code = 200, description = "Every live worker and relay", body = Vec<TargetGroup>))
)]
pub async fn targets(app: Operating, response: &mut Response) -> Answer {
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
    let groups: Vec<TargetGroup> = workers.chain(relays).collect();
    response.render(Json(groups));
    Ok(Written)
}
