//! Rows of messages, read leniently: a row of a newer version may have further columns, states that are not known here
//! and names that are refused here. A row that cannot be read is left out, and the others count.

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, IgnoredAny};

use super::messages::Owned;
use crate::stream::fence::Epoch;
use crate::stream::slug::Slug;
use crate::stream::state::StreamState;

/// One column; every JSON value is one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Cell {
    Number(u64),
    Flag(bool),
    Text(String),
    /// `null`, a list, an object, or a number that is not a whole one.
    Other(IgnoredAny),
}

impl Cell {
    fn number(&self) -> Option<u64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    fn slug(&self) -> Option<Slug> {
        if let Self::Text(text) = self { Slug::parse(text).ok() } else { None }
    }

    fn state(&self) -> StreamState {
        let Self::Text(text) = self else { return StreamState::Unknown };
        let text: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(text);
        StreamState::deserialize(text).unwrap_or(StreamState::Unknown)
    }
}

/// One row. Its columns are bounded by the size of a message.
#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Cells(Vec<Cell>),
    /// No list, so no row that this version knows.
    Other(IgnoredAny),
}

impl Row {
    fn cells(&self) -> &[Cell] {
        if let Self::Cells(cells) = self { cells } else { &[] }
    }

    fn number(&self, column: usize) -> Option<u64> {
        self.cells().get(column).and_then(Cell::number)
    }

    /// The first four columns are needed.
    fn owned(&self) -> Option<Owned> {
        Some(Owned {
            cam: self.cells().first()?.slug()?,
            epoch: Epoch(self.number(1)?),
            revision: self.number(2)?,
            state: self.cells().get(3)?.state(),
            media_age_ms: self.number(4),
            media_sequence: self.number(5).unwrap_or(0),
            discontinuity_sequence: self.number(6).unwrap_or(0),
            ready: matches!(self.cells().get(7), Some(Cell::Flag(true))),
        })
    }

    fn release(&self) -> Option<(Slug, Epoch)> {
        Some((self.cells().first()?.slug()?, Epoch(self.number(1)?)))
    }
}

/// The rows of an inventory that can be read.
pub(super) fn inventory<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Owned>, D::Error> {
    Ok(Vec::<Row>::deserialize(from)?.iter().filter_map(Row::owned).collect())
}

/// The streams to release that can be read.
pub(super) fn releases<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(Slug, Epoch)>, D::Error> {
    Ok(Vec::<Row>::deserialize(from)?.iter().filter_map(Row::release).collect())
}
