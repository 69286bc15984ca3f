//! A table of rows that can be sorted and filtered. Pure; the drawing code asks for the visible rows.

use std::cmp::Ordering;

/// A column. Those that matter most come first: narrow terminals show fewer.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    /// In cells of a terminal.
    pub width: u16,
    /// Meaning of the column, for the help.
    pub meaning: &'static str,
}

/// Content of one cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    /// Unknown values are shown as a dash, and sorted behind all others.
    Number(Option<f64>, usize),
}

impl Cell {
    /// Makes a text cell without characters that a terminal would obey.
    pub fn text(text: &str) -> Self {
        Self::Text(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    pub fn show(&self) -> String {
        match self {
            Self::Text(text) if text.is_empty() => "-".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Number(Some(value), decimals) if value.is_finite() => format!("{value:.decimals$}"),
            Self::Number(..) => "-".to_owned(),
        }
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(..))
    }

    fn known(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(value, _) => value.is_some_and(f64::is_finite),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(Some(a), _), Self::Number(Some(b), _)) => a.total_cmp(b),
            _ => Ordering::Equal,
        }
    }
}

/// A row: as many cells as there are columns. The first is its name, which no other row has.
pub type Row = Vec<Cell>;

/// Sorting and filter of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    pub column: usize,
    pub reversed: bool,
    /// Rows are shown that have this in one of their texts, whatever the case of letters.
    pub filter: String,
}

/// The places of the rows that are shown, in order.
pub fn arrange(rows: &[Row], order: &Order) -> Vec<usize> {
    let wanted = order.filter.to_lowercase();
    let has = |cell: &Cell| matches!(cell, Cell::Text(text) if text.to_lowercase().contains(&wanted));
    let mut places: Vec<_> =
        (0..rows.len()).filter(|&place| wanted.is_empty() || rows[place].iter().any(has)).collect();
    places.sort_by(|&a, &b| {
        let (a, b) = (&rows[a], &rows[b]);
        let name = || a[0].order(&b[0]);
        match (a.get(order.column), b.get(order.column)) {
            (Some(x), Some(y)) => match (x.known(), y.known()) {
                (true, true) if order.reversed => y.order(x).then_with(name),
                (true, true) => x.order(y).then_with(name),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => name(),
            },
            _ => name(),
        }
    });
    places
}

/// Number of columns that fit into a width, with a space between them; one at least.
pub fn fitting(columns: &[Column], width: u16) -> usize {
    let mut used = 0_u16;
    let fits = |column: &&Column| {
        used = used.saturating_add(column.width).saturating_add(1);
        used.saturating_sub(1) <= width
    };
    columns.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(name: &str, value: Option<f64>) -> Row {
        vec![Cell::text(name), Cell::Number(value, 1), Cell::text(if value.is_some() { "running" } else { "" })]
    }

    fn names(rows: &[Row], order: &Order) -> Vec<String> {
        arrange(rows, order).into_iter().map(|place| rows[place][0].show()).collect()
    }

    #[test]
    fn sorts_by_any_column_either_way_and_unknown_values_last() {
        let rows =
            [row("b", Some(2.0)), row("c", None), row("a", Some(10.0)), row("d", Some(f64::NAN)), row("e", Some(2.0))];
        let by = |column, reversed| names(&rows, &Order { column, reversed, filter: String::new() }).join("");
        assert_eq!(by(0, false), "abcde");
        assert_eq!(by(0, true), "edcba");
        assert_eq!(by(1, false), "beacd");
        assert_eq!(by(1, true), "abecd");
        assert_eq!(by(9, false), "abcde", "no such column");
    }

    #[test]
    fn filters_by_any_text() {
        let rows = [row("Door", Some(1.0)), row("gate", None)];
        let by = |filter: &str| names(&rows, &Order { filter: filter.into(), ..Order::default() }).join(" ");
        assert_eq!((by("door").as_str(), by("RUNN").as_str(), by("a").as_str()), ("Door", "Door", "gate"));
        assert_eq!((by("1.0").as_str(), by("").as_str()), ("", "Door gate"));
    }

    #[test]
    fn shows_what_a_terminal_does_not_obey() {
        assert_eq!(Cell::text("a\u{1b}[2Jb\n").show(), "a [2Jb ");
        assert_eq!(Cell::text("").show(), "-");
        for (value, want) in [(Some(1.25), "1.2"), (None, "-"), (Some(f64::INFINITY), "-")] {
            assert_eq!(Cell::Number(value, 1).show(), want);
        }
    }

    proptest! {
        #[test]
        fn every_row_is_shown_once_and_columns_fit(values in prop::collection::vec(prop::option::of(any::<f64>()), 0..50),
                                                   column in 0..4_usize, reversed: bool, width in 0..200_u16) {
            let rows: Vec<_> = values.iter().enumerate().map(|(n, value)| row(&n.to_string(), *value)).collect();
            let mut places = arrange(&rows, &Order { column, reversed, filter: String::new() });
            places.sort_unstable();
            prop_assert_eq!(places, (0..rows.len()).collect::<Vec<_>>());
            let columns = [10, 5, 7].map(|width| Column { title: "", width, meaning: "" });
            let count = fitting(&columns, width);
            let used: u16 = columns[..count].iter().map(|column| column.width + 1).sum::<u16>() - 1;
            prop_assert!(count >= 1 && (count == 1 || used <= width));
        }
    }
}
