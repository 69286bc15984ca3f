//! The small HTTP side of roles that serve no viewers: health and metrics.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use prometheus::Registry;
use salvo::conn::tcp::TcpAcceptor;
use salvo::fuse::FuseConfig;
use salvo::prelude::*;
use salvo::server::ServerHandle;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::metrics;

/// A reader that takes nothing for this long is cut off.
const STALL: Duration = Duration::from_secs(10);

/// `/health/live`, `/health/ready` and `/metrics`.
pub fn routes(health: Health, registry: Registry) -> Router {
    Router::new()
        .push(Router::with_path("health/live").get(Live))
        .push(Router::with_path("health/ready").get(Ready(health)))
        .push(Router::with_path("metrics").get(Metrics(registry)))
}

/// Serves `router` on `listener` until `stop`, then lets requests end. Returns once it stopped.
///
/// # Errors
/// When the listener cannot be used by the runtime.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    let server = Server::new(acceptor(listener)?).fuse_config(FuseConfig::default().with_write_stall_timeout(STALL));
    let handle: ServerHandle = server.handle();
    tokio::spawn(async move {
        stop.cancelled().await;
        handle.stop_graceful(Duration::from_secs(1));
    });
    server.try_serve(router).await
}

/// A listener as salvo takes it.
///
/// # Errors
/// When the listener cannot be used by the runtime.
pub fn acceptor(listener: TcpListener) -> std::io::Result<TcpAcceptor> {
    listener.set_nonblocking(true)?;
    // Inherited by every connection: an answer that is written in two pieces must not wait for an acknowledgement in
    // between.
    socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
    TcpAcceptor::try_from(tokio::net::TcpListener::from_std(listener)?)
}

/// The address that `listener` really has.
pub fn address(listener: &TcpListener) -> Option<SocketAddr> {
    listener.local_addr().ok()
}

struct Live;

#[async_trait]
impl Handler for Live {
    async fn handle(&self, _: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        response.render(Json(serde_json::json!({ "live": true })));
    }
}

struct Ready(Health);

#[async_trait]
impl Handler for Ready {
    async fn handle(&self, _: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        let readiness = self.0.readiness();
        if !readiness.ready {
            response.status_code(StatusCode::SERVICE_UNAVAILABLE);
        }
        response.render(Json(readiness));
    }
}

struct Metrics(Registry);

#[async_trait]
impl Handler for Metrics {
    async fn handle(&self, _: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        match metrics::render(&self.0) {
            Ok(text) => {
                let _ = response.add_header("content-type", metrics::CONTENT_TYPE, true);
                response.render(text);
            }
            Err(e) => {
                tracing::error!(repeats = true, error = %e, "metrics cannot be shown");
                response.status_code(StatusCode::INTERNAL_SERVER_ERROR);
            }
        }
    }
}
