//! Rows of messages, read leniently: a row of a newer version may have further columns, states that are not known here
//! and names that are refused here. A row that cannot be read is left out, and the others count.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::messages::Owned;
use crate::stream::fence::Epoch;
use crate::stream::slug::Slug;
use crate::stream::state::StreamState;

/// Columns of a row that are looked at; further ones are passed over.
const COLUMNS: usize = 8;

/// One column; every JSON value is one.
enum Cell {
    Number(u64),
    Text(String),
    Flag(bool),
    /// `null`, a list, an object, or a number that is not a whole one.
    Other,
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

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Cell, E> {
        Ok(Cell::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Cell, E> {
        Ok(Cell::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Cell, E> {
        Ok(Cell::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Cell, E> {
        Ok(Cell::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Cell, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Other)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CellVisitor)
    }
}

/// The first columns of one row; none when it is not a list.
struct Row(Vec<Cell>);

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Row, E> {
        Ok(Row(Vec::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Row, E> {
        Ok(Row(Vec::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Row, E> {
        Ok(Row(Vec::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Row, E> {
        Ok(Row(Vec::new()))
    }

    fn visit_str<E>(self, _: &str) -> Result<Row, E> {
        Ok(Row(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<Row, E> {
        Ok(Row(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Row, A::Error> {
        let mut cells = Vec::with_capacity(COLUMNS);
        while cells.len() < COLUMNS {
            match list.next_element()? {
                Some(cell) => cells.push(cell),
                None => return Ok(Row(cells)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Row(cells))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Row, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Row(Vec::new()))
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RowVisitor)
    }
}

impl Row {
    fn number(&self, column: usize) -> Option<u64> {
        self.0.get(column).and_then(Cell::number)
    }

    /// The first four columns are needed.
    fn owned(&self) -> Option<Owned> {
        Some(Owned {
            cam: self.0.first()?.slug()?,
            epoch: Epoch(self.number(1)?),
            revision: self.number(2)?,
            state: self.0.get(3)?.state(),
            media_age_ms: self.number(4),
            media_sequence: self.number(5).unwrap_or(0),
            discontinuity_sequence: self.number(6).unwrap_or(0),
            ready: matches!(self.0.get(7), Some(Cell::Flag(true))),
        })
    }

    fn release(&self) -> Option<(Slug, Epoch)> {
        Some((self.0.first()?.slug()?, Epoch(self.number(1)?)))
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
