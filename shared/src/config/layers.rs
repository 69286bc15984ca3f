//! Keys of one layer of the configuration, and its errors in one line.

use std::collections::{BTreeMap, BTreeSet};

use config::{Value, ValueKind};

use super::error::{BadConfig, bad};

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

/// Refuses a key that the table does not have, with a hint at one that it has.
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

/// The error of the library as one line that begins with the key.
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
