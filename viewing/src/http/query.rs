//! Query parameters, checked.

use std::ops::RangeInclusive;

use salvo::Request;

use super::problem::Problem;

/// The text of a parameter; of several the first.
pub fn text<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.queries().get(name).map(String::as_str)
}

/// A whole number within `range`.
///
/// # Errors
/// 422 that names the parameter.
pub fn number(request: &Request, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
    text(request, name).map(|value| parse(name, value, range)).transpose()
}

/// `1` and `true` mean yes; `0`, `false` and nothing mean no.
///
/// # Errors
/// 422 that names the parameter.
pub fn flag(request: &Request, name: &str) -> Result<bool, Problem> {
    match text(request, name) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(Problem::invalid(name, format!("{name} must be 1 or 0"))),
    }
}

fn parse(name: &str, value: &str, range: RangeInclusive<u64>) -> Result<u64, Problem> {
    let plain = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let number = if plain { value.parse().ok() } else { None };
    number.filter(|number| range.contains(number)).ok_or_else(|| {
        Problem::invalid(name, format!("{name} must be a whole number from {} to {}", range.start(), range.end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_and_in_range() {
        for (value, want) in [("0", Some(0)), ("007", Some(7)), ("100", Some(100))] {
            assert_eq!(parse("limit", value, 0..=100).ok(), want);
        }
        for bad in ["", "-1", "+1", "1.0", "1e2", "101", "99999999999999999999", "0x10", " 1", "١"] {
            let problem = parse("limit", bad, 0..=100).unwrap_err();
            assert_eq!(problem.field(), Some("limit"), "{bad}");
            assert!(problem.sentence().contains("from 0 to 100"));
        }
    }
}
