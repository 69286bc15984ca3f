//! Every route in one table. The router, the documentation, the 405 of other methods and the label of the request
//! metrics come from it.

use std::sync::Arc;

use salvo::http::Method;
use salvo::routing::filters;
use salvo::{Handler, Router, Service};
use tracing::error;

use super::border::{Border, Label};
use super::{docs, elsewhere, events, import, links, list, live, look, mjpeg, page, play, playback, probes, snapshot};
use crate::app::{App, Viewing};
use crate::role::Role;

/// A path and what answers there, by method.
pub struct Route {
    pub path: &'static str,
    pub methods: Vec<(Method, Arc<dyn Handler>)>,
}

impl Route {
    fn at(path: &'static str) -> Self {
        Self { path, methods: Vec::new() }
    }

    fn on(mut self, method: Method, handler: impl Handler) -> Self {
        self.methods.push((method, Arc::new(handler)));
        self
    }
}

/// The table of a role. A path matches with and without its last slash; of several that match, the first that is
/// listed.
pub fn routes(role: Role) -> Vec<Route> {
    let mut routes = for_viewers();
    routes.extend(match role {
        Role::Api => for_operators(),
        Role::Relay => instead_of_operators(),
    });
    routes
}

fn for_viewers() -> Vec<Route> {
    vec![
        Route::at("/").on(Method::GET, page::index),
        Route::at("/assets/{file}").on(Method::GET, page::file),
        Route::at("/health/live").on(Method::GET, probes::live),
        Route::at("/health/ready").on(Method::GET, probes::ready),
        Route::at("/metrics").on(Method::GET, probes::numbers),
        Route::at("/openapi.json").on(Method::GET, docs::openapi),
        Route::at("/docs").on(Method::GET, docs::page),
        Route::at("/docs/{file}").on(Method::GET, docs::file),
        Route::at("/ws/hellostream/").on(Method::GET, live::hello),
        Route::at("/ws/stream/{slug}/").on(Method::GET, live::frames),
        Route::at("/video/events").on(Method::GET, events::events),
        Route::at("/video/play/{id}/").on(Method::GET, play::multivariant),
        Route::at("/video/play/{id}/{rendition}.m3u8").on(Method::GET, play::media_playlist),
        Route::at("/video/play/{id}/{owner}/{rendition}/{file}").on(Method::GET, play::media),
        Route::at("/video/{slug}/status").on(Method::GET, playback::status),
        Route::at("/video/{slug}/mjpeg").on(Method::GET, mjpeg::mjpeg),
        Route::at("/video/{slug}/snapshot.jpg").on(Method::GET, snapshot::snapshot),
    ]
}

fn for_operators() -> Vec<Route> {
    vec![
        Route::at("/metrics/targets").on(Method::GET, probes::targets),
        Route::at("/video/").on(Method::GET, links::list).on(Method::POST, links::create),
        Route::at("/video/test").on(Method::POST, look::unsaved),
        Route::at("/video/import").on(Method::POST, import::import),
        Route::at("/video/export.csv").on(Method::GET, import::export),
        Route::at("/video/{slug}/")
            .on(Method::GET, playback::watch)
            .on(Method::PATCH, links::update)
            .on(Method::DELETE, links::remove),
        Route::at("/video/{slug}/start").on(Method::POST, links::start),
        Route::at("/video/{slug}/stop").on(Method::POST, links::stop),
        Route::at("/video/{slug}/test").on(Method::POST, look::changed),
    ]
}

/// A relay says where changes go.
fn instead_of_operators() -> Vec<Route> {
    vec![
        Route::at("/video/").on(Method::GET, list::streams).on(Method::POST, elsewhere::READ_ONLY),
        Route::at("/video/test").on(Method::POST, elsewhere::NOTHING),
        Route::at("/video/import").on(Method::POST, elsewhere::NOTHING),
        Route::at("/video/{slug}/")
            .on(Method::GET, playback::watch)
            .on(Method::PATCH, elsewhere::READ_ONLY)
            .on(Method::DELETE, elsewhere::READ_ONLY),
        Route::at("/video/{slug}/start").on(Method::POST, elsewhere::NOTHING),
        Route::at("/video/{slug}/stop").on(Method::POST, elsewhere::NOTHING),
        Route::at("/video/{slug}/test").on(Method::POST, elsewhere::NOTHING),
    ]
}

/// All that is served; by a relay, without `app`.
pub fn service(viewing: Arc<Viewing>, app: Option<Arc<App>>) -> Service {
    match docs::document(&router(viewing.role, false)).to_json() {
        Ok(text) => drop(viewing.openapi.set(text.into())),
        Err(e) => error!(error = %e, "the OpenAPI document cannot be written"),
    }
    Service::new(router(viewing.role, true)).hoop(Border::new(viewing, app))
}

/// The table as salvo routes it. `head`: whether HEAD is answered wherever GET is, which goes without saying in the
/// documentation.
pub fn router(role: Role, head: bool) -> Router {
    routes(role).into_iter().fold(Router::new(), |all, route| {
        let mut here = Router::with_path(route.path).hoop(Label(route.path));
        for (method, handler) in route.methods {
            if head && method == Method::GET {
                here = here.push(answered(filters::head(), handler.clone()));
            }
            here = here.push(answered(filters::MethodFilter(method), handler));
        }
        all.push(here)
    })
}

fn answered(filter: filters::MethodFilter, handler: Arc<dyn Handler>) -> Router {
    let mut router = Router::with_filter(filter);
    router.goal = Some(handler);
    router
}
