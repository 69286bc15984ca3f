//! Endpoints for orchestrators and Prometheus.

use std::collections::BTreeMap;

use rsm_shared::ops::health::Readiness;
use rsm_shared::ops::metrics;
use salvo::http::header::CONTENT_TYPE;
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::Json;
use salvo::{Response, Writer as _};
use serde::Serialize;

use crate::http::extract::{Handles, RouteResult, Written};
use crate::http::problem::Problem;

/// The process runs.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "Live"))]
struct LiveBody {
    live: bool,
}

/// Readiness of the process.
#[derive(Debug, ToSchema)]
#[salvo(schema(name = "Readiness"))]
#[expect(dead_code, reason = "documents the body; the body itself comes from the shared crate")]
struct ReadinessBody {
    ready: bool,
    /// A sentence for each dependency that is away: `nats`, `store`, `disk`, `shutdown`, `directory`.
    reasons: BTreeMap<String, String>,
    /// A sentence for each concern that does not make the process unready: `workers`.
    warnings: BTreeMap<String, String>,
}

/// Does the process run?
#[endpoint(
    operation_id = "health_live",
    tags("operation"),
    responses((status_code = 200, description = "It does", body = LiveBody))
)]
pub async fn live(response: &mut Response) -> RouteResult {
    response.render(Json(LiveBody { live: true }));
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
pub async fn ready(app: Handles, response: &mut Response) -> RouteResult {
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
pub async fn numbers(app: Handles, response: &mut Response) -> RouteResult {
    let text = metrics::render(&app.0.registry).map_err(|e| {
        tracing::error!(repeats = true, error = %e, "metrics cannot be shown");
        Problem::internal()
    })?;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    response.body(text);
    Ok(Written)
}
