//! From the body of a POST or PATCH to a link's settings. Pure.

use rsm_shared::stream::camera_link::{BadUrl, CameraUrl, MAX_CREDENTIAL_LEN, ParsedUrl};
use rsm_shared::stream::names::{MAX_TOKEN_LEN, Zone};
use rsm_shared::stream::rendition::{Rendition, RenditionSet};
use rsm_shared::stream::secret::{MASK, Secret};
use rsm_shared::stream::spec::Transport;
use rsm_viewing::http::problem::Problem;
use rsm_viewing::streams::JpegOverrides;
use serde_json::{Map, Value};

use super::fields::{Fields, Given, invalid};
use crate::store::links::{HlsOverrides, LinkSettings};

/// Longest name, characters.
const MAX_NAME: usize = 200;
/// Members that GET shows and that cannot be set: ignored in a change, so that an item can be sent back as it was read.
const READ_ONLY: [&str; 9] =
    ["id", "slug", "created", "state", "reason", "since", "viewers", "has_password", "enabled"];
/// Transports of RTP, by name.
const TRANSPORTS: [(&str, Transport); 3] =
    [("auto", Transport::Auto), ("tcp", Transport::Tcp), ("udp", Transport::Udp)];

/// A body, each member checked by itself.
#[derive(Debug, Default)]
struct Body {
    url: Given<String>,
    name: Given<String>,
    zone: Given<Zone>,
    username: Given<String>,
    password: Given<Secret>,
    always_on: Given<bool>,
    exclusive: Given<bool>,
    transport: Given<Transport>,
    tls_insecure: Given<bool>,
    mjpeg: Given<JpegChange>,
    hls: Given<HlsChange>,
}

#[derive(Debug, Default)]
struct JpegChange {
    max_fps: Given<u32>,
    max_width: Given<u32>,
    quality: Given<u32>,
}

#[derive(Debug, Default)]
struct HlsChange {
    segment_seconds: Given<u32>,
    window_segments: Given<u32>,
    part_ms: Given<u32>,
    always_on: Given<bool>,
    renditions: Given<RenditionSet>,
}

/// A new link: its settings, and the text that its slug is made from: the name, or host and path; never user info.
#[derive(Debug, PartialEq)]
pub struct NewLink {
    pub settings: LinkSettings,
    pub slug_label: String,
}

/// Reads the body of a POST.
///
/// # Errors
/// 400 without an address; 422 that names the member.
pub fn create(members: Map<String, Value>) -> Result<NewLink, Problem> {
    let no_url = match members.get("url") {
        None | Some(Value::Null) => true,
        Some(url) => url.as_str().is_some_and(|text| text.trim().is_empty()),
    };
    if no_url {
        return Err(Problem::bad_request("URL is not provided"));
    }
    let body = Body::read(Fields::new(members))?;
    let parsed = parse_url(&body.url.value().unwrap_or_default())?;
    let unknown_password = "*** stands for a stored password, and a new camera has none yet";
    if parsed.password.as_ref().is_some_and(is_mask) {
        return Err(Problem::invalid("url", unknown_password));
    }
    if matches!(&body.password, Given::Value(password) if is_mask(password)) {
        return Err(Problem::invalid("password", unknown_password));
    }
    // A new link has nothing that null could take away.
    let username = agree("username", present(body.username), parsed.username)?;
    let password = agree("password", present(body.password), parsed.password)?;
    let name = body.name.value();
    let label = parsed.url.label();
    Ok(NewLink {
        slug_label: name.clone().unwrap_or_else(|| label.clone()),
        settings: LinkSettings {
            name: name.unwrap_or_else(|| default_name(&label)),
            url: parsed.url,
            zone: body.zone.value().unwrap_or_else(Zone::default_zone),
            username: username.over(None),
            password: password.over(None),
            transport: body.transport.value().unwrap_or_default(),
            tls_insecure: body.tls_insecure.value().unwrap_or_default(),
            always_on: body.always_on.value().unwrap_or_default(),
            exclusive: body.exclusive.value().unwrap_or_default(),
            mjpeg: jpeg_over(body.mjpeg, JpegOverrides::default()),
            hls: hls_over(body.hls, HlsOverrides::default()),
        },
    })
}

