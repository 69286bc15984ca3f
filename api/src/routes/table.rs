//! Every route of the API in one table: those for viewers, and those for operators.

use std::sync::Arc;

use rsm_viewing::http::route::Route;
use rsm_viewing::routes::{page, playback, table};
use salvo::Service;
use salvo::http::Method;

use super::extract::ProvideApp;
use super::{import, links, probe, targets};
use crate::app::App;

/// The table. A path matches with and without its last slash; of several that match, the first that is listed.
pub fn routes() -> Vec<Route> {
    let mut routes = table::for_viewers();
    routes.extend([
        Route::at("/").on(Method::GET, page::index),
        Route::at("/metrics/targets").on(Method::GET, targets::targets),
        Route::at("/video/").on(Method::GET, links::list).on(Method::POST, links::create),
        Route::at("/video/test").on(Method::POST, probe::unsaved),
        Route::at("/video/import").on(Method::POST, import::import),
        Route::at("/video/export.csv").on(Method::GET, import::export),
        Route::at("/video/{slug}/")
            .on(Method::GET, playback::watch)
            .on(Method::PATCH, links::update)
            .on(Method::DELETE, links::remove),
        Route::at("/video/{slug}/start").on(Method::POST, links::start),
        Route::at("/video/{slug}/stop").on(Method::POST, links::stop),
        Route::at("/video/{slug}/test").on(Method::POST, probe::changed),
    ]);
    routes
}

/// Everything that the API serves over HTTP.
pub fn service(app: &Arc<App>) -> Service {
    rsm_viewing::service::service(&app.viewing, &routes()).hoop(ProvideApp(app.clone()))
}
