//! Removes credentials from log lines, including those of libraries. Pure, and linear in the length of the text.
//!
//! Libraries print addresses with user info, RTSP headers, and their own options. The forms of credentials in them are
//! known; every text of such a form is removed, and a little more rather than a little less.
//!
//! Crates that wrap a secret in a type (the product has `Secret`) do not help here: these texts are made by libraries.

use std::borrow::Cow;

use crate::stream::secret::MASK;

/// Search distance for the `@` behind an address that was cut off by an odd character, bytes.
const CUT_ADDRESS: usize = 96;
/// Characters between the name of a secret and its `:` or `=`: quotes, brackets and their escapes.
const MAX_BETWEEN: usize = 8;

/// Extent of the secret behind a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// To the end of the quotes, of the word, or to the next `&`.
    Value,
    /// As [`Extent::Value`], but only in quotes: the name is an everyday word.
    Quoted,
    /// To the end of the quotes, or of the line: a header.
    Line,
    /// The next word, after a space: `Basic dXNlcjpwYXNz`.
    Word,
}

/// Names of secrets, in lower case. A name counts wherever it stands, so `user_pw` and `admin_password` do.
const NAMES: [(&str, Extent); 16] = [
    ("authorization", Extent::Line),
    ("password", Extent::Value),
    ("passwd", Extent::Value),
    ("passphrase", Extent::Value),
    ("pass", Extent::Value),
    ("pwd", Extent::Value),
    ("user-pw", Extent::Value),
    ("user_pw", Extent::Value),
    ("secret", Extent::Value),
    ("token", Extent::Value),
    ("nkey", Extent::Value),
    ("api_key", Extent::Value),
    ("apikey", Extent::Value),
    ("response", Extent::Quoted),
    ("basic ", Extent::Word),
    ("bearer ", Extent::Word),
];

/// `text` without credentials.
pub fn mask(text: &str) -> Cow<'_, str> {
    let named = named(text);
    if !named.contains('@') {
        return named;
    }
    Cow::Owned(addresses(&named))
}

/// True when the whole value of a field of this name is a secret.
pub fn is_secret(field: &str) -> bool {
    let holds = |(name, extent): &(&str, Extent)| {
        matches!(extent, Extent::Value | Extent::Line) && field.to_ascii_lowercase().contains(name)
    };
    NAMES.iter().any(holds)
}

/// Masks the values behind the names of secrets.
fn named(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut clean, mut copied, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        let Some((start, end)) = secret_at(text, at) else {
            at += 1;
            continue;
        };
        // Nothing is there, or it is masked already.
        if start < end && &text[start..end] != MASK {
            clean.push_str(&text[copied..start]);
            clean.push_str(MASK);
            copied = end;
        }
        at = end.max(at + 1);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(&text[copied..]);
    Cow::Owned(clean)
}

/// Where the secret is whose name begins at `at`.
fn secret_at(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    if !matches!(bytes[at].to_ascii_lowercase(), b'a' | b'b' | b'n' | b'p' | b'r' | b's' | b't' | b'u') {
        return None;
    }
    let begins = |name: &str| bytes.get(at..at + name.len()).is_some_and(|b| b.eq_ignore_ascii_case(name.as_bytes()));
    let (name, extent) = NAMES.iter().find(|(name, _)| begins(name))?;
    let after = at + name.len();
    if *extent == Extent::Word {
        let end = after
            + text[after..]
                .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | ','))
                .unwrap_or(text.len() - after);
        // Shorter than a user, a colon and a password: an everyday sentence.
        return (end - after >= 8 || bytes.get(end.wrapping_sub(1)) == Some(&b'=')).then_some((after, end));
    }
    let mut start = after;
    while start < bytes.len()
        && start - after < MAX_BETWEEN
        && matches!(bytes[start], b'"' | b'\'' | b'\\' | b')' | b']' | b' ')
    {
        start += 1;
    }
    if !matches!(bytes.get(start)?, b':' | b'=') {
        return None;
    }
    start += 1;
    start += text[start..].len() - text[start..].trim_start_matches([' ', '=', '>']).len();
    // Wrappers that Rust prints around a value: `Some("...")`, `HeaderValue("...")`.
    for _ in 0..2 {
        let word = text[start..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        if word > 0 && bytes.get(start + word) == Some(&b'(') && word <= 16 {
            start += word + 1;
        }
    }
    let escapes = text[start..].bytes().take_while(|b| *b == b'\\').count();
    match bytes.get(start + escapes) {
        Some(quote @ (b'"' | b'\'')) => {
            let begin = start + escapes + 1;
            Some((begin, closing(text, begin, *quote, escapes)))
        }
        _ if *extent == Extent::Quoted => None,
        _ if *extent == Extent::Line => Some((start, line_end(text, start))),
        _ => {
            let ends = |c: char| c.is_whitespace() || matches!(c, '&' | '"');
            Some((start, start + text[start..].find(ends).unwrap_or(text.len() - start)))
        }
    }
}

