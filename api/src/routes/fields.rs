//! Members of a JSON object, taken out one by one with their type and range checked. Members that are left over are
//! unknown.

use std::ops::RangeInclusive;

use rsm_viewing::http::problem::Problem;
use serde_json::{Map, Value};

/// A member as it was given. In a change, `null` is "back to the default" and absence "as it was" (RFC 7396).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Given<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T> Given<T> {
    /// The value; `None` for absence and null alike.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The value after a change of `before`.
    pub fn over(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Absent => before,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    fn try_map<U>(self, read: impl FnOnce(T) -> Result<U, Problem>) -> Result<Given<U>, Problem> {
        Ok(match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(read(value)?),
        })
    }
}

/// The members of one object that were not taken yet.
pub struct Fields {
    members: Map<String, Value>,
    /// Text before a member's name in an error: `mjpeg.` for those of `mjpeg`.
    prefix: String,
}

impl Fields {
    /// All members of a body.
    pub fn new(members: Map<String, Value>) -> Self {
        Self { members, prefix: String::new() }
    }

    /// Drops a member whatever it is.
    pub fn ignore(&mut self, name: &str) {
        self.members.remove(name);
    }

    /// A text of `len` characters, none of them a control character.
    ///
    /// # Errors
    /// 422 that names the member.
    pub fn text(&mut self, name: &str, len: RangeInclusive<usize>) -> Result<Given<String>, Problem> {
        let path = self.path(name);
        self.take(name).try_map(|value| {
            let Value::String(text) = value else { return Err(invalid(&path, "must be a text")) };
            let count = text.chars().count();
            if !len.contains(&count) {
                return Err(invalid(&path, &format!("must have {} to {} characters", len.start(), len.end())));
            }
            if text.chars().any(char::is_control) {
                return Err(invalid(&path, "must not hold control characters"));
            }
            Ok(text)
        })
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// 422 that names the member.
    pub fn boolean(&mut self, name: &str) -> Result<Given<bool>, Problem> {
        let path = self.path(name);
        self.take(name).try_map(|value| value.as_bool().ok_or_else(|| invalid(&path, "must be true or false")))
    }

    /// A whole number within `range`.
    ///
    /// # Errors
    /// 422 that names the member.
    pub fn number(&mut self, name: &str, range: RangeInclusive<u32>) -> Result<Given<u32>, Problem> {
        let path = self.path(name);
        self.take(name).try_map(|value| {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            number.filter(|number| range.contains(number)).ok_or_else(|| {
                invalid(&path, &format!("must be a whole number from {} to {}", range.start(), range.end()))
            })
        })
    }

    /// One of a few words.
    ///
    /// # Errors
    /// 422 that names the member.
    pub fn one_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Given<T>, Problem> {
        let path = self.path(name);
        self.take(name).try_map(|value| {
            let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
            found.map(|(_, meaning)| *meaning).ok_or_else(|| {
                let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                invalid(&path, &format!("must be one of {}", all.join(", ")))
            })
        })
    }

    /// Some of a few words, as a list; the same word twice counts once.
    ///
    /// # Errors
    /// 422 that names the member.
    pub fn some_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Given<Vec<T>>, Problem> {
        let path = self.path(name);
        self.take(name).try_map(|value| {
            let meaning = |value: &Value| {
                let text = value.as_str()?;
                words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
            };
            value.as_array().and_then(|list| list.iter().map(meaning).collect()).ok_or_else(|| {
                let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                invalid(&path, &format!("must be a list of some of {}", all.join(", ")))
            })
        })
    }

    /// An object, to be read by its own members.
    ///
    /// # Errors
    /// 422 that names the member.
    pub fn object(&mut self, name: &str) -> Result<Given<Self>, Problem> {
        let path = self.path(name);
        self.take(name).try_map(|value| match value {
            Value::Object(members) => Ok(Self { members, prefix: format!("{path}.") }),
            _ => Err(invalid(&path, "must be a JSON object")),
        })
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// 422 that names a member that is left.
    pub fn end(self) -> Result<(), Problem> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => {
                // A name can be as long as the body.
                let name: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
                let path = self.path(&name);
                Err(Problem::invalid(path.clone(), format!("{path} is not a member that can be set here")))
            }
        }
    }

    fn take(&mut self, name: &str) -> Given<Value> {
        match self.members.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => Given::Value(value),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// 422 whose sentence begins with the member's name.
pub fn invalid(path: &str, what: &str) -> Problem {
    Problem::invalid(path, format!("{path} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        let Value::Object(members) = value else { panic!("an object") };
        Fields::new(members)
    }

    #[test]
    fn absence_null_and_value_are_three_things() {
        let mut fields = fields(json!({"a": null, "b": 5}));
        assert_eq!(fields.number("x", 1..=9), Ok(Given::Absent));
        assert_eq!(fields.number("a", 1..=9), Ok(Given::Null));
        assert_eq!(fields.number("b", 1..=9), Ok(Given::Value(5)));
        assert_eq!(fields.end(), Ok(()));
        assert_eq!(Given::Absent.over(Some(1)), Some(1));
        assert_eq!(Given::Null.over(Some(1)), None);
        assert_eq!(Given::Value(2).over(Some(1)), Some(2));
    }

    #[test]
    fn a_member_of_an_object_is_named_with_it() {
        let mut fields = fields(json!({"mjpeg": {"max_fps": 0, "x": 1}}));
        let Ok(Given::Value(mut inner)) = fields.object("mjpeg") else { panic!("an object") };
        assert_eq!(inner.number("max_fps", 1..=60).unwrap_err().field(), Some("mjpeg.max_fps"));
        assert_eq!(inner.end().unwrap_err().field(), Some("mjpeg.x"));
    }

    #[test]
    fn wrong_types_name_the_member() {
        for value in [json!("5"), json!(5.5), json!(-1), json!(10), json!([5]), json!(1e30), json!(true)] {
            assert_eq!(fields(json!({"n": value})).number("n", 1..=9).unwrap_err().field(), Some("n"), "{value}");
        }
        for value in [json!(5), json!(""), json!("a\u{7}"), json!("abcd"), json!({})] {
            assert_eq!(fields(json!({"t": value})).text("t", 1..=3).unwrap_err().field(), Some("t"), "{value}");
        }
        for value in [json!("true"), json!(1), json!([])] {
            assert_eq!(fields(json!({"b": value})).boolean("b").unwrap_err().field(), Some("b"), "{value}");
        }
        for value in [json!("TCP"), json!(1)] {
            assert_eq!(fields(json!({"w": value})).one_of("w", &[("tcp", 1)]).unwrap_err().field(), Some("w"));
        }
        for value in [json!("tcp"), json!(["tcp", "TCP"]), json!([1]), json!([["tcp"]]), json!({"tcp": 1})] {
            assert_eq!(fields(json!({"l": value})).some_of("l", &[("tcp", 1)]).unwrap_err().field(), Some("l"));
        }
    }
}
