//! Which values of a key are valid, and how that is said in errors and in the reference.

use super::error::{BadConfig, bad};
use super::setting::Checkable;

/// Most entries of a list without a bound of its own.
const MAX_ENTRIES: usize = 1000;

/// Which values are valid.
#[derive(Debug)]
pub enum Form {
    /// A whole number.
    Whole {
        /// Plural, such as `seconds`; empty for a count of the things that the key names.
        unit: &'static str,
        min: u64,
        max: u64,
        /// Meaning of 0, where that is not the number 0.
        zero: Option<&'static str>,
    },
    /// One of these numbers.
    OneOf(&'static [u64]),
    /// `true` or `false`.
    Switch,
    /// A text.
    Text { expected: &'static str, check: TextCheck },
    /// A list of texts.
    List { expected: &'static str, check: TextCheck, min: usize, max: usize },
}

/// Judges one text.
pub type TextCheck = fn(&str) -> Result<(), TextRefusal>;

/// Why a text is refused.
pub enum TextRefusal {
    /// The value does not have the expected form, which the error repeats.
    Unexpected,
    /// The rest of the error line, after "KEY is ".
    Because(String),
}

impl Form {
    /// A whole number of this unit, within these bounds.
    pub const fn whole(unit: &'static str, min: u64, max: u64) -> Self {
        Self::Whole { unit, min, max, zero: None }
    }

    /// As [`Form::whole`], or 0 with a meaning of its own.
    pub const fn whole_or_zero(unit: &'static str, min: u64, max: u64, zero: &'static str) -> Self {
        Self::Whole { unit, min, max, zero: Some(zero) }
    }

    /// A text that `check` accepts.
    pub const fn text(expected: &'static str, check: TextCheck) -> Self {
        Self::Text { expected, check }
    }

    /// A list of texts that `check` accepts, of `min` entries or more.
    pub const fn list(expected: &'static str, check: TextCheck, min: usize) -> Self {
        Self::List { expected, check, min, max: MAX_ENTRIES }
    }

    /// As [`Form::list`], with at most `max` entries.
    pub const fn short_list(expected: &'static str, check: TextCheck, min: usize, max: usize) -> Self {
        Self::List { expected, check, min, max }
    }

    /// One line that names the key, the value and the expected form.
    pub(super) fn check(&self, key: &str, value: Checkable<'_>) -> Result<(), BadConfig> {
        match (self, value) {
            (Self::Whole { min, max, zero, .. }, Checkable::Number(number)) => {
                let fits = (*min..=*max).contains(&number) || (zero.is_some() && number == 0);
                if fits { Ok(()) } else { Err(bad(key, number, &self.bounds())) }
            }
            (Self::OneOf(numbers), Checkable::Number(number)) => {
                if numbers.contains(&number) {
                    Ok(())
                } else {
                    Err(bad(key, number, &self.bounds()))
                }
            }
            (Self::Text { expected, check }, Checkable::Texts(texts)) => check_texts(key, &texts, expected, *check),
            (Self::List { expected, check, min, max }, Checkable::Texts(texts)) => {
                if !(*min..=*max).contains(&texts.len()) {
                    let entries = format!("a list of {}", texts.len());
                    return Err(bad(key, entries, &format!("{min} to {max} {expected}")));
                }
                check_texts(key, &texts, expected, *check)
            }
            // The type of the value says it all.
            _ => Ok(()),
        }
    }

    /// Valid values in words, for the reference: `seconds, 1 to 60`.
    pub fn describe(&self) -> String {
        match self {
            Self::Whole { unit: "", .. } | Self::OneOf(_) => self.bounds_with_zero(),
            Self::Whole { unit, .. } => format!("{unit}, {}", self.bounds_with_zero()),
            Self::Switch => "true or false".to_owned(),
            Self::Text { expected, .. } => (*expected).to_owned(),
            Self::List { expected, max: MAX_ENTRIES, .. } => format!("a list of {expected}"),
            Self::List { expected, min, max, .. } => format!("a list of {min} to {max} {expected}"),
        }
    }

    /// Bounds of a number, as an error says them.
    fn bounds(&self) -> String {
        match self {
            Self::Whole { min: 1, max, zero: Some(_), .. } => format!("0 to {max}"),
            Self::Whole { min, max, zero: Some(_), .. } => format!("0 or {min} to {max}"),
            Self::Whole { min, max, zero: None, .. } => format!("{min} to {max}"),
            Self::OneOf(numbers) => {
                let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                match texts.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => String::new(),
                }
            }
            _ => String::new(),
        }
    }

    fn bounds_with_zero(&self) -> String {
        match self {
            Self::Whole { min, max, zero: Some(zero), .. } => format!("{min} to {max}, or 0: {zero}"),
            _ => self.bounds(),
        }
    }
}

fn check_texts(key: &str, texts: &[&str], expected: &str, check: TextCheck) -> Result<(), BadConfig> {
    for text in texts {
        check(text).map_err(|refusal| match refusal {
            TextRefusal::Unexpected => bad(key, format!("{text:?}"), expected),
            TextRefusal::Because(rest) => BadConfig(format!("{key} is {rest}")),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_told_and_kept() {
        for (form, valid, invalid, words) in [
            (Form::whole("seconds", 1, 60), 60, 61, "seconds, 1 to 60"),
            (Form::whole_or_zero("", 1, 9, "no bound"), 0, 10, "1 to 9, or 0: no bound"),
            (
                Form::whole_or_zero("milliseconds", 200, 1000, "no parts"),
                0,
                199,
                "milliseconds, 200 to 1000, or 0: no parts",
            ),
            (Form::OneOf(&[1, 3, 5]), 3, 2, "1, 3 or 5"),
        ] {
            assert_eq!(form.describe(), words);
            assert_eq!(form.check("k", Checkable::Number(valid)), Ok(()));
            let error = form.check("k", Checkable::Number(invalid)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("k is {invalid}, expected ")), "{error}");
        }
    }

    #[test]
    fn lists_have_bounds_and_each_entry_is_checked() {
        let form = Form::short_list(
            "letters",
            |text| if text.len() == 1 { Ok(()) } else { Err(TextRefusal::Unexpected) },
            1,
            2,
        );
        assert_eq!(form.check("k", Checkable::Texts(vec!["a", "b"])), Ok(()));
        for (texts, want) in [
            (vec![], "k is a list of 0, expected 1 to 2 letters"),
            (vec!["a"; 3], "k is a list of 3, expected 1 to 2 letters"),
            (vec!["a", "bc"], "k is \"bc\", expected letters"),
        ] {
            assert_eq!(form.check("k", Checkable::Texts(texts)).unwrap_err().to_string(), want);
        }
    }
}
