//! The path under which a proxy shows a server, as the configuration or a header names it. Pure.

/// Longest prefix, bytes: it is repeated in every address of an answer.
const MAX: usize = 200;

/// The prefix without a slash at its end; empty for `/` and for nothing. `None` for anything but a path of plain
/// characters, so that no prefix can end a header or an attribute, name a host, or climb.
pub fn normal(text: &str) -> Option<&str> {
    let path = text.strip_suffix('/').unwrap_or(text);
    if path.is_empty() {
        return Some("");
    }
    let parts = path.strip_prefix('/')?;
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
    };
    (path.len() <= MAX && parts.split('/').all(plain)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_prefixes() {
        for (text, want) in [
            ("", Some("")),
            ("/", Some("")),
            ("/cams", Some("/cams")),
            ("/cams/", Some("/cams")),
            ("/a/b-c_d.e~f/9", Some("/a/b-c_d.e~f/9")),
            ("cams", None),
            ("//evil.example", None),
            ("/cams//", None),
            ("/a//b", None),
            ("/..", None),
            ("/a/../b", None),
            ("/./a", None),
            ("/a b", None),
            ("/a%2fb", None),
            ("/a\"b", None),
            ("/a<b", None),
            ("/a\r\nb", None),
            ("/a, /b", None),
            ("/\u{e4}", None),
            ("http://evil.example", None),
        ] {
            assert_eq!(normal(text), want, "{text:?}");
        }
        assert!(normal(&format!("/{}", "a".repeat(199))).is_some());
        assert!(normal(&format!("/{}", "a".repeat(200))).is_none());
    }
}