/// Reads the body of a PATCH over the settings that hold.
///
/// # Errors
/// 422 that names the member.
pub fn change(members: Map<String, Value>, before: &LinkSettings) -> Result<LinkSettings, Problem> {
    let mut fields = Fields::new(members);
    READ_ONLY.iter().for_each(|name| fields.ignore(name));
    let body = Body::read(fields)?;
    let shown = before.url.masked(before.username.as_deref(), before.password.is_some());
    let parsed = match body.url {
        Given::Absent => None,
        Given::Null => return Err(invalid("url", "cannot be taken away")),
        // The address as GET showed it is no change, so other members may contradict the user in it.
        Given::Value(text) if text.trim() == shown => None,
        Given::Value(text) => Some(parse_url(&text)?),
    };
    let (url, url_user, url_password) = match parsed {
        Some(ParsedUrl { url, username, password }) => (url, username, password),
        None => (before.url.clone(), None, None),
    };
    let username = agree("username", body.username, url_user)?;
    let password = agree("password", unmasked(body.password), url_password.filter(|password| !is_mask(password)))?;
    Ok(LinkSettings {
        name: match body.name {
            Given::Absent => before.name.clone(),
            Given::Null => default_name(&url.label()),
            Given::Value(name) => name,
        },
        zone: body.zone.over(Some(before.zone.clone())).unwrap_or_else(Zone::default_zone),
        username: username.over(before.username.clone()),
        password: password.over(before.password.clone()),
        transport: body.transport.over(Some(before.transport)).unwrap_or_default(),
        tls_insecure: body.tls_insecure.over(Some(before.tls_insecure)).unwrap_or_default(),
        always_on: body.always_on.over(Some(before.always_on)).unwrap_or_default(),
        exclusive: body.exclusive.over(Some(before.exclusive)).unwrap_or_default(),
        mjpeg: jpeg_over(body.mjpeg, before.mjpeg),
        hls: hls_over(body.hls, before.hls),
        url,
    })
}

impl Body {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let body = Self {
            // Its own length limit is in bytes, and checked with the rest of it.
            url: fields.text("url", 0..=usize::MAX)?,
            name: read_name(&mut fields)?,
            zone: read_zone(&mut fields)?,
            username: emptied(credential(&mut fields, "username")?),
            password: match emptied(credential(&mut fields, "password")?) {
                Given::Absent => Given::Absent,
                Given::Null => Given::Null,
                Given::Value(text) => Given::Value(Secret::new(text)),
            },
            always_on: fields.boolean("always_on")?,
            exclusive: fields.boolean("exclusive")?,
            transport: fields.one_of("transport", &TRANSPORTS)?,
            tls_insecure: fields.boolean("tls_insecure")?,
            mjpeg: match fields.object("mjpeg")? {
                Given::Absent => Given::Absent,
                Given::Null => Given::Null,
                Given::Value(mut inner) => {
                    let change = JpegChange {
                        max_fps: inner.number("max_fps", 1..=60)?,
                        max_width: inner.number("max_width", 64..=3840)?,
                        quality: inner.number("quality", 1..=100)?,
                    };
                    inner.end()?;
                    Given::Value(change)
                }
            },
            hls: match fields.object("hls")? {
                Given::Absent => Given::Absent,
                Given::Null => Given::Null,
                Given::Value(mut inner) => {
                    let change = HlsChange {
                        segment_seconds: inner.number("segment_seconds", 1..=10)?,
                        window_segments: inner.number("window_segments", 3..=60)?,
                        part_ms: read_part_ms(&mut inner)?,
                        always_on: inner.boolean("always_on")?,
                        renditions: read_renditions(&mut inner)?,
                    };
                    inner.end()?;
                    Given::Value(change)
                }
            },
        };
        fields.end()?;
        Ok(body)
    }
}

fn read_name(fields: &mut Fields) -> Result<Given<String>, Problem> {
    match fields.text("name", 0..=usize::MAX)? {
        Given::Value(text) => {
            let text = text.trim();
            if !(1..=MAX_NAME).contains(&text.chars().count()) {
                return Err(invalid("name", &format!("must have 1 to {MAX_NAME} characters")));
            }
            Ok(Given::Value(text.to_owned()))
        }
        other => Ok(other),
    }
}

