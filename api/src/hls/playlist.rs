//! What is added to a worker's playlist before a player gets it. Pure.

/// Adds `?viewer=<id>` to the children that a multivariant playlist names, so that each player can be counted by the
/// media playlist it fetches. URIs stand on lines of their own and in URI attributes (RFC 8216 section 4.1 and 4.2).
pub fn mark_viewer(multivariant: &str, viewer: u64) -> String {
    let mut marked = String::with_capacity(multivariant.len() + 64);
    for line in multivariant.lines() {
        if !line.starts_with('#') && !line.is_empty() {
            marked.push_str(&with_viewer(line.trim_end(), viewer));
        } else if let Some((before, uri, after)) = uri_attribute(line) {
            marked.push_str(before);
            marked.push_str(&with_viewer(uri, viewer));
            marked.push_str(after);
        } else {
            marked.push_str(line);
        }
        marked.push('\n');
    }
    marked
}

/// The id of a viewer as it stands in a query: 16 hexadecimal digits, or it is not one of ours.
pub fn viewer_id(text: &str) -> Option<u64> {
    let ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if ours { u64::from_str_radix(text, 16).ok() } else { None }
}

fn with_viewer(uri: &str, viewer: u64) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}viewer={viewer:016x}")
}

fn uri_attribute(line: &str) -> Option<(&str, &str, &str)> {
    let start = line.find("URI=\"")? + "URI=\"".len();
    let end = start + line.get(start..)?.find('"')?;
    Some((line.get(..start)?, line.get(start..end)?, line.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn children_carry_the_viewer_and_the_rest_stays() {
        let playlist = "#EXTM3U\n#EXT-X-VERSION:7\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio.m3u8?x=1\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001f\"\nsource.m3u8\n";
        let want = "#EXTM3U\n#EXT-X-VERSION:7\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio.m3u8?x=1&viewer=00000000000000ff\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001f\"\nsource.m3u8?viewer=00000000000000ff\n";
        assert_eq!(mark_viewer(playlist, 255), want);
    }

    #[test]
    fn only_ids_of_ours_are_read() {
        assert_eq!(viewer_id("00000000000000ff"), Some(255));
        for bad in ["", "ff", "00000000000000FF", "+0000000000000ff", "00000000000000fg", "000000000000000ff"] {
            assert_eq!(viewer_id(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_id_reads_back(id: u64) {
            let marked = mark_viewer("#EXTM3U\nsource.m3u8\n", id);
            let (_, query) = marked.trim_end().split_once("?viewer=").unwrap();
            prop_assert_eq!(viewer_id(query), Some(id));
        }

        #[test]
        fn any_text_is_marked(text in "\\PC{0,80}") {
            mark_viewer(&text, 1);
        }
    }
}
