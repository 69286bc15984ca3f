//! The service of a listener, made from routes: the router, the OpenAPI document, and the guard in front.

use std::sync::Arc;

use salvo::{Router, Service};
use tracing::error;

use crate::http::path_prefix;
use crate::http::request_guard::RequestGuard;
use crate::http::route::{self, Route};
use crate::routes::docs;
use crate::viewing::Viewing;

/// Serves `routes`. A path matches with and without its last slash; of several that match, the first that is listed.
pub fn service(viewing: &Arc<Viewing>, routes: &[Route]) -> Service {
    match docs::document(&route::router(routes, false)).to_json() {
        Ok(text) => drop(viewing.openapi.set(text.into())),
        Err(e) => error!(error = %e, "the OpenAPI document cannot be written"),
    }
    Service::new(below(routes, &path_prefix::configured(viewing.config.api.base_path.as_deref())))
        .hoop(RequestGuard::new(viewing.clone()))
}

/// The routes as they are, and once more below `base`: a proxy may take the path off or leave it.
fn below(routes: &[Route], base: &str) -> Router {
    let plain = route::router(routes, true);
    match base.strip_prefix('/') {
        Some(base) => Router::new().push(plain).push(Router::with_path(base).push(route::router(routes, true))),
        None => plain,
    }
}
