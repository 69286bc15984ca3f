//! The HTTP server of both roles.

use std::net::TcpListener;
use std::time::Duration;

use rsm_shared::ops::listener;
use salvo::fuse::FuseConfig;
use salvo::{Server, Service};
use tokio_util::sync::CancellationToken;

/// A client that takes or sends nothing for this long in the middle of a message is gone.
const STALL: Duration = Duration::from_secs(30);
/// How long requests may take to end.
pub const DRAIN: Duration = Duration::from_secs(1);

/// Serves until `stop`, then lets requests end.
///
/// # Errors
/// When the listener cannot be used by the runtime.
pub async fn serve(tcp: TcpListener, service: Service, stop: CancellationToken) -> std::io::Result<()> {
    let server = Server::new(listener::acceptor(tcp)?).fuse_config(fuse());
    let handle = server.handle();
    tokio::spawn(async move {
        stop.cancelled().await;
        handle.stop_graceful(DRAIN);
    });
    server.try_serve(service).await
}

/// What a connection may keep waiting. WebSockets have deadlines of their own, and are let off by salvo.
fn fuse() -> FuseConfig {
    FuseConfig::default().with_write_stall_timeout(STALL).with_request_body_timeout(STALL)
}
