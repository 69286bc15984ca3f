//! Where a camera sends its viewers to, and whether to go there. Pure.

use rsm_shared::stream::camera_link::{CameraUrl, MAX_URL_LEN};
use rsm_shared::stream::spec::StreamSpec;

use super::error::SourceError;

/// Most redirections that are followed for one session.
const MAX_HOPS: usize = 3;

/// The way of one session so far.
#[derive(Debug)]
pub struct Redirects {
    /// Where it was asked, the link first; at most [`MAX_HOPS`] more.
    asked: Vec<CameraUrl>,
}

impl Redirects {
    pub fn new(link: &CameraUrl) -> Self {
        Self { asked: vec![link.clone()] }
    }

    /// The stream to ask for next, when the camera at `from` answered `status` (RFC 2326 section 11.3) and `location`.
    ///
    /// User and password go to the same host only. User information in the location is not used.
    ///
    /// # Errors
    /// [`SourceError::RedirectLoop`]; [`SourceError::BadRedirect`] for anything but a camera's address, and for a way out
    /// of TLS.
    pub fn follow(
        &mut self,
        from: &StreamSpec,
        status: u16,
        location: Option<&str>,
    ) -> Result<StreamSpec, SourceError> {
        let bad = || SourceError::BadRedirect(status);
        let location = location.filter(|location| location.len() <= MAX_URL_LEN).ok_or_else(bad)?;
        // Paths alone are not allowed, and sent.
        let joined = from.url.as_url().join(location).map_err(|_| bad())?;
        let url = CameraUrl::parse(joined.as_str()).map_err(|_| bad())?.url;
        if from.url.scheme() == "rtsps" && url.scheme() != "rtsps" {
            return Err(bad());
        }
        if self.asked.contains(&url) || self.asked.len() > MAX_HOPS {
            return Err(SourceError::RedirectLoop(status));
        }
        let same_host = url.host().eq_ignore_ascii_case(from.url.host());
        self.asked.push(url.clone());
        let mut next = from.clone();
        next.credentials = next.credentials.filter(|_| same_host);
        next.url = url;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::camera_link::Credentials;
    use rsm_shared::stream::secret::Secret;

    use crate::source::tests::spec;

    fn next(link: &str, location: &str) -> Result<(String, bool), SourceError> {
        let mut from = spec(link);
        from.credentials = Some(Credentials { username: "u".into(), password: Secret::new("p") });
        let next = Redirects::new(&from.url).follow(&from, 302, Some(location))?;
        Ok((next.url.to_string(), next.credentials.is_some()))
    }

    #[test]
    fn credentials_stay_with_their_host() {
        for (location, want, credentials) in [
            ("rtsp://a:8554/y?z=1", "rtsp://a:8554/y?z=1", true),
            ("rtsp://A/y", "rtsp://A/y", true),
            ("/y", "rtsp://a/y", true),
            ("rtsps://a/y", "rtsps://a/y", true),
            ("rtsp://b/x", "rtsp://b/x", false),
            ("rtsp://a@b/x", "rtsp://b/x", false),
            ("rtsp://a.b/x", "rtsp://a.b/x", false),
        ] {
            assert_eq!(next("rtsp://a/x", location), Ok((want.to_owned(), credentials)), "{location}");
        }
    }

    #[test]
    fn goes_only_to_cameras_and_never_out_of_tls() {
        let long = format!("rtsp://a/{}", "x".repeat(MAX_URL_LEN));
        for location in ["http://a/x", "file:///etc/passwd", "rtsp://", "rtsp://a b/", "rtsp-sdp://a", long.as_str()] {
            assert_eq!(next("rtsp://a/x", location), Err(SourceError::BadRedirect(302)), "{location}");
        }
        assert_eq!(next("rtsps://a/x", "rtsp://a/x"), Err(SourceError::BadRedirect(302)));
        let from = spec("rtsp://a/x");
        assert_eq!(Redirects::new(&from.url).follow(&from, 301, None).unwrap_err(), SourceError::BadRedirect(301));
    }

    #[test]
    fn neither_circles_nor_goes_on_for_ever() {
        assert_eq!(next("rtsp://a/x", "rtsp://a/x"), Err(SourceError::RedirectLoop(302)));
        let mut at = spec("rtsp://a/0");
        let mut way = Redirects::new(&at.url);
        for hop in 1..=MAX_HOPS {
            at = way.follow(&at, 302, Some(&format!("rtsp://a/{hop}"))).unwrap();
        }
        assert_eq!(way.follow(&at, 302, Some("rtsp://a/9")).unwrap_err(), SourceError::RedirectLoop(302));
    }
}
