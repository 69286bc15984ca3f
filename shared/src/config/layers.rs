//! Reading one layer of the configuration: its keys, its texts, and what is wrong with them in one line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use config::{Value, ValueKind};
use serde::{Deserialize, Deserializer};

use super::{BadConfig, bad};
use crate::stream::secret::Secret;

/// The dotted keys of one layer.
pub(super) fn keys(source: impl config::Source) -> Result<BTreeSet<String>, BadConfig> {
    let mut found = BTreeSet::new();
    let map = source.collect().map_err(|e| BadConfig(e.to_string()))?;
    let mut open: Vec<(String, Value)> = map.into_iter().collect();
    while let Some((key, value)) = open.pop() {
        match value.kind {
            ValueKind::Table(table) => {
                open.extend(table.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)))
            }
            _ => drop(found.insert(key)),
        }
    }
    Ok(found)
}

pub(super) fn refuse_unknown(given: &BTreeSet<String>, known: &BTreeSet<String>, layer: &str) -> Result<(), BadConfig> {
    let Some(key) = given.iter().find(|key| !known.contains(*key)) else { return Ok(()) };
    let last = key.rsplit('.').next().unwrap_or(key);
    let near: BTreeMap<_, _> = known.iter().map(|k| (!k.ends_with(last), k)).collect();
    let hint = match near.first_key_value() {
        Some((false, k)) => format!("; did you mean {k}?"),
        _ => "; `rsm config show` lists all keys".into(),
    };
    Err(BadConfig(format!("{key} in {layer} is not a known key{hint}")))
}

pub(super) fn explain(error: &config::ConfigError) -> BadConfig {
    match error {
        config::ConfigError::Type { unexpected, expected, key, .. } => {
            bad(key.as_deref().unwrap_or("a key"), unexpected, expected)
        }
        config::ConfigError::At { error, key, .. } => match explain(error) {
            BadConfig(text) => BadConfig(match key {
                Some(key) if !text.starts_with(key.as_str()) => format!("{key}: {text}"),
                _ => text,
            }),
        },
        other => BadConfig(other.to_string()),
    }
}

/// A list, or in the environment and on the command line a text separated by commas.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrText {
        List(Vec<String>),
        Text(String),
    }
    Ok(match ListOrText::deserialize(deserializer)? {
        ListOrText::List(list) => list,
        ListOrText::Text(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
    })
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is not ADDRESS:PORT such as 127.0.0.1:8080")))
}

pub(super) fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(deserializer)?).filter(|text| !text.is_empty()))
}

pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(non_empty(deserializer)?.map(Secret::new))
}
