//! The service of a listener, made from routes: the router, the OpenAPI document, and the guard in front.

use std::sync::Arc;

use salvo::Service;
use tracing::error;

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
    Service::new(route::router(routes, true)).hoop(RequestGuard::new(viewing.clone()))
}
