//! The shown view, and the effects of keys on it. Pure: no terminal, no time.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::farm::{Farm, STREAMS, WORKERS};
use super::grid::{Cell, Column, Order, Row, arrange};

/// Longest filter, signs.
const MAX_FILTER: usize = 64;
/// A page before the height of the table is known.
const PAGE: usize = 10;

/// The table that is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Table {
    #[default]
    Streams,
    Workers,
}

impl Table {
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Streams => &STREAMS,
            Self::Workers => &WORKERS,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Workers => "workers",
        }
    }
}

/// The panel over the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    #[default]
    Nothing,
    /// The filter is being typed.
    Typing,
    Details,
    Help,
}

/// Request of a key to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Nothing,
    Quit,
}

/// One table with its order, filter and position.
#[derive(Clone, Debug, Default)]
pub struct TableView {
    pub order: Order,
    /// Places of the rows that are shown, in order.
    pub places: Vec<usize>,
    /// Name of the chosen row: it stays chosen when it moves.
    chosen: Option<String>,
    /// Where it was seen last, for when it is gone.
    cursor: usize,
    /// First row in sight.
    pub first: usize,
}

/// Everything that is shown, and how.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub farm: Farm,
    pub table: Table,
    pub over: Over,
    pub paused: bool,
    /// The reason why there are no new numbers.
    pub away: Option<String>,
    /// True once numbers have come.
    pub loaded: bool,
    /// Rows of the table that are in sight; the drawing says so.
    pub height: usize,
    streams: TableView,
    workers: TableView,
}

impl View {
    /// New numbers, or why there are none.
    pub fn take(&mut self, news: Result<Farm, String>) {
        match news {
            Ok(farm) => {
                self.away = None;
                if !self.paused || !self.loaded {
                    self.farm = farm;
                    self.loaded = true;
                    self.rearrange();
                }
            }
            Err(why) => self.away = Some(why),
        }
    }

    pub fn rows(&self) -> &[Row] {
        self.rows_of(self.table)
    }

    fn rows_of(&self, table: Table) -> &[Row] {
        match table {
            Table::Streams => &self.farm.streams,
            Table::Workers => &self.farm.workers,
        }
    }

    pub fn look(&self) -> &TableView {
        match self.table {
            Table::Streams => &self.streams,
            Table::Workers => &self.workers,
        }
    }

    fn look_mut(&mut self) -> &mut TableView {
        match self.table {
            Table::Streams => &mut self.streams,
            Table::Workers => &mut self.workers,
        }
    }

    /// Index of the chosen row among the shown ones.
    pub fn cursor(&self) -> usize {
        self.look().cursor
    }

    /// The chosen row.
    pub fn row(&self) -> Option<&Row> {
        let look = self.look();
        self.rows().get(*look.places.get(look.cursor)?)
    }

    fn rearrange(&mut self) {
        for table in [Table::Streams, Table::Workers] {
            let (rows, look) = match table {
                Table::Streams => (&self.farm.streams, &mut self.streams),
                Table::Workers => (&self.farm.workers, &mut self.workers),
            };
            look.places = arrange(rows, &look.order);
            let named = |place: &usize| Some(rows[*place][0].show()) == look.chosen;
            let found = look.chosen.is_some().then(|| look.places.iter().position(named)).flatten();
            look.cursor = found.unwrap_or(look.cursor).min(look.places.len().saturating_sub(1));
        }
        self.scroll();
    }

    fn go(&mut self, to: usize) {
        let last = self.look().places.len().saturating_sub(1);
        self.look_mut().cursor = to.min(last);
        self.look_mut().chosen = self.row().map(|row| row[0].show());
        self.scroll();
    }

