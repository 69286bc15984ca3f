//! Checks of texts that must have a certain form.

use std::net::IpAddr;

use ipnet::IpNet;

use super::form::TextRefusal;
use super::log_filter as filter;
use super::path_prefix;
use crate::stream::names::{WorkerId, Zone};
use crate::stream::rendition::Rendition;

/// First parts of the paths that the server answers itself.
const OWN_PATHS: [&str; 7] = ["assets", "docs", "health", "metrics", "openapi.json", "video", "ws"];
/// First line of a certificate in a PEM file.
const PEM_CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Accepts every text: its type has been checked while it was read.
pub(super) fn any(_: &str) -> Result<(), TextRefusal> {
    Ok(())
}

fn accept_if(fits: bool) -> Result<(), TextRefusal> {
    if fits { Ok(()) } else { Err(TextRefusal::Unexpected) }
}

pub(super) fn origin(text: &str) -> Result<(), TextRefusal> {
    let is_origin =
        |url: url::Url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text;
    accept_if(url::Url::parse(text).is_ok_and(is_origin))
}

/// A path that this server's own paths can follow.
pub(super) fn base_path(text: &str) -> Result<(), TextRefusal> {
    let first = text.split('/').nth(1).unwrap_or_default();
    if OWN_PATHS.contains(&first) {
        return Err(TextRefusal::Because(format!("{text:?}, which begins like a path of the server itself")));
    }
    accept_if(path_prefix::normal(text).is_some())
}

pub(super) fn proxy(text: &str) -> Result<(), TextRefusal> {
    accept_if(text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok())
}

/// Refuses user info without repeating it.
pub(super) fn nats_address(text: &str) -> Result<(), TextRefusal> {
    match url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "nats" | "tls") && url.has_host()) {
        Some(url) if url.username().is_empty() && url.password().is_none() => Ok(()),
        Some(_) => Err(TextRefusal::Because(
            "an address with user info, expected the user in nats.user and nats.password".to_owned(),
        )),
        None => Err(TextRefusal::Unexpected),
    }
}

/// A zone or a JetStream domain, which becomes a token of subjects too.
pub(super) fn zone(text: &str) -> Result<(), TextRefusal> {
    Zone::parse(text).map(drop).map_err(|e| TextRefusal::Because(format!("{text:?}, {e}")))
}

pub(super) fn worker_name(text: &str) -> Result<(), TextRefusal> {
    WorkerId::parse(text).map(drop).map_err(|e| TextRefusal::Because(format!("{text:?}, {e}")))
}

pub(super) fn certificates(file: &str) -> Result<(), TextRefusal> {
    let refusal = |what: String| {
        TextRefusal::Because(format!("{file:?}{what}, expected a readable file with certificates in PEM"))
    };
    let text = std::fs::read(file).map_err(|e| refusal(format!(": {e}")))?;
    if text.windows(PEM_CERTIFICATE.len()).any(|window| window == PEM_CERTIFICATE) {
        Ok(())
    } else {
        Err(refusal(", which has no certificate".to_owned()))
    }
}

/// The form of a name only: whether this machine has the element is found out where GStreamer is.
pub(super) fn gstreamer_element(text: &str) -> Result<(), TextRefusal> {
    accept_if(!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))
}

pub(super) fn rendition(text: &str) -> Result<(), TextRefusal> {
    accept_if(Rendition::from_name(text).and_then(Rendition::height).is_some())
}

pub(super) fn log_filter(text: &str) -> Result<(), TextRefusal> {
    filter::parse(text, false)
        .map(drop)
        .map_err(|e| TextRefusal::Because(format!("{text:?}, expected levels such as info or info,source=debug: {e}")))
}
