//! Where the metrics of every process are, for Prometheus.

use rsm_shared::ops::host;
use rsm_viewing::http::extract::{RouteResult, Written};
use salvo::http::header::HOST;
use salvo::http::uri::Authority;
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::Json;
use salvo::{Request, Response, Writer as _};
use serde::Serialize;

use super::extract::AppHandles;

/// Longest Host header that is taken for a name, bytes.
const MAX_HOST: usize = 262;

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

/// Where the metrics of every process are
///
/// For Prometheus' `http_sd_configs`, which needs no other address. The API itself is named as it was asked for.
#[endpoint(
    operation_id = "metrics_targets",
    tags("operation"),
    responses((status_code = 200, description = "The API, every live worker and relay", body = Vec<TargetGroup>))
)]
pub async fn targets(request: &mut Request, app: AppHandles, response: &mut Response) -> RouteResult {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let here = host.and_then(asked_at).unwrap_or_else(|| host::advertised(None, app.0.viewing.config.api.listen));
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
