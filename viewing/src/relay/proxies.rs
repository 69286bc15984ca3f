//! The address of a viewer, when proxies stand in front of this process. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

/// Proxies that are believed when they name a viewer's address: `api.trusted_proxies`.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// `trusted` are addresses and networks as the configuration checked them.
    pub fn new(trusted: &[String]) -> Self {
        let parse = |text: &String| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
        Self(trusted.iter().filter_map(parse).collect())
    }

    /// The viewer's address: the peer's; or, behind a trusted peer, the nearest address that is not trusted in
    /// `forwarded`, the values of X-Forwarded-For in their order. Each proxy appends the address of its peer, so entries
    /// before an address that is not trusted prove nothing.
    pub fn viewer<'a>(&self, peer: Option<IpAddr>, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut nearest = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.to_canonical());
        let mut named = forwarded.rev().flat_map(|value| value.rsplit(','));
        while self.trusts(nearest) {
            match named.next().and_then(parse) {
                Some(address) => nearest = address,
                None => break,
            }
        }
        nearest
    }

    /// True for a peer that is believed when it names the path in front of this server's own: a trusted proxy, or a
    /// program on this machine. The name only changes the addresses in the answer to that same request.
    pub fn names_prefix(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| {
            let peer = peer.to_canonical();
            peer.is_loopback() || self.trusts(peer)
        })
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address, with a port or without.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_nearest_that_is_not_trusted_counts() {
        let proxies = Proxies::new(&["10.0.0.0/8".into(), "192.0.2.1".into(), "2001:db8::/32".into()]);
        for (peer, forwarded, want) in [
            ("203.0.113.9", &["1.2.3.4"][..], "203.0.113.9"),
            ("10.0.0.7", &[], "10.0.0.7"),
            ("10.0.0.7", &["1.2.3.4"], "1.2.3.4"),
            ("::ffff:10.0.0.7", &["1.2.3.4"], "1.2.3.4"),
            ("10.0.0.7", &["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            ("10.0.0.7", &["6.6.6.6, 1.2.3.4 ,192.0.2.1"], "1.2.3.4"),
            ("10.0.0.7", &["6.6.6.6", "1.2.3.4:5678", "10.1.1.1"], "1.2.3.4"),
            ("2001:db8::1", &["[2001:4860::7]:80"], "2001:4860::7"),
            ("10.0.0.7", &["[2001:4860::7]"], "2001:4860::7"),
            ("10.0.0.7", &["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
            ("10.0.0.7", &["1.2.3.4, unknown, 10.0.0.9"], "10.0.0.9"),
            ("10.0.0.7", &[""], "10.0.0.7"),
        ] {
            let viewer = proxies.viewer(Some(peer.parse().unwrap()), forwarded.iter().copied());
            assert_eq!(viewer, want.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn trusted_peers_and_those_of_this_machine_name_the_prefix() {
        let proxies = Proxies::new(&["10.0.0.0/8".into()]);
        for (peer, believed) in
            [("127.0.0.1", true), ("::1", true), ("::ffff:10.0.0.7", true), ("10.0.0.7", true), ("203.0.113.9", false)]
        {
            assert_eq!(proxies.names_prefix(Some(peer.parse().unwrap())), believed, "{peer}");
        }
        assert!(!proxies.names_prefix(None));
    }

    proptest! {
        #[test]
        fn a_peer_that_is_not_trusted_names_nobody(said in "\\PC{0,40}") {
            let peer = "203.0.113.9".parse().unwrap();
            prop_assert_eq!(Proxies::new(&["10.0.0.0/8".into()]).viewer(Some(peer), [said.as_str()].into_iter()), peer);
        }
    }
}
