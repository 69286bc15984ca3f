//! Where traces are sent to. Its credentials are kept apart from the address, which may be shown.

use std::fmt;

use url::Url;

use crate::stream::secret::{MASK, Secret};

/// Where a collector takes spans, below its own address.
const PATH: &str = "v1/traces";

/// The address of a collector of traces. `Debug` and `Display` show no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpEndpoint {
    /// Without credentials.
    base: Url,
    credentials: Option<(String, Secret)>,
}

impl OtlpEndpoint {
    /// Reads `http://HOST:PORT`, which may have credentials and a path. Plain HTTP only: a collector on the way has the
    /// certificates.
    pub fn parse(text: &str) -> Option<Self> {
        let mut base = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.has_host())?;
        if base.query().is_some() || base.fragment().is_some() {
            return None;
        }
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let has = !base.username().is_empty() || base.password().is_some();
        let credentials =
            has.then(|| (decoded(base.username()), Secret::new(decoded(base.password().unwrap_or_default()))));
        base.set_password(None).ok()?;
        base.set_username("").ok()?;
        Some(Self { base, credentials })
    }

    /// The address that spans are posted to.
    pub fn traces_url(&self) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        if base.ends_with(PATH) { base.to_owned() } else { format!("{base}/{PATH}") }
    }

    /// User and password, if the collector wants them.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.expose()))
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.base.as_str().trim_end_matches('/');
        match (self.credentials.is_some(), base.split_once("://")) {
            (true, Some((scheme, rest))) => write!(f, "{scheme}://{MASK}:{MASK}@{rest}"),
            _ => f.write_str(base),
        }
    }
}

impl fmt::Debug for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_kept_and_not_shown() {
        let endpoint = OtlpEndpoint::parse("http://tracer:p%40ss@collector:4318/").unwrap();
        assert_eq!(endpoint.credentials(), Some(("tracer", "p@ss")));
        assert_eq!(endpoint.traces_url(), "http://collector:4318/v1/traces");
        assert_eq!(format!("{endpoint} {endpoint:?}"), "http://***:***@collector:4318 http://***:***@collector:4318");
    }

    #[test]
    fn a_path_of_its_own_is_kept() {
        for (given, want) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://h/otlp/", "http://h/otlp/v1/traces"),
            ("http://h/v1/traces", "http://h/v1/traces"),
        ] {
            assert_eq!(OtlpEndpoint::parse(given).unwrap().traces_url(), want);
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for bad in ["127.0.0.1:4318", "https://h:4318", "grpc://h", "http://", "http://h/?token=x", "h"] {
            assert_eq!(OtlpEndpoint::parse(bad), None, "{bad}");
        }
    }
}
