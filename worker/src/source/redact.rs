//! Removes credentials from the words of a library. Pure.

use rsm_shared::stream::camera_link::Credentials;

/// The replacement of credentials.
const MASK: &str = "***";
/// Longest text kept, in characters: libraries print packets.
const MAX_CHARS: usize = 400;

/// `text` without the user info of any address, without the user name and password in any spelling, on one line.
pub fn redact(text: &str, credentials: Option<&Credentials>) -> String {
    let mut clean = without_user_info(text);
    if let Some(credentials) = credentials {
        for word in [credentials.password.expose(), credentials.username.as_str()] {
            for spelling in spellings(word) {
                clean = clean.replace(&spelling, MASK);
            }
        }
    }
    clean.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARS).collect()
}

/// As typed and percent-encoded. Words of one or two characters are everywhere and say nothing.
fn spellings(word: &str) -> Vec<String> {
    if word.chars().count() < 3 {
        return Vec::new();
    }
    let encoded: String = url::form_urlencoded::byte_serialize(word.as_bytes()).collect();
    vec![word.to_owned(), encoded.replace('+', "%20"), encoded]
}

/// Replaces the text between `//` and an `@` within one address.
fn without_user_info(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//") {
        let (before, after) = rest.split_at(at + 2);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '>')).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(user_end) => {
                clean.push_str(MASK);
                &after[user_end..]
            }
            None => after,
        };
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rsm_shared::stream::secret::Secret;

    fn credentials(username: &str, password: &str) -> Credentials {
        Credentials { username: username.into(), password: Secret::new(password) }
    }

    #[test]
    fn takes_credentials_out() {
        let creds = credentials("admin", "p@ss w/rd");
        for (text, want) in [
            ("did you mean file:rtsp://root:pw@host/x?", "did you mean file:rtsp://***@host/x?"),
            ("a //b@c d //e", "a //***@c d //e"),
            ("user admin, password p@ss w/rd", "user ***, password ***"),
            ("p%40ss%20w%2Frd p%40ss+w%2Frd", "*** ***"),
            ("two\nlines", "two lines"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(redact(text, Some(&creds)), want);
        }
    }

    proptest! {
        #[test]
        fn a_password_never_stays(before in "\\PC{0,20}", password in "[A-Za-z0-9@:/ ]{6,20}", after in "\\PC{0,20}") {
            let creds = credentials("u", &password);
            let shown = redact(&format!("{before}rtsp://u:{password}@h/{after} {password}"), Some(&creds));
            prop_assert!(!shown.contains(&password));
        }
    }
}