fn read_zone(fields: &mut Fields) -> Result<Given<Zone>, Problem> {
    match emptied(fields.text("zone", 0..=usize::MAX)?) {
        Given::Absent => Ok(Given::Absent),
        Given::Null => Ok(Given::Null),
        Given::Value(text) => match Zone::parse(text.trim()) {
            Ok(zone) => Ok(Given::Value(zone)),
            Err(_) => {
                let rule = format!("must have 1 to {MAX_TOKEN_LEN} characters of A-Z, a-z, 0-9, _ and -");
                Err(invalid("zone", &rule))
            }
        },
    }
}

/// 0, or as long as a part may be.
fn read_part_ms(hls: &mut Fields) -> Result<Given<u32>, Problem> {
    match hls.number("part_ms", 0..=1000)? {
        Given::Value(1..200) => Err(invalid("hls.part_ms", "must be 0 for none, or from 200 to 1000")),
        given => Ok(given),
    }
}

fn read_renditions(hls: &mut Fields) -> Result<Given<RenditionSet>, Problem> {
    let offered = Rendition::ALL.into_iter().filter(|rendition| rendition.height().is_some());
    let words: Vec<_> = offered.map(|rendition| (rendition.as_str(), rendition)).collect();
    Ok(match hls.some_of("renditions", &words)? {
        Given::Absent => Given::Absent,
        Given::Null => Given::Null,
        Given::Value(list) => Given::Value(list.into_iter().collect()),
    })
}

fn credential(fields: &mut Fields, name: &str) -> Result<Given<String>, Problem> {
    let text = fields.text(name, 0..=usize::MAX)?;
    if matches!(&text, Given::Value(text) if text.len() > MAX_CREDENTIAL_LEN) {
        return Err(invalid(name, &format!("must have at most {MAX_CREDENTIAL_LEN} bytes")));
    }
    Ok(text)
}

/// An emptied field of a form means "none".
fn emptied(text: Given<String>) -> Given<String> {
    match text {
        Given::Value(text) if text.is_empty() => Given::Null,
        other => other,
    }
}

fn unmasked(password: Given<Secret>) -> Given<Secret> {
    match password {
        Given::Value(password) if is_mask(&password) => Given::Absent,
        other => other,
    }
}

fn present<T>(given: Given<T>) -> Given<T> {
    match given {
        Given::Null => Given::Absent,
        other => other,
    }
}

fn is_mask(password: &Secret) -> bool {
    password.expose() == MASK
}

fn parse_url(text: &str) -> Result<ParsedUrl, Problem> {
    CameraUrl::parse(text).map_err(|e: BadUrl| Problem::invalid("url", e.to_string()))
}

/// A member, or its value in the address; both only when they are equal.
fn agree<T: PartialEq>(name: &str, member: Given<T>, in_url: Option<T>) -> Result<Given<T>, Problem> {
    match (member, in_url) {
        (member, None) => Ok(member),
        (Given::Absent, Some(in_url)) => Ok(Given::Value(in_url)),
        (Given::Value(member), Some(in_url)) if member == in_url => Ok(Given::Value(member)),
        _ => Err(invalid(name, "is not the one in the address; give it once")),
    }
}

fn default_name(label: &str) -> String {
    label.chars().take(MAX_NAME).collect()
}

fn jpeg_over(change: Given<JpegChange>, before: JpegOverrides) -> JpegOverrides {
    match change {
        Given::Absent => before,
        Given::Null => JpegOverrides::default(),
        Given::Value(change) => JpegOverrides {
            max_fps: change.max_fps.over(before.max_fps),
            max_width: change.max_width.over(before.max_width),
            quality: change.quality.over(before.quality),
        },
    }
}

fn hls_over(change: Given<HlsChange>, before: HlsOverrides) -> HlsOverrides {
    match change {
        Given::Absent => before,
        Given::Null => HlsOverrides::default(),
        Given::Value(change) => HlsOverrides {
            segment_seconds: change.segment_seconds.over(before.segment_seconds),
            window_segments: change.window_segments.over(before.window_segments),
            part_ms: change.part_ms.over(before.part_ms),
            always_on: change.always_on.over(before.always_on),
            renditions: change.renditions.over(before.renditions),
        },
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
