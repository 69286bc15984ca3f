//! Types of values: how each is read from the merged layers, shown, and made checkable.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::endpoint::OtlpEndpoint;
use super::error::{BadConfig, bad};
use super::layers;
use super::log_format::LogFormat;
use crate::stream::secret::{MASK, Secret};

/// The type of a key's value.
pub(super) trait Setting {
    /// Reads the value of `key`.
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig>
    where
        Self: Sized;

    /// The value as TOML, with secrets masked.
    fn toml(&self) -> String;

    /// The value that the form of the key checks.
    fn checkable(&self) -> Checkable<'_>;
}

/// The value that a [`super::form::Form`] checks.
pub(super) enum Checkable<'a> {
    Number(u64),
    /// None where the value is empty and may be so.
    Texts(Vec<&'a str>),
    /// The type admits valid values only.
    Valid,
}

fn get<'de, T: Deserialize<'de>>(layers: &config::Config, key: &str) -> Result<T, BadConfig> {
    layers.get(key).map_err(|e| layers::explain(&e))
}

fn quoted(text: &str) -> String {
    // Escapes of JSON strings are escapes of TOML strings.
    serde_json::Value::from(text).to_string()
}

macro_rules! number_setting {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
                let number: u64 = get(layers, key)?;
                Self::try_from(number).map_err(|_| bad(key, number, "a smaller number"))
            }
            fn toml(&self) -> String {
                self.to_string()
            }
            fn checkable(&self) -> Checkable<'_> {
                // Lossless: no platform has a `usize` of more than 64 bits.
                Checkable::Number(u64::try_from(*self).unwrap_or(u64::MAX))
            }
        }
    )+};
}

number_setting!(u32, u64, usize);

impl Setting for bool {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        get(layers, key)
    }
    fn toml(&self) -> String {
        self.to_string()
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Valid
    }
}

impl Setting for String {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        get(layers, key)
    }
    fn toml(&self) -> String {
        quoted(self)
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Texts(vec![self])
    }
}

/// An empty text is `None`.
impl Setting for Option<String> {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        Ok(Some(get::<String>(layers, key)?).filter(|text| !text.is_empty()))
    }
    fn toml(&self) -> String {
        quoted(self.as_deref().unwrap_or_default())
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Texts(self.iter().map(String::as_str).collect())
    }
}

impl Setting for PathBuf {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        let path = Self::from(get::<String>(layers, key)?);
        if path.as_os_str().is_empty() { Err(bad(key, "empty", "a directory")) } else { Ok(path) }
    }
    fn toml(&self) -> String {
        quoted(&self.to_string_lossy())
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Valid
    }
}

impl Setting for SocketAddr {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        let text: String = get(layers, key)?;
        text.parse().map_err(|_| bad(key, quoted(&text), "ADDRESS:PORT such as 127.0.0.1:8080"))
    }
    fn toml(&self) -> String {
        quoted(&self.to_string())
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Valid
    }
}

/// In the environment and on the command line a text separated by commas.
impl Setting for Vec<String> {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum ListOrText {
            List(Vec<String>),
            Text(String),
        }
        Ok(match get(layers, key)? {
            ListOrText::List(list) => list,
            ListOrText::Text(text) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
        })
    }
    fn toml(&self) -> String {
        format!("[{}]", self.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Texts(self.iter().map(String::as_str).collect())
    }
}

/// An empty text is `None`.
impl Setting for Option<Secret> {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        Ok(<Option<String> as Setting>::read(layers, key)?.map(Secret::new))
    }
    fn toml(&self) -> String {
        quoted(self.as_ref().map_or("", |_| MASK))
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Valid
    }
}

/// An empty text is `None`.
impl Setting for Option<OtlpEndpoint> {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        let Some(text) = <Option<String> as Setting>::read(layers, key)? else { return Ok(None) };
        // The text may have a password in it, and is not repeated.
        let value = "not an address that spans can be sent to";
        let expected = "empty (off) or an address such as http://127.0.0.1:4318; https and gRPC are not supported";
        OtlpEndpoint::parse(&text).map(Some).ok_or_else(|| bad(key, value, expected))
    }
    fn toml(&self) -> String {
        quoted(&self.as_ref().map(ToString::to_string).unwrap_or_default())
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Valid
    }
}

impl Setting for LogFormat {
    fn read(layers: &config::Config, key: &str) -> Result<Self, BadConfig> {
        match get::<String>(layers, key)?.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(bad(key, quoted(other), "text or json")),
        }
    }
    fn toml(&self) -> String {
        quoted(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
    fn checkable(&self) -> Checkable<'_> {
        Checkable::Valid
    }
}