/// Where the quotes close that opened before `begin`: the same quote, escaped as often, with the end of a value behind
/// it. Without one, the end of the text.
fn closing(text: &str, begin: usize, quote: u8, escapes: usize) -> usize {
    let bytes = text.as_bytes();
    let mut run = 0;
    for at in begin..bytes.len() {
        if bytes[at] == b'\\' {
            run += 1;
            continue;
        }
        let ends = bytes.get(at + 1).is_none_or(|b| b.is_ascii_whitespace() || b",;)]}&:.\\\"'".contains(b));
        if bytes[at] == quote && run == escapes && ends {
            return at - escapes;
        }
        run = 0;
    }
    bytes.len()
}

/// The end of the line, also of one that was printed with its line ends escaped.
fn line_end(text: &str, start: usize) -> usize {
    let rest = &text.as_bytes()[start..];
    let ends = |at: &usize| match rest[*at] {
        b'\r' | b'\n' => true,
        b'\\' => matches!(rest.get(at + 1), Some(b'r' | b'n')),
        _ => false,
    };
    (0..rest.len()).find(ends).map_or(text.len(), |end| start + end)
}

/// Masks user info: the text before the last `@` of an address.
fn addresses(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find(is_end) {
        let token = &rest[..end];
        // An odd character within a password cuts the address, and its `@` comes behind it.
        match cut_address(token, &rest[end..]) {
            Some((start, at)) => {
                clean.push_str(&token[..start]);
                clean.push_str(MASK);
                rest = &rest[end + at..];
            }
            None => {
                address(token, &mut clean);
                let next = rest[end..].chars().next().map_or(end, |c| end + c.len_utf8());
                clean.push_str(&rest[end..next]);
                rest = &rest[next..];
            }
        }
    }
    address(rest, &mut clean);
    clean
}

fn is_end(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '\\')
}

/// One token, which may be an address.
fn address(token: &str, clean: &mut String) {
    let Some(at) = token.rfind('@') else { return clean.push_str(token) };
    let start = match token.find("://") {
        Some(scheme) if scheme < at => scheme + 3,
        // `user:password@host` without a scheme.
        _ if token[..at].contains(':') => token.len() - token.trim_start_matches(['(', '[', '{', '=']).len(),
        _ => return clean.push_str(token),
    };
    clean.push_str(&token[..start]);
    clean.push_str(MASK);
    clean.push_str(&token[at..]);
}

