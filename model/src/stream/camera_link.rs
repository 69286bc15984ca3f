//! Addresses of cameras as people type them.

use std::fmt;
use std::net::Ipv6Addr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret::{MASK, Secret};

/// Longest address taken, in bytes.
pub const MAX_URL_LEN: usize = 2048;
/// Longest user name or password, in bytes.
pub const MAX_CREDENTIAL_LEN: usize = 256;
/// Characters that stay unescaped in the user part of a shown address.
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An `rtsp` or `rtsps` address without user info: what may be shown, logged and stored in the open.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CameraUrl(Url);

/// User and password for a camera, as the camera wants them: no escapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

/// Why an address is refused. The sentences are for the person who typed it and never repeat the address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadUrl {
    #[error("the address is longer than {MAX_URL_LEN} bytes")]
    TooLong,
    #[error("the address must begin with rtsp:// or rtsps://")]
    Scheme,
    #[error("the address has no valid host, expected rtsp://host[:port]/path")]
    Host,
    #[error("the address has spaces or control characters, or its port is not a number up to 65535")]
    Syntax,
    #[error(
        "the user name or password in the address is not valid percent-encoded UTF-8 of at most {MAX_CREDENTIAL_LEN} bytes"
    )]
    UserInfo,
}

/// An address as typed, its user info taken out.
#[derive(Debug, PartialEq, Eq)]
pub struct ParsedUrl {
    pub url: CameraUrl,
    /// The user in the address.
    pub username: Option<String>,
    /// The password in the address; [`MASK`] stays as it is, the caller knows whether it means "unchanged".
    pub password: Option<Secret>,
}

impl CameraUrl {
    /// Reads what a person typed.
    ///
    /// # Errors
    /// [`BadUrl`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<ParsedUrl, BadUrl> {
        let text = text.trim();
        if text.len() > MAX_URL_LEN {
            return Err(BadUrl::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(BadUrl::Syntax);
        }
        let mut url = Url::parse(text).map_err(|e| match e {
            url::ParseError::RelativeUrlWithoutBase => BadUrl::Scheme,
            url::ParseError::EmptyHost
            | url::ParseError::IdnaError
            | url::ParseError::InvalidIpv4Address
            | url::ParseError::InvalidIpv6Address
            | url::ParseError::InvalidDomainCharacter => BadUrl::Host,
            _ => BadUrl::Syntax,
        })?;
        if !matches!(url.scheme(), "rtsp" | "rtsps") {
            return Err(BadUrl::Scheme);
        }
        if !url.host_str().is_some_and(valid_host) {
            return Err(BadUrl::Host);
        }
        let username = decode(Some(url.username()).filter(|u| !u.is_empty()))?;
        let password = decode(url.password())?.map(Secret::new);
        // Neither fails: a host is there.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        Ok(ParsedUrl { url: Self(url), username, password })
    }

    /// `rtsp` or `rtsps`.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// Host name or address; IPv6 in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Host name or address; IPv6 without brackets.
    pub fn bare_host(&self) -> &str {
        self.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, 554 or 322 (RFC 7826 section 22.1) when none is given.
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(if self.scheme() == "rtsps" { 322 } else { 554 })
    }

    /// The whole address, which holds no credential.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Host and path, for a slug or a default name. Some cameras take their password in the path
    /// (`/user=admin_password=secret_channel=1.sdp`), where it may have slashes, too: the path ends before the first
    /// segment that looks like that.
    pub fn label(&self) -> String {
        let open = self.0.path().split('/').take_while(|segment| !may_hold_credentials(segment));
        let path = open.collect::<Vec<_>>().join("/");
        format!("{}{}", self.host(), path.trim_end_matches('/'))
    }

    /// The address as it is shown to people: `rtsp://user:***@host/path`.
    pub fn masked(&self, username: Option<&str>, has_password: bool) -> String {
        let user = username.map(|u| utf8_percent_encode(u, USER_INFO).to_string());
        let info = match (user, has_password) {
            (Some(user), true) => format!("{user}:{MASK}@"),
            (Some(user), false) => format!("{user}@"),
            (None, true) => format!(":{MASK}@"),
            (None, false) => return self.0.as_str().to_owned(),
        };
        self.0.as_str().replacen("://", &format!("://{info}"), 1)
    }
}

/// Returns whether a segment of a path has a sign that stands between names, values and credentials, escaped or not.
fn may_hold_credentials(segment: &str) -> bool {
    percent_decode_str(segment).any(|byte| matches!(byte, b'=' | b'&' | b'@' | b':'))
}

fn decode(part: Option<&str>) -> Result<Option<String>, BadUrl> {
    let Some(part) = part else { return Ok(None) };
    let text = percent_decode_str(part).decode_utf8().map_err(|_| BadUrl::UserInfo)?;
    if text.len() > MAX_CREDENTIAL_LEN || text.chars().any(char::is_control) {
        return Err(BadUrl::UserInfo);
    }
    Ok(Some(text.into_owned()))
}

