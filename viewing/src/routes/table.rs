//! The routes of this crate: those for viewers, and a relay's answers to changes.

use salvo::http::Method;

use super::{docs, elsewhere, events, list, live, mjpeg, page, play, playback, probes, snapshot};
use crate::http::route::Route;

/// Routes for viewers, the same in the API and in relays.
pub fn for_viewers() -> Vec<Route> {
    vec![
        Route::at("/assets/{file}").on(Method::GET, page::file),
        Route::at("/assets/{folder}/{file}").on(Method::GET, page::file_in_folder),
        Route::at("/health/live").on(Method::GET, probes::live),
        Route::at("/health/ready").on(Method::GET, probes::ready),
        Route::at("/metrics").on(Method::GET, probes::numbers),
        Route::at("/openapi.json").on(Method::GET, docs::openapi),
        Route::at("/docs").on(Method::GET, docs::docs),
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

/// All routes of a relay: those for viewers, and at the addresses of the API's other routes where changes go.
pub fn of_relay() -> Vec<Route> {
    let mut routes = for_viewers();
    routes.extend([
        Route::at("/").on(Method::GET, page::relay_index),
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
    ]);
    routes
}
