//! From a camera's name to the address that is connected to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rsm_shared::stream::camera_link::CameraUrl;
use url::Url;

use super::error::SourceError;

/// Which addresses may be connected to.
#[derive(Clone)]
pub struct AddressPolicy(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl AddressPolicy {
    /// Whatever `allows` says.
    pub fn new(allows: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(allows))
    }

    /// Every address.
    pub fn any() -> Self {
        Self::new(|_| true)
    }
}

impl fmt::Debug for AddressPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressPolicy")
    }
}

/// The first address of the camera that may be connected to, and the link with it in place of the name: what was
/// checked is what is connected to, whatever the name says a moment later.
pub async fn resolve(
    url: &CameraUrl,
    policy: &AddressPolicy,
    deadline: Duration,
) -> Result<(IpAddr, Url), SourceError> {
    let host = url.host().trim_start_matches('[').trim_end_matches(']');
    let lookup = tokio::time::timeout(deadline, tokio::net::lookup_host((host, url.port())));
    let found: Vec<SocketAddr> = match lookup.await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) => return Err(SourceError::NameNotFound),
        Err(_) => return Err(SourceError::NoAnswer(deadline)),
    };
    if found.is_empty() {
        return Err(SourceError::NameNotFound);
    }
    let address = found.iter().map(|found| found.ip()).find(|ip| (policy.0)(ip.to_canonical()));
    let address = address.ok_or(SourceError::AddressDenied)?;
    let mut pinned = url.as_url().clone();
    let text = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    pinned.set_host(Some(&text)).map_err(|_| SourceError::NameNotFound)?;
    Ok((address, pinned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pins_the_address_that_was_checked() {
        let second = Duration::from_secs(5);
        let local = AddressPolicy::new(|ip| ip.is_loopback());
        for (link, want) in
            [("rtsp://127.0.0.1:8554/a?b=c", "rtsp://127.0.0.1:8554/a?b=c"), ("rtsp://[::1]:1/x", "rtsp://[::1]:1/x")]
        {
            let url = CameraUrl::parse(link).unwrap().url;
            assert_eq!(resolve(&url, &local, second).await.unwrap().1.as_str(), want);
        }
        let named = CameraUrl::parse("rtsp://localhost:8554/a").unwrap().url;
        let (ip, pinned) = resolve(&named, &local, second).await.unwrap();
        assert!(ip.is_loopback() && !pinned.as_str().contains("localhost"));
        for link in ["rtsp://192.0.2.1/", "rtsp://[::ffff:192.0.2.1]/"] {
            let url = CameraUrl::parse(link).unwrap().url;
            assert_eq!(resolve(&url, &local, second).await.unwrap_err(), SourceError::AddressDenied);
        }
        let nowhere = CameraUrl::parse("rtsp://no-such-host.invalid/").unwrap().url;
        assert_eq!(resolve(&nowhere, &local, second).await.unwrap_err(), SourceError::NameNotFound);
    }
}