    /// Keeps the chosen row in sight.
    pub fn scroll(&mut self) {
        let height = self.height.max(1);
        let look = self.look_mut();
        let last = look.places.len().saturating_sub(height);
        look.first = look.first.min(last).clamp((look.cursor + 1).saturating_sub(height), look.cursor);
    }

    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Asked {
        if key.kind == KeyEventKind::Release {
            return Asked::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            // The terminal does not make a signal of it.
            return if key.code == KeyCode::Char('c') { Asked::Quit } else { Asked::Nothing };
        }
        if self.over == Over::Typing {
            self.typed(key.code);
            return Asked::Nothing;
        }
        match key.code {
            KeyCode::Char('q') => return Asked::Quit,
            KeyCode::Esc if self.over != Over::Nothing => self.over = Over::Nothing,
            KeyCode::Esc => self.filter(String::new()),
            KeyCode::Char('?') => self.over = if self.over == Over::Help { Over::Nothing } else { Over::Help },
            KeyCode::Enter => self.over = if self.over == Over::Nothing { Over::Details } else { Over::Nothing },
            KeyCode::Char('/') => self.over = Over::Typing,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('w') | KeyCode::Tab => {
                self.table = if self.table == Table::Streams { Table::Workers } else { Table::Streams };
                self.scroll();
            }
            KeyCode::Char('s') | KeyCode::Right => self.sort_by(1),
            KeyCode::Char('S') | KeyCode::Left => self.sort_by(-1),
            KeyCode::Char('r') => {
                let order = &mut self.look_mut().order;
                order.reversed = !order.reversed;
                self.rearrange();
            }
            KeyCode::Up | KeyCode::Char('k') => self.go(self.cursor().saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.go(self.cursor() + 1),
            KeyCode::PageUp => self.go(self.cursor().saturating_sub(self.page())),
            KeyCode::PageDown => self.go(self.cursor() + self.page()),
            KeyCode::Home | KeyCode::Char('g') => self.go(0),
            KeyCode::End | KeyCode::Char('G') => self.go(usize::MAX),
            _ => {}
        }
        Asked::Nothing
    }

    fn page(&self) -> usize {
        if self.height > 1 { self.height - 1 } else { PAGE }
    }

    fn typed(&mut self, code: KeyCode) {
        let mut filter = self.look().order.filter.clone();
        match code {
            KeyCode::Enter => self.over = Over::Nothing,
            KeyCode::Esc => {
                self.over = Over::Nothing;
                self.filter(String::new());
            }
            KeyCode::Backspace => {
                filter.pop();
                self.filter(filter);
            }
            KeyCode::Char(sign) if filter.chars().count() < MAX_FILTER && !sign.is_control() => {
                filter.push(sign);
                self.filter(filter);
            }
            _ => {}
        }
    }

    fn filter(&mut self, filter: String) {
        self.look_mut().order.filter = filter;
        self.rearrange();
    }

    fn sort_by(&mut self, step: isize) {
        let columns = self.table.columns();
        let order = &mut self.look_mut().order;
        order.column = order.column.saturating_add_signed(step + columns.len() as isize) % columns.len();
        // Columns of numbers begin with the largest.
        let column = order.column;
        let number = self.rows().first().and_then(|row| row.get(column)).is_some_and(Cell::is_number);
        self.look_mut().order.reversed = number;
        self.rearrange();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn farm(names: &[&str]) -> Farm {
        let row = |name: &&str, columns: &[Column]| -> Row {
            (0..columns.len())
                .map(|n| if n == 0 { Cell::text(name) } else { Cell::Number(Some(n as f64), 0) })
                .collect()
        };
        Farm {
            streams: names.iter().map(|name| row(name, &STREAMS)).collect(),
            workers: vec![row(&"w1", &WORKERS)],
            ..Farm::default()
        }
    }

    fn press(view: &mut View, keys: &str) -> Asked {
        let mut asked = Asked::Nothing;
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '\t' => KeyCode::Tab,
                '\u{8}' => KeyCode::Backspace,
                '↓' => KeyCode::Down,
                key => KeyCode::Char(key),
            };
            asked = view.key(code.into());
        }
        asked
    }

    fn shown(view: &View) -> Vec<String> {
        view.look().places.iter().map(|&place| view.rows()[place][0].show()).collect()
    }

    #[test]
    fn keys_sort_filter_and_switch() {
        let mut view = View { height: 2, ..View::default() };
        view.take(Ok(farm(&["b", "a", "c"])));
        assert_eq!(shown(&view), ["a", "b", "c"]);
        press(&mut view, "r");
        assert_eq!(shown(&view), ["c", "b", "a"]);
        press(&mut view, "sS");
        assert_eq!(view.look().order.column, 0);
        press(&mut view, "S");
        assert_eq!(view.look().order.column, STREAMS.len() - 1);
        press(&mut view, "/qb\u{8}");
        assert_eq!((view.over, shown(&view).len()), (Over::Typing, 0), "q is typed, not obeyed");
        press(&mut view, "\u{8}b\n");
        assert_eq!((view.over, shown(&view)), (Over::Nothing, vec!["b".to_owned()]));
        press(&mut view, "\u{1b}\t");
        assert_eq!((view.table, shown(&view)), (Table::Workers, vec!["w1".to_owned()]));
        press(&mut view, "w\n");
        assert_eq!((view.table, view.over), (Table::Streams, Over::Details));
        assert_eq!(press(&mut view, "?q"), Asked::Quit);
    }

    #[test]
    fn the_chosen_row_stays_chosen_when_it_moves_and_is_kept_in_sight() {
        let mut view = View { height: 2, ..View::default() };
        view.take(Ok(farm(&["b", "d"])));
        press(&mut view, "↓");
        assert_eq!(view.row().unwrap()[0].show(), "d");
        view.take(Ok(farm(&["a", "b", "c", "d"])));
        assert_eq!((view.row().unwrap()[0].show(), view.cursor(), view.look().first), ("d".into(), 3, 2));
        view.take(Ok(farm(&["a"])));
        assert_eq!((view.cursor(), view.look().first), (0, 0));
        view.take(Ok(farm(&[])));
        assert_eq!(view.row(), None);
    }

    #[test]
    fn nothing_changes_while_paused_and_an_absence_is_told() {
        let mut view = View::default();
        view.take(Ok(farm(&["a"])));
        press(&mut view, "p");
        view.take(Ok(farm(&["b"])));
        assert_eq!(shown(&view), ["a"]);
        view.take(Err("away".into()));
        assert_eq!((view.away.as_deref(), shown(&view)), (Some("away"), vec!["a".to_owned()]));
        press(&mut view, "p");
        view.take(Ok(farm(&["b"])));
        assert_eq!((view.away.as_deref(), shown(&view)), (None, vec!["b".to_owned()]));
    }

    proptest! {
        #[test]
        fn no_keys_lead_astray(keys in "[a-zA-Z/?\n\t\u{1b}\u{8}↓]{0,60}", names in prop::collection::vec("[a-c]{1,3}", 0..8),
                               height in 0..5_usize) {
            let mut view = View { height, ..View::default() };
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            for key in keys.chars() {
                press(&mut view, &key.to_string());
                view.take(Ok(farm(&names)));
                let look = view.look();
                prop_assert!(look.places.is_empty() || look.cursor < look.places.len());
                prop_assert!(look.first <= look.cursor && look.cursor < look.first + height.max(1));
            }
        }
    }
}
