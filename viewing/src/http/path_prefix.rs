//! The path under which clients see this server, and with it the addresses that answers name.

use rsm_shared::config::path_prefix::normal;
use salvo::Request;
use salvo::http::header::HeaderName;

use crate::viewing::Viewing;

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// A path without a slash at its end; empty when the server has the host for itself, or when its proxy does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// The prefix that the proxy in front names, if that is believed and names a plain path; otherwise `api.base_path`.
    pub fn of(request: &Request, viewing: &Viewing) -> Self {
        let named = request.headers().get(FORWARDED).and_then(|value| value.to_str().ok()).and_then(normal);
        let named = named.filter(|_| viewing.proxies.names_prefix(request.remote_addr().ip()));
        Self(named.map_or_else(|| configured(viewing.config.api.base_path.as_deref()), str::to_owned))
    }

    /// The address of a path of this server, which begins with a slash, as clients reach it.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The prefix; empty or a path without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reference from a page that was asked for at `path` to the root of this server. An unknown prefix may stand in
    /// front of it, so it is relative, unless the prefix is known.
    pub fn root(&self, path: &str) -> String {
        if !self.0.is_empty() {
            return format!("{}/", self.0);
        }
        match path.matches('/').count() {
            0 | 1 => "./".into(),
            deeper => "../".repeat(deeper - 1),
        }
    }

    /// A page whose attributes name paths of this server, with references that lead there from `path`.
    pub fn rooted(&self, html: &str, path: &str) -> String {
        html.replace("=\"/", &format!("=\"{}", self.root(path)))
    }
}

/// The configured path in the one spelling that is used here.
pub fn configured(base_path: Option<&str>) -> String {
    base_path.and_then(normal).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_finds_its_files_however_it_was_asked_for() {
        let html = "<a href=\"/docs\"><path d=\"M0 0\"><img src=\"/assets/x.svg\">";
        for (prefix, path, want) in [
            ("", "/", "<a href=\"./docs\"><path d=\"M0 0\"><img src=\"./assets/x.svg\">"),
            ("", "/docs", "<a href=\"./docs\"><path d=\"M0 0\"><img src=\"./assets/x.svg\">"),
            ("", "/docs/", "<a href=\"../docs\"><path d=\"M0 0\"><img src=\"../assets/x.svg\">"),
            ("/cams", "/docs/", "<a href=\"/cams/docs\"><path d=\"M0 0\"><img src=\"/cams/assets/x.svg\">"),
        ] {
            assert_eq!(PathPrefix(prefix.into()).rooted(html, path), want, "{prefix} {path}");
        }
    }

    #[test]
    fn addresses_begin_with_the_prefix() {
        assert_eq!(PathPrefix(configured(Some("/a/b/"))).address("/video/"), "/a/b/video/");
        assert_eq!(PathPrefix(configured(None)).address("/video/"), "/video/");
    }
}
