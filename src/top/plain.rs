//! The tables as text, for scripts and pipes: aligned, one row a line, nothing cut off.

use super::draw::summary;
use super::farm::{Farm, STREAMS, WORKERS};
use super::grid::{Cell, Column, Order, Row, arrange};

/// A few lines about everything, then streams, then workers.
pub fn text(farm: &Farm) -> String {
    let mut text = String::new();
    for line in summary(&farm.summary, true).iter().chain(&farm.summary.hints) {
        text += &format!("{line}\n");
    }
    for (columns, rows) in [(&STREAMS[..], &farm.streams), (&WORKERS[..], &farm.workers)] {
        text.push('\n');
        text += &table(columns, rows);
    }
    text
}

fn table(columns: &[Column], rows: &[Row]) -> String {
    let places = arrange(rows, &Order::default());
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|column| column.title.to_owned()).collect()];
    lines.extend(places.iter().map(|&place| rows[place].iter().map(Cell::show).collect()));
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let number = |at: usize| rows.first().is_some_and(|row| row[at].is_number());
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<_> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, width))| if number(at) { format!("{cell:>width$}") } else { format!("{cell:<width$}") })
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}
