//! The handshake of WebSocket (RFC 6455 section 4.2). No extension is agreed on: pictures do not get smaller by
//! compressing them again, and each viewer would need memory of its own for it.

use std::time::Duration;

use salvo::conn::ConnCtrl;
use salvo::http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_VERSION, UPGRADE};
use salvo::http::headers::{Connection, HeaderMapExt as _, SecWebsocketAccept, SecWebsocketKey, Upgrade};
use salvo::http::{Method, StatusCode};
use salvo::hyper::upgrade::{OnUpgrade, Upgraded};
use salvo::rt::tokio::TokioIo;
use salvo::{Request, Response};
use tokio::time::timeout;
use tracing::debug;

use super::problem::Problem;
use crate::relay::viewer_threads::ViewerThreads;

/// Time from the handshake to the connection: the answers to earlier requests on the same connection may not be read yet.
const HANDOVER: Duration = Duration::from_secs(5);

/// The connection under a WebSocket.
pub type Connected = TokioIo<Upgraded>;

/// Checks that the request is for a WebSocket of this version.
///
/// # Errors
/// 426, with the protocol and version of this server.
pub fn check(request: &Request, response: &mut Response) -> Result<(), Problem> {
    let has = |name: HeaderName, wanted: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    if has(CONNECTION, "upgrade") && has(UPGRADE, "websocket") && has(SEC_WEBSOCKET_VERSION, "13") {
        return Ok(());
    }
    let _ = response.add_header(UPGRADE, "websocket", true);
    let _ = response.add_header(SEC_WEBSOCKET_VERSION, "13", true);
    Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket, version 13, only"))
}

/// Answers 101, and runs `serve` on the connection once it is handed over.
///
/// # Errors
/// 400 when the handshake is not valid.
pub fn accept<F, Fut>(
    request: &mut Request,
    response: &mut Response,
    threads: &ViewerThreads,
    serve: F,
) -> Result<(), Problem>
where
    F: FnOnce(Connected) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let invalid = || Problem::bad_request("the WebSocket handshake is not valid");
    if *request.method() != Method::GET {
        return Err(invalid());
    }
    let key = request.headers().typed_get::<SecWebsocketKey>().ok_or_else(invalid)?;
    let handed_over = request.extensions_mut().remove::<OnUpgrade>().ok_or_else(invalid)?;
    let control = request.extensions().get::<ConnCtrl>().cloned().ok_or_else(invalid)?;
    response.status_code(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.typed_insert(Connection::upgrade());
    headers.typed_insert(Upgrade::websocket());
    headers.typed_insert(SecWebsocketAccept::from(key));
    threads.spawn(async move {
        match timeout(HANDOVER, handed_over).await {
            Ok(Ok(connection)) => {
                // Pings and the viewer's own deadline take the place of those for HTTP.
                control.relax_timeouts();
                drop(control);
                serve(TokioIo::new(connection)).await;
            }
            Ok(Err(e)) => debug!(error = %e, "a WebSocket ended with its handshake"),
            Err(_) => {
                debug!(seconds = HANDOVER.as_secs(), "the answer to a handshake was not taken");
                control.abort();
            }
        }
    });
    Ok(())
}
