//! The listener of a process that serves viewers.

use std::net::TcpListener;
use std::time::Duration;

use rsm_shared::config::Config;
use rsm_shared::ops::process;
use tracing::warn;

use super::error::ServeError;
use crate::relay::limits;

/// Listens at `api.listen`, or takes the listener that was passed, and puts its real address into `config`: a passed
/// listener may be another than the configuration names, and the origin check depends on where it listens.
///
/// # Errors
/// [`ServeError`] when the address cannot be used.
pub fn listen(config: &mut Config) -> Result<TcpListener, ServeError> {
    let tcp = process::listen(config.api.listen).map_err(ServeError::Environment)?;
    limits::set_backlog(&tcp)?;
    limits::bound_unsent(&tcp, Duration::from_secs(config.api.viewer_stall_s))?;
    let address = tcp.local_addr()?;
    config.api.listen = address;
    if !address.ip().is_loopback() {
        warn!(%address, "listening beyond loopback without access control: everyone who reaches this address sees all cameras");
    }
    Ok(tcp)
}
