//! Prometheus' text format, as much of it as a reader of our own metrics needs: samples with their labels. Comments,
//! types and times are passed over. Pure, and strict: a line that is none is an error, not a guess.

use std::borrow::Cow;

/// Labels of one sample that are read; ours have three at most.
const MAX_LABELS: usize = 16;

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    pub name: &'a str,
    labels: Vec<(&'a str, Cow<'a, str>)>,
    pub value: f64,
}

impl Sample<'_> {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| &**value)
    }
}

/// The first line that is not in the format, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not in Prometheus' text format")]
pub struct Malformed(pub usize);

/// Hands every sample of `text` to `each`.
///
/// # Errors
/// [`Malformed`] names the first line that cannot be read; earlier lines were handed over.
pub fn read<'a>(text: &'a str, mut each: impl FnMut(Sample<'a>)) -> Result<(), Malformed> {
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        each(sample(line).ok_or(Malformed(number + 1))?);
    }
    Ok(())
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = word(line, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':')?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = number(words.next()?)?;
    // A time may follow, in milliseconds.
    if let Some(time) = words.next() {
        time.parse::<i64>().ok()?;
    }
    words.next().is_none().then_some(Sample { name, labels, value })
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// The text between the braces, and the text after them.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = word(rest, |c| c.is_ascii_alphanumeric() || c == '_')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?)?;
        if labels.len() == MAX_LABELS {
            return None;
        }
        labels.push((name, value));
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// A name at the beginning, which is no digit's place.
fn word(text: &str, fits: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

/// Reads up to the closing quote; only a text with escapes is copied.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => value.push(match signs.next()?.1 {
                'n' => '\n',
                sign @ ('\\' | '"') => sign,
                _ => return None,
            }),
            sign => value.push(sign),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        // Rust knows more words than the format.
        _ if text.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => None,
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Result<Vec<Sample<'_>>, Malformed> {
        let mut samples = Vec::new();
        read(text, |sample| samples.push(sample)).map(|()| samples)
    }

    #[test]
    fn reads_samples_with_labels_and_passes_over_the_rest() {
        let text = "# HELP a what it \"is\"\n# TYPE a counter\n\na 1\na{} 2\n\
                    b_total{stream=\"door\",why=\"a \\\"b\\\" \\\\ c\\nd\",} 3.5e2 1700000000000\n\
                    c{le=\"+Inf\"} +Inf\nc{x=\"}, y=\"} NaN\r\n  d:e { l = \"v\" }\t-1\n";
        // A space before the brace is not in the format.
        assert_eq!(all(text), Err(Malformed(9)));
        let text = text.replace("d:e {", "d:e{");
        let samples = all(&text).unwrap();
        let values: Vec<_> = samples.iter().map(|sample| (sample.name, sample.value)).collect();
        assert_eq!(values[..4], [("a", 1.0), ("a", 2.0), ("b_total", 350.0), ("c", f64::INFINITY)]);
        assert!(values[4].1.is_nan() && samples[4].label("x") == Some("}, y="));
        assert_eq!((samples[5].name, samples[5].label("l"), samples[5].value), ("d:e", Some("v"), -1.0));
        assert_eq!((samples[2].label("stream"), samples[2].label("why")), (Some("door"), Some("a \"b\" \\ c\nd")));
        assert_eq!(samples[2].label("none"), None);
    }

    #[test]
    fn what_is_no_sample_is_named_by_its_line() {
        for line in [
            "a",
            "a b",
            "1a 1",
            "a{ 1",
            "a{b} 1",
            "a{b=} 1",
            "a{b=\"c} 1",
            "a{b=\"c\"",
            "a{b=\"\\x\"} 1",
            "a 1 2 3",
            "a 1 soon",
            "a infinity",
            "a{b=\"c\"d=\"e\"} 1",
            "<html>",
            "{\"v\":1}",
            "a 0x10",
            "a nan",
        ] {
            assert_eq!(all(&format!("ok 1\n{line}\n")), Err(Malformed(2)), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_label_comes_back_as_it_was(value in "\\PC*", number in any::<f64>()) {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let text = format!("m{{l=\"{escaped}\"}} {number:e}\n");
            // Infinite and none have words of their own.
            prop_assume!(number.is_finite());
            let samples = all(&text).unwrap();
            prop_assert_eq!(samples[0].label("l"), Some(&*value));
            prop_assert_eq!(samples[0].value, number);
        }

        #[test]
        fn no_text_breaks_it(text in "[a-z{}\"=,\\\\ 0-9.\n#]{0,80}") {
            let _ = all(&text);
        }
    }
}
