//! The name of this host, and addresses at which other hosts reach a listener of this process.

use std::net::{Ipv6Addr, SocketAddr};

/// The name of this host as the kernel knows it; `localhost` when it has none.
pub fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

/// `host:port` of a listener at `address`. `wanted` is what the configuration says: a host, or a host with a port. Without
/// it the host's name stands for "every address of this host".
pub fn advertised(wanted: Option<&str>, address: SocketAddr) -> String {
    advertised_as(wanted, address, &name())
}

fn advertised_as(wanted: Option<&str>, address: SocketAddr, host: &str) -> String {
    let port = address.port();
    let Some(wanted) = wanted else {
        return if address.ip().is_unspecified() { format!("{host}:{port}") } else { address.to_string() };
    };
    // An IPv6 address has colons of its own; with a port it stands in brackets.
    match wanted.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{port}"),
        Err(_) if wanted.ends_with(']') || !wanted.contains(':') => format!("{wanted}:{port}"),
        Err(_) => wanted.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_other_hosts_can_reach_is_advertised() {
        for (wanted, address, want) in [
            (None, "127.0.0.1:4000", "127.0.0.1:4000"),
            (None, "[::1]:4000", "[::1]:4000"),
            (None, "0.0.0.0:4000", "site-7:4000"),
            (None, "[::]:4000", "site-7:4000"),
            (Some("10.0.0.9"), "0.0.0.0:4000", "10.0.0.9:4000"),
            (Some("cam.example"), "127.0.0.1:4000", "cam.example:4000"),
            (Some("cam.example:80"), "127.0.0.1:4000", "cam.example:80"),
            (Some("fd00::7"), "[::]:4000", "[fd00::7]:4000"),
            (Some("[fd00::7]"), "[::]:4000", "[fd00::7]:4000"),
            (Some("[fd00::7]:80"), "[::]:4000", "[fd00::7]:80"),
        ] {
            assert_eq!(advertised_as(wanted, address.parse().unwrap(), "site-7"), want, "{wanted:?} {address}");
        }
    }
}
