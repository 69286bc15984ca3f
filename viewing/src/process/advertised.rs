//! The address of a listener as other hosts reach it.

use std::net::SocketAddr;

/// `host:port` of a listener: the host's name stands for "every address of this host".
pub fn advertised(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => address.to_string(),
        name => format!("{name}:{}", address.port()),
    }
}
