//! The HTTP server of both roles, and how it ends.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rsm_shared::ops::health::Dependency;
use rsm_shared::ops::listener;
use salvo::fuse::FuseConfig;
use salvo::{Server, Service};
use tokio::time::{Instant, MissedTickBehavior, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::relay::viewer::GOODBYE;
use crate::viewing::Viewing;

/// A client that sends nothing for this long in the middle of a message is gone.
const BODY_STALL: Duration = Duration::from_secs(30);
/// Time that requests may take to end, once viewers have gone.
pub const DRAIN: Duration = Duration::from_secs(1);
/// Interval of the checks for the last viewer's departure.
const POLL: Duration = Duration::from_millis(10);

/// Serves until `stop`. Then viewers go one after the other, while new ones are told to come back later; then `over` is
/// cancelled, and requests end.
///
/// # Errors
/// When the listener cannot be used by the runtime.
pub async fn serve(
    tcp: TcpListener,
    viewing: Arc<Viewing>,
    service: Service,
    stop: CancellationToken,
    over: CancellationToken,
) -> std::io::Result<()> {
    let stall = Duration::from_secs(viewing.config.api.viewer_stall_s);
    let server = Server::new(listener::acceptor(tcp)?).fuse_config(fuse(stall));
    let handle = server.handle();
    tokio::spawn(async move {
        stop.cancelled().await;
        say_goodbye(&viewing).await;
        over.cancel();
        handle.stop_graceful(DRAIN);
    });
    server.try_serve(service).await
}

/// Tells viewers that the process stops, and waits until all have gone, each at its moment.
async fn say_goodbye(viewing: &Viewing) {
    viewing.health.fault(Dependency::Shutdown, "the process was told to stop");
    let viewers = viewing.seats.taken();
    let drain = viewing.closing.begin(viewers);
    if viewers == 0 {
        return;
    }
    info!(viewers, over_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX), "disconnecting viewers");
    // Half of the last viewer's own deadline is granted: most viewers have closed by then.
    let deadline = Instant::now() + drain + GOODBYE / 2;
    let gone = async {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while viewing.seats.taken() + viewing.closing.goodbyes() > 0 {
            poll.tick().await;
        }
    };
    let _ = timeout_at(deadline, gone).await;
}

/// Deadlines of a connection that stalls. WebSockets have deadlines of their own, and are exempt.
fn fuse(stall: Duration) -> FuseConfig {
    FuseConfig::default().with_write_stall_timeout(stall).with_request_body_timeout(BODY_STALL)
}