/// For a token that begins an address and has a `:` where a password may be: where the user info begins, and where in
/// `behind` the `@` is that ends it.
fn cut_address(token: &str, behind: &str) -> Option<(usize, usize)> {
    let start = token.rfind("://")? + 3;
    if !token[start..].contains(':') {
        return None;
    }
    let window = behind.char_indices().map(|(at, _)| at).find(|at| *at >= CUT_ADDRESS).unwrap_or(behind.len());
    let window = &behind[..window];
    let line = window.find(['\n', '\r']).unwrap_or(window.len());
    let next = window.find("://").unwrap_or(window.len());
    // The last one: an `@` may be within the password.
    window[..line.min(next)].rfind('@').map(|at| (start, at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_left_out_and_the_rest_stays() {
        for (text, want) in [
            ("nothing to hide", "nothing to hide"),
            (
                "the user or password; check nats.user and nats.password",
                "the user or password; check nats.user and nats.password",
            ),
            ("unexpected response: 401", "unexpected response: 401"),
            ("a basic thing", "a basic thing"),
            ("rtsp://10.0.0.1:554/a and b", "rtsp://10.0.0.1:554/a and b"),
            ("open rtsp://root:pw@host/x?", "open rtsp://***@host/x?"),
            ("\"nats://u:p@10.0.0.1:4222\"", "\"nats://***@10.0.0.1:4222\""),
            ("rtsp://u:p@ss/w:rd@h/1", "rtsp://***@h/1"),
            ("rtsp://u:p w\"d@h/1", "rtsp://***@h/1"),
            ("nats://a:1,nats://b:2", "nats://a:1,nats://b:2"),
            ("to admin:hunter2@10.0.0.1", "to ***@10.0.0.1"),
            ("rtsp://h/user=admin_password=tlJw_channel=1", "rtsp://h/user=admin_password=***"),
            ("GET /v?user=a&pwd=b&x=1", "GET /v?user=a&pwd=***&x=1"),
            ("Authorization: Basic dXNlcjpwYXNz\r\nCSeq: 1", "Authorization: ***\r\nCSeq: 1"),
            (r"Authorization: Digest username=\x\r\nCSeq", r"Authorization: ***\r\nCSeq"),
            ("key: 'Authorization', value: 'Basic dXNlcjpwYXNz'", "key: 'Authorization', value: 'Basic ***'"),
            (r#"Digest username="u", response="0123", qop=auth"#, r#"Digest username="u", response="***", qop=auth"#),
            (r#"{"user":"u","pass":"p\"w","tls":false}"#, r#"{"user":"u","pass":"***","tls":false}"#),
            (r#"{\"pass\":\"p w\",\"x\":1}"#, r#"{\"pass\":\"***\",\"x\":1}"#),
            (
                r#"HeaderName("Authorization"): HeaderValue("Digest a=\"b\""), x"#,
                r#"HeaderName("Authorization"): HeaderValue("***"), x"#,
            ),
            (r#"password: Some("a b"), user: 1"#, r#"password: Some("***"), user: 1"#),
            ("user-pw='it's', x", "user-pw='***', x"),
            ("Bearer abcdefghijk.l", "Bearer ***"),
        ] {
            assert_eq!(mask(text), want);
            assert_eq!(mask(want), want, "once is enough");
        }
    }

    #[test]
    fn fields_named_after_secrets_are_known() {
        for (field, secret) in [
            ("password", true),
            ("nats_password", true),
            ("Authorization", true),
            ("stream", false),
            ("response", false),
        ] {
            assert_eq!(is_secret(field), secret, "{field}");
        }
    }

    fn odd() -> impl Strategy<Value = String> {
        // Long enough to be no part of the surrounding text.
        "[A-Za-z0-9@:/?#&=%!$*+,;. \\[\\]{}()|~^äß漢-]{0,12}Zq7[A-Za-z0-9@:/?#&=%!$*+,;.\\[\\]{}()|~^äß漢-]{0,12}"
    }

    fn around() -> impl Strategy<Value = String> {
        "[a-z ,.(\\[漢]{0,20}"
    }

    proptest! {
        #[test]
        fn a_password_in_an_address_never_stays(before in around(), scheme in "rtsps?|nats|tls|https?", password in odd(), after in around()) {
            prop_assume!(!password.contains("://"));
            let shown = mask(&format!("{before} {scheme}://user:{password}@host:554/path {after}")).into_owned();
            prop_assert!(!shown.contains("Zq7"), "{}", shown);
            prop_assert!(shown.contains("@host"), "{}", shown);
        }

        #[test]
        fn a_secret_behind_its_name_never_stays(before in around(), name in "password|Pass|user-pw|auth_token|passwd", secret in odd(), after in around()) {
            let named = [
                format!("{before}{name}=\"{secret}\" {after}"),
                format!("{before}\"{name}\": \"{secret}\", {after}"),
                format!("{before}{name}: Some({secret:?}) {after}"),
                format!("{:?}", format!("{before}{name}: {secret:?}, {after}")),
            ];
            for text in named {
                prop_assert!(!mask(&text).contains("Zq7"), "{} became {}", text, mask(&text));
            }
        }

        #[test]
        fn headers_never_stay(scheme in "Basic|Digest|Bearer|Other", secret in odd(), name in "Authorization|authorization|Proxy-Authorization") {
            for text in [
                format!("{name}: {scheme} {secret}\r\nCSeq: 4\r\n"),
                format!("{:?}", format!("{name}: {scheme} {secret}\r\nCSeq: 4\r\n")),
                format!("{{\"{name}\": \"{scheme} {secret}\", \"cseq\": 4}}"),
            ] {
                let shown = mask(&text).into_owned();
                prop_assert!(!shown.contains("Zq7") && shown.to_lowercase().contains("cseq"), "{} became {}", text, shown);
            }
        }

        #[test]
        fn whatever_comes_is_survived_and_masking_again_changes_nothing(text in "\\PC{0,300}|[a-z:=@\"'\\\\/ .&\r\n-]{0,200}") {
            let once = mask(&text).into_owned();
            prop_assert_eq!(mask(&once).into_owned(), once.clone());
        }

        #[test]
        fn what_has_no_mark_of_a_credential_stays_as_it_is(text in "[A-OQ-Zc-mo-z0-9 :/.,\"'-]{0,200}") {
            prop_assume!(!NAMES.iter().any(|(name, _)| text.to_ascii_lowercase().contains(name)));
            let shown = mask(&text).into_owned();
            prop_assert_eq!(shown, text);
        }
    }
}
