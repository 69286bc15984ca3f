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

/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// The addresses of the camera that may be connected to, in the system's order, at least one. The caller
/// connects to a checked address, even when the name resolves to another one a moment later.
///
/// # Errors
/// [`SourceError`] when there is none, or the answer takes longer than `deadline`.
pub async fn resolve(url: &CameraUrl, policy: &AddressPolicy, deadline: Duration) -> Result<Vec<IpAddr>, SourceError> {
    let host = url.bare_host();
    let lookup = tokio::time::timeout(deadline, tokio::net::lookup_host((host, url.port())));
    let found: Vec<SocketAddr> = match lookup.await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) => return Err(SourceError::NameNotFound),
        Err(_) => return Err(SourceError::NoAnswer(deadline)),
    };
    if found.is_empty() {
        return Err(SourceError::NameNotFound);
    }
    let mut allowed: Vec<IpAddr> = Vec::new();
    for ip in found.iter().map(SocketAddr::ip).filter(|ip| (policy.0)(ip.to_canonical())) {
        if allowed.len() < MAX_ADDRESSES && !allowed.contains(&ip) {
            allowed.push(ip);
        }
    }
    if allowed.is_empty() { Err(SourceError::AddressDenied) } else { Ok(allowed) }
}

/// The link with `address` in place of the name.
///
/// # Errors
/// [`SourceError::NameNotFound`] for a link without a host, which [`CameraUrl`] does not take.
pub fn pinned(url: &CameraUrl, address: IpAddr) -> Result<Url, SourceError> {
    let mut pinned = url.as_url().clone();
    let text = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    pinned.set_host(Some(&text)).map_err(|_| SourceError::NameNotFound)?;
    Ok(pinned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_the_addresses_that_were_checked() {
        let second = Duration::from_secs(5);
        let local = AddressPolicy::new(|ip| ip.is_loopback());
        for (link, want) in
            [("rtsp://127.0.0.1:8554/a?b=c", "rtsp://127.0.0.1:8554/a?b=c"), ("rtsp://[::1]:1/x", "rtsp://[::1]:1/x")]
        {
            let url = CameraUrl::parse(link).unwrap().url;
            let found = resolve(&url, &local, second).await.unwrap();
            assert_eq!((found.len(), pinned(&url, found[0]).unwrap().as_str()), (1, want));
        }
        let named = CameraUrl::parse("rtsp://localhost:8554/a").unwrap().url;
        for ip in resolve(&named, &local, second).await.unwrap() {
            assert!(ip.is_loopback() && !pinned(&named, ip).unwrap().as_str().contains("localhost"));
        }
        for link in ["rtsp://192.0.2.1/", "rtsp://[::ffff:192.0.2.1]/"] {
            let url = CameraUrl::parse(link).unwrap().url;
            assert_eq!(resolve(&url, &local, second).await.unwrap_err(), SourceError::AddressDenied);
        }
        let nowhere = CameraUrl::parse("rtsp://no-such-host.invalid/").unwrap().url;
        assert_eq!(resolve(&nowhere, &local, second).await.unwrap_err(), SourceError::NameNotFound);
    }
}
