//! Which carrier takes a camera, and opening it.

use std::net::IpAddr;

use rsm_shared::ops::traces;
use rsm_shared::stream::spec::{StreamSpec, Transport};

use super::carrier::{Carrier, OpenTiming};
use super::connect::Peer;
use super::error::SourceError;
use super::failure::Failure;
use super::redirect::Redirects;
pub use super::resolve::AddressPolicy;
use super::resolve::{pinned, resolve};
use super::retina::RetinaSource;
use super::rtspsrc::RtspsrcSource;
use super::session::Source;
use super::tls;
use super::tunnel::Tunnel;

/// Opens a camera session; `None` when `cancelled` comes first. Not cancel safe: a camera without a TEARDOWN
/// keeps its session for a minute, and cameras have few of them.
///
/// # Errors
/// [`SourceError`]. Nothing is left open then, or after `cancelled`: a TEARDOWN is sent if a session was set up.
pub async fn open(
    spec: &StreamSpec,
    carrier: Carrier,
    policy: &AddressPolicy,
    timing: OpenTiming,
    cancelled: impl Future<Output = ()> + Unpin,
) -> Option<Result<Source, SourceError>> {
    let mut cancelled = cancelled;
    let mut way = Redirects::new(&spec.url);
    let mut at = spec.clone();
    loop {
        // Each hop is another camera, so its address is checked like the first one's.
        let step = traces::step("resolve");
        let resolved = tokio::select! {
            () = &mut cancelled => return None,
            resolved = resolve(&at.url, policy, timing.step) => resolved,
        };
        step.end();
        let addresses = match resolved {
            Ok(addresses) => addresses,
            Err(error) => return Some(Err(error)),
        };
        let failure = match open_at_one(&at, carrier, &addresses, timing, &mut cancelled).await? {
            Ok(source) => return Some(Ok(source)),
            Err(failure) => failure,
        };
        let SourceError::Moved(status) = failure.error else { return Some(Err(failure.error)) };
        at = match way.follow(&at, status, failure.location.as_deref()) {
            Ok(next) => next,
            Err(error) => return Some(Err(error)),
        };
    }
}

/// A session with the first of `addresses` that can be connected to.
async fn open_at_one(
    spec: &StreamSpec,
    carrier: Carrier,
    addresses: &[IpAddr],
    timing: OpenTiming,
    cancelled: &mut (impl Future<Output = ()> + Unpin),
) -> Option<Result<Source, Failure>> {
    let mut failure = Failure::from(SourceError::NameNotFound);
    for address in addresses {
        failure = match open_at(spec, carrier, *address, timing, cancelled).await? {
            Ok(source) => return Some(Ok(source)),
            Err(failure) => failure,
        };
        let elsewhere =
            matches!(failure.error, SourceError::Refused | SourceError::Unreachable | SourceError::NoAnswer(_));
        if !elsewhere {
            break;
        }
    }
    Some(Err(failure))
}

async fn open_at(
    spec: &StreamSpec,
    carrier: Carrier,
    address: IpAddr,
    timing: OpenTiming,
    cancelled: &mut (impl Future<Output = ()> + Unpin),
) -> Option<Result<Source, Failure>> {
    if carrier == Carrier::Retina && spec.url.scheme() == "rtsp" {
        let url = match pinned(&spec.url, address) {
            Ok(url) => url,
            Err(error) => return Some(Err(error.into())),
        };
        match RetinaSource::open(spec, url, timing, &mut *cancelled).await? {
            Ok(source) => return Some(Ok(Source::Retina(Box::new(source)))),
            // retina does not report the target, so the camera is asked again through a tunnel, which sees it.
            Err(SourceError::Moved(_)) => {}
            Err(error) => return Some(Err(error.into())),
        }
    }
    let mut failure = Failure::from(SourceError::TransportRefused);
    for transport in transports(spec, carrier) {
        let step = traces::step("connect");
        let tunnel = tokio::select! {
            () = &mut *cancelled => return None,
            tunnel = tunnel(spec, address, timing) => tunnel,
        };
        step.end();
        let tunnel = match tunnel {
            Ok(tunnel) => tunnel,
            Err(error) => return Some(Err(error.into())),
        };
        failure = match open_behind(spec, carrier, *transport, tunnel, timing, &mut *cancelled).await? {
            Ok(source) => return Some(Ok(source)),
            Err(failure) => failure,
        };
        if failure.error != SourceError::TransportRefused {
            break;
        }
    }
    Some(Err(failure))
}

/// In which order ways of transport are tried; the next one when the camera refuses one.
fn transports(spec: &StreamSpec, carrier: Carrier) -> &'static [Transport] {
    match (carrier, spec.transport, spec.url.scheme()) {
        // A link with rtsps asks for encryption; UDP without it needs an explicit setting.
        (Carrier::Rtspsrc, Transport::Auto, "rtsp") => &[Transport::Tcp, Transport::Udp],
        (Carrier::Rtspsrc, Transport::Udp, _) => &[Transport::Udp],
        _ => &[Transport::Tcp],
    }
}

async fn open_behind(
    spec: &StreamSpec,
    carrier: Carrier,
    transport: Transport,
    tunnel: Tunnel,
    timing: OpenTiming,
    cancelled: impl Future<Output = ()>,
) -> Option<Result<Source, Failure>> {
    Some(match carrier {
        Carrier::Retina => match RetinaSource::open(spec, tunnel.url().clone(), timing, cancelled).await? {
            Ok(source) => {
                tunnel.detach();
                Ok(Source::Retina(Box::new(source)))
            }
            Err(error) => Err(Failure::behind(error, tunnel.seen().over)),
        },
        Carrier::Rtspsrc => RtspsrcSource::open(spec, transport, tunnel, timing, cancelled)
            .await?
            .map(|source| Source::Rtspsrc(Box::new(source))),
    })
}

async fn tunnel(spec: &StreamSpec, address: IpAddr, timing: OpenTiming) -> Result<Tunnel, SourceError> {
    let tls = match spec.url.scheme() {
        "rtsps" => Some(tls::config(spec.tls_insecure).await?),
        _ => None,
    };
    Tunnel::open(Peer::new(&spec.url, address, tls)?, spec.url.as_url(), timing.step).await
}
