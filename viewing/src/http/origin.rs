//! Which web pages may use this server: its own, those of `api.allowed_origins`, and on loopback those of loopback.

use std::net::{IpAddr, SocketAddr};

use salvo::http::uri::{Authority, Uri};

/// Meaning of the Origin header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginDecision {
    /// None: no browser, or a browser that follows a link.
    Absent,
    /// A page of this server.
    Same,
    /// A page of an origin that the configuration names: its requests may carry credentials.
    Listed,
    /// A page of another origin of this machine, while the server is on loopback.
    Allowed,
    /// Any other page; also `null`, which every sandboxed frame and local file sends.
    Foreign,
}

/// Origins whose pages may use the server.
#[derive(Clone, Debug)]
pub struct OriginPolicy {
    allowed: Vec<String>,
    loopback: bool,
}

impl OriginPolicy {
    /// `allowed` are origins as the configuration checked them; `listen` is where the server listens.
    pub fn new(allowed: &[String], listen: SocketAddr) -> Self {
        Self { allowed: allowed.to_vec(), loopback: listen.ip().is_loopback() }
    }

    /// Judges a request by its Origin and Host headers.
    pub fn judge(&self, origin: Option<&str>, host: Option<&str>) -> OriginDecision {
        let Some(origin) = origin else { return OriginDecision::Absent };
        let Some((scheme, authority)) = parse(origin) else { return OriginDecision::Foreign };
        let port = default_port(scheme);
        let same = host
            .and_then(|host| host.parse::<Authority>().ok())
            .is_some_and(|host| endpoint(&host, port) == endpoint(&authority, port));
        // On loopback only this machine's own names count: a foreign name that was made to resolve to 127.0.0.1 (DNS
        // rebinding) would equal itself. A server behind a proxy lists its names in `api.allowed_origins`.
        if same && (!self.loopback || is_loopback(authority.host())) {
            OriginDecision::Same
        } else if self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            OriginDecision::Listed
        } else if self.loopback && is_loopback(authority.host()) {
            OriginDecision::Allowed
        } else {
            OriginDecision::Foreign
        }
    }
}

/// Scheme and authority of an origin with nothing after them.
fn parse(origin: &str) -> Option<(&'static str, Authority)> {
    let uri: Uri = origin.parse().ok()?;
    let scheme = match uri.scheme_str()? {
        "http" => "http",
        "https" => "https",
        _ => return None,
    };
    let authority = uri.authority()?.clone();
    let bare = origin.len() == scheme.len() + "://".len() + authority.as_str().len();
    (bare && !authority.as_str().contains('@')).then_some((scheme, authority))
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Host and port, the port of the scheme when none is written.
fn endpoint(authority: &Authority, default_port: u16) -> (String, u16) {
    (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(default_port))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(listen: &str) -> OriginPolicy {
        OriginPolicy::new(&["https://cameras.example".to_owned()], listen.parse().unwrap())
    }

    #[test]
    fn judges_by_origin_host_and_listener() {
        let (open, loopback) = ("0.0.0.0:8080", "127.0.0.1:8080");
        for (listen, origin, host, want) in [
            (loopback, None, Some("127.0.0.1:8080"), OriginDecision::Absent),
            (loopback, Some("http://127.0.0.1:8080"), Some("127.0.0.1:8080"), OriginDecision::Same),
            (open, Some("http://nvr.lan:8080"), Some("nvr.lan:8080"), OriginDecision::Same),
            (open, Some("http://NVR.lan"), Some("nvr.lan"), OriginDecision::Same),
            (open, Some("https://nvr.lan"), Some("nvr.lan:443"), OriginDecision::Same),
            (open, Some("http://nvr.lan"), Some("nvr.lan:80"), OriginDecision::Same),
            (open, Some("http://nvr.lan:8080"), Some("nvr.lan"), OriginDecision::Foreign),
            (loopback, Some("http://rebound.evil:8080"), Some("rebound.evil:8080"), OriginDecision::Foreign),
            (loopback, Some("https://cameras.example"), Some("cameras.example"), OriginDecision::Listed),
            (open, Some("http://nvr.lan"), None, OriginDecision::Foreign),
            (open, Some("https://cameras.example"), Some("nvr.lan"), OriginDecision::Listed),
            (open, Some("http://cameras.example"), Some("nvr.lan"), OriginDecision::Foreign),
            (open, Some("https://cameras.example:444"), Some("nvr.lan"), OriginDecision::Foreign),
            (open, Some("https://cameras.example.evil"), Some("nvr.lan"), OriginDecision::Foreign),
            (loopback, Some("http://localhost:3000"), Some("127.0.0.1:8080"), OriginDecision::Allowed),
            (loopback, Some("http://127.9.9.9:1"), Some("127.0.0.1:8080"), OriginDecision::Allowed),
            (loopback, Some("http://[::1]:5173"), Some("127.0.0.1:8080"), OriginDecision::Allowed),
            (loopback, Some("http://localhost.evil"), Some("127.0.0.1:8080"), OriginDecision::Foreign),
            (loopback, Some("http://127.0.0.1.evil"), Some("127.0.0.1:8080"), OriginDecision::Foreign),
            (open, Some("http://localhost:3000"), Some("nvr.lan:8080"), OriginDecision::Foreign),
            (loopback, Some("null"), Some("127.0.0.1:8080"), OriginDecision::Foreign),
            (loopback, Some(""), Some("127.0.0.1:8080"), OriginDecision::Foreign),
            (loopback, Some("file://"), Some("127.0.0.1:8080"), OriginDecision::Foreign),
            (loopback, Some("http://localhost/x"), Some("127.0.0.1:8080"), OriginDecision::Foreign),
            (loopback, Some("http://evil@localhost"), Some("127.0.0.1:8080"), OriginDecision::Foreign),
            (loopback, Some("chrome-extension://abc"), Some("127.0.0.1:8080"), OriginDecision::Foreign),
        ] {
            assert_eq!(policy(listen).judge(origin, host), want, "{listen} {origin:?} {host:?}");
        }
    }

    proptest! {
        #[test]
        fn another_host_is_never_the_same(a in "[a-z]{1,12}\\.lan", b in "[a-z]{1,12}\\.lan") {
            prop_assume!(a != b);
            let verdict = policy("0.0.0.0:80").judge(Some(&format!("http://{a}")), Some(&b));
            prop_assert_eq!(verdict, OriginDecision::Foreign);
        }

        #[test]
        fn any_header_is_judged(origin in "\\PC{0,40}", host in "\\PC{0,40}") {
            policy("127.0.0.1:80").judge(Some(&origin), Some(&host));
        }
    }
}