/// The `url` crate keeps hosts of schemes it does not know as opaque text, so the alphabet is checked here.
fn valid_host(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.len() <= 253
        && !host.starts_with(['-', '.'])
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl fmt::Display for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl TryFrom<String> for CameraUrl {
    type Error = BadUrl;
    /// User info in a stored or received address is dropped: it has fields of its own.
    fn try_from(text: String) -> Result<Self, BadUrl> {
        Self::parse(&text).map(|parsed| parsed.url)
    }
}

impl From<CameraUrl> for String {
    fn from(url: CameraUrl) -> Self {
        url.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_not_a_camera_address() {
        let long = format!("rtsp://h/{}", "a".repeat(2048));
        for (text, want) in [
            ("", BadUrl::Scheme),
            ("camera", BadUrl::Scheme),
            ("http://camera/1", BadUrl::Scheme),
            ("file:///etc/passwd", BadUrl::Scheme),
            ("rtsp://", BadUrl::Host),
            ("rtsp:///path", BadUrl::Host),
            ("rtsp:camera", BadUrl::Host),
            ("rtsp://user:pw@/x", BadUrl::Host),
            ("rtsp://ho st/x", BadUrl::Syntax),
            ("rtsp://h/a\u{0}b", BadUrl::Syntax),
            ("rtsp://h:99999/x", BadUrl::Syntax),
            ("rtsp://h:port/x", BadUrl::Syntax),
            ("rtsp://[::g]/x", BadUrl::Host),
            ("rtsp://h%20x/", BadUrl::Host),
            ("rtsp://a:%ff@h/", BadUrl::UserInfo),
            (long.as_str(), BadUrl::TooLong),
        ] {
            assert_eq!(CameraUrl::parse(text), Err(want), "{text}");
        }
    }

    #[test]
    fn takes_user_info_out_and_decodes_it() {
        let parsed = CameraUrl::parse("rtsp://admin:p%40ss%3Aw%2Frd@10.0.0.1:8554/h264?ch=1").unwrap();
        assert_eq!(parsed.url.to_string(), "rtsp://10.0.0.1:8554/h264?ch=1");
        assert_eq!(parsed.username.as_deref(), Some("admin"));
        assert_eq!(parsed.password.unwrap().expose(), "p@ss:w/rd");
    }

    #[test]
    fn shows_a_masked_address_that_reads_back_as_unchanged() {
        let parsed = CameraUrl::parse("rtsp://us%20er:secret@[::1]/x").unwrap();
        let shown = parsed.url.masked(parsed.username.as_deref(), true);
        assert_eq!(shown, "rtsp://us%20er:***@[::1]/x");
        let again = CameraUrl::parse(&shown).unwrap();
        assert_eq!((again.url, again.username), (parsed.url, parsed.username));
        assert_eq!(again.password.unwrap().expose(), MASK);
    }

    #[test]
    fn a_label_is_host_and_path_without_credentials() {
        for (text, want) in [
            ("rtsp://u:Xy@cam.example:8554/live/main/?a=b", "cam.example/live/main"),
            ("rtsp://[::1]/", "[::1]"),
            ("rtsp://cam/user=admin_password=Xy_channel=1.sdp", "cam"),
            ("rtsp://cam/user%3Dadmin_password%3dXy_channel%3D1.sdp", "cam"),
            ("rtsp://cam/live/admin:Xy@/1", "cam/live"),
            ("rtsp://cam/live/admin%3AXy/1", "cam/live"),
            ("rtsp://cam/1/a&Xy", "cam/1"),
            ("rtsp://cam/user=a&password=q/Xy/z&channel=1", "cam"),
        ] {
            assert_eq!(CameraUrl::parse(text).unwrap().url.label(), want, "{text}");
        }
    }

    #[test]
    fn knows_the_default_ports() {
        assert_eq!(CameraUrl::parse("rtsp://h/").unwrap().url.port(), 554);
        assert_eq!(CameraUrl::parse("rtsps://h/").unwrap().url.port(), 322);
        assert_eq!(CameraUrl::parse("rtsp://h:1/").unwrap().url.port(), 1);
    }

    proptest! {
        #[test]
        fn a_password_never_shows(user in "[a-z]{1,8}", password in "[A-Z0-9]{6,40}") {
            let parsed = CameraUrl::parse(&format!("rtsp://{user}:{password}@host/path")).unwrap();
            let shown = format!("{:?} {} {}", parsed, parsed.url, parsed.url.masked(Some(&user), true));
            prop_assert!(!shown.contains(&password));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            if let Ok(parsed) = CameraUrl::parse(&text) {
                let again = CameraUrl::parse(parsed.url.as_url().as_str()).unwrap();
                prop_assert_eq!(again.url, parsed.url);
            }
        }
    }
}
