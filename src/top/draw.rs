//! Draws a view. Only rows in sight are read, however many there are.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Row as Drawn, Table as DrawnTable};

use super::farm::Summary;
use super::grid::{Cell, fitting};
use super::view::{Over, View};

/// Lines above the table.
const HEADER: u16 = 3;
/// Keys and their effects.
const KEYS: [(&str, &str); 9] = [
    ("s S", "sort by the next, by the previous column (also arrows)"),
    ("r", "reverse the order"),
    ("/", "show only rows with a text; Esc shows all again"),
    ("w Tab", "streams or workers"),
    ("Enter", "details of the chosen row"),
    ("p", "pause"),
    ("arrows, PgUp, PgDn, g, G", "choose a row"),
    ("?", "this help"),
    ("q", "quit"),
];

/// Colours, or none where they are not wanted.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, colour: Color) -> Style {
        if self.0 { Style::new().fg(colour) } else { Style::new() }
    }

    /// Style of a state.
    fn state(self, state: &str) -> Style {
        match state {
            "running" | "live" => self.with(Color::Green),
            "starting" | "reconnecting" | "draining" => self.with(Color::Yellow),
            "auth_failed" | "failed" | "silent" | "lost" => self.with(Color::Red),
            _ => Style::new(),
        }
    }
}

/// Draws all of it, and reports to the view the number of rows in sight.
pub fn draw(frame: &mut Frame<'_>, view: &mut View, api: &str, paint: Paint) {
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(HEADER), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(Paragraph::new(header(view, api, paint)), top);
    view.height = usize::from(middle.height.saturating_sub(1));
    view.scroll();
    table(frame, middle, view, paint);
    frame.render_widget(Paragraph::new(footer(view)), bottom);
    match view.over {
        Over::Details => details(frame, view),
        Over::Help => help(frame, view),
        Over::Nothing | Over::Typing => {}
    }
}

/// The lines above the table: a summary, and warnings.
fn header<'a>(view: &View, api: &str, paint: Paint) -> Vec<Line<'a>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = Vec::from(summary(&view.farm.summary, view.loaded).map(|text| Line::styled(text, bold)));
    let last = match (&view.away, view.loaded) {
        (Some(why), _) => Line::styled(format!("away: {why}; trying again"), paint.with(Color::Red).patch(bold)),
        (None, false) => Line::raw(format!("reading {api}")),
        (None, true) if view.farm.summary.hints.is_empty() => {
            Line::styled("nothing to see to", paint.with(Color::Green))
        }
        (None, true) => Line::styled(view.farm.summary.hints.join(" | "), paint.with(Color::Yellow)),
    };
    lines.push(last);
    lines
}

/// Two lines about everything.
pub fn summary(summary: &Summary, loaded: bool) -> [String; 2] {
    if !loaded {
        return [String::new(), String::new()];
    }
    let list = |counts: &std::collections::BTreeMap<String, u64>| {
        let all: Vec<_> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let room = summary.room.map_or_else(|| "-".to_owned(), |(room, of)| format!("{room} of {of}"));
    let viewers = summary.viewers.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let nats = match summary.without_nats {
        (_, 0) => "-".to_owned(),
        (0, _) => "connected".to_owned(),
        (without, all) => format!("{without} of {all} processes without it"),
    };
    [
        format!("cameras: {}", list(&summary.states)),
        format!("workers: {}   room: {room}   viewers: {viewers}   NATS: {nats}", list(&summary.workers)),
    ]
}

fn table(frame: &mut Frame<'_>, area: Rect, view: &View, paint: Paint) {
    let (columns, look) = (view.table.columns(), view.look());
    let count = fitting(columns, area.width);
    let right = |text: &str, width: u16, number: bool| {
        let line = Line::raw(text.to_owned());
        if number && usize::from(width) > text.len() { line.alignment(Alignment::Right) } else { line }
    };
    let sample = view.rows().first();
    let titles = columns[..count].iter().enumerate().map(|(n, column)| {
        let arrow = match (n == look.order.column, look.order.reversed) {
            (false, _) => "",
            (true, false) => "^",
            (true, true) => "v",
        };
        let number = sample.and_then(|row| row.get(n)).is_some_and(Cell::is_number);
        right(&format!("{}{arrow}", column.title), column.width, number)
    });
    let titles = Drawn::new(titles.collect::<Vec<_>>()).style(Style::new().add_modifier(Modifier::UNDERLINED));
    let seen = look.places.iter().enumerate().skip(look.first).take(view.height);
    let rows = seen.filter_map(|(n, &place)| {
        let row = view.rows().get(place)?;
        let cells = row.iter().zip(&columns[..count]).enumerate().map(|(at, (cell, column))| {
            let line = right(&cell.show(), column.width, cell.is_number());
            if at == 1 { line.style(paint.state(&cell.show())) } else { line }
        });
        let style = if n == view.cursor() { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        Some(Drawn::new(cells.collect::<Vec<_>>()).style(style))
    });
    let rows: Vec<_> = rows.collect();
    let widths = columns[..count].iter().map(|column| Constraint::Length(column.width));
    frame.render_widget(DrawnTable::new(rows, widths).header(titles).column_spacing(1), area);
}

fn footer<'a>(view: &View) -> Line<'a> {
    let look = view.look();
    let shown = format!("{} of {} {}", look.places.len(), view.rows().len(), view.table.name());
    let filter = match (view.over, look.order.filter.as_str()) {
        (Over::Typing, filter) => format!("   filter: {filter}_"),
        (_, "") => String::new(),
        (_, filter) => format!("   filter: {filter}"),
    };
    let paused = if view.paused { "   PAUSED" } else { "" };
    Line::raw(format!("{shown}{filter}{paused}   ? help   q quit"))
}

fn details(frame: &mut Frame<'_>, view: &View) {
    let lines = match view.row() {
        Some(row) => view
            .table
            .columns()
            .iter()
            .zip(row)
            .map(|(column, cell)| Line::raw(format!("{:<9} {}  ({})", column.title, cell.show(), column.meaning)))
            .collect(),
        None => vec![Line::raw("no row is chosen")],
    };
    over(frame, "details", lines);
}

fn help(frame: &mut Frame<'_>, view: &View) {
    let keys = KEYS.iter().map(|(keys, what)| Line::raw(format!("{keys:<25} {what}")));
    let columns = view.table.columns().iter();
    let columns = columns.map(|column| Line::raw(format!("{:<25} {}", column.title, column.meaning)));
    over(frame, "help", keys.chain([Line::raw("")]).chain(columns).collect());
}

/// A box in the middle, as large as it has to be and can be.
fn over(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'_>>) {
    let area = frame.area();
    let wide = lines.iter().map(Line::width).max().unwrap_or(0) + 4;
    let width = u16::try_from(wide).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(format!(" {title} "))), place);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyCode;

    use super::super::farm::{Farm, STREAMS, WORKERS};
    use super::super::grid;
    use super::*;

    fn view(streams: usize) -> View {
        let row = |name: String, columns: &[grid::Column]| -> grid::Row {
            let mut row = vec![Cell::text(&name), Cell::text("running")];
            row.extend((2..columns.len()).map(|n| Cell::Number(Some(n as f64), 1)));
            row
        };
        let mut view = View::default();
        view.take(Ok(Farm {
            streams: (0..streams).map(|n| row(format!("cam-{n:05}"), &STREAMS)).collect(),
            workers: vec![row("w1".into(), &WORKERS)],
            summary: Summary {
                states: [("running".to_owned(), streams as u64)].into(),
                workers: [("live".to_owned(), 1)].into(),
                room: Some((90, 100)),
                viewers: Some(7),
                without_nats: (0, 2),
                hints: vec![],
            },
        }));
        view
    }

    fn screen(view: &mut View, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view, "http://api/", Paint(true))).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn shows_a_header_a_table_and_what_keys_there_are() {
        let lines = screen(&mut view(3), 60, 8);
        assert_eq!(
            lines,
            [
                "cameras: 3 running",
                "workers: 1 live   room: 90 of 100   viewers: 7   NATS: conne",
                "nothing to see to",
                "stream^              state           fps   kbit/s   age s",
                "cam-00000            running         2.0      3.0     4.0",
                "cam-00001            running         2.0      3.0     4.0",
                "cam-00002            running         2.0      3.0     4.0",
                "3 of 3 streams   ? help   q quit",
            ]
        );
    }

    #[test]
    fn an_api_that_is_away_is_said_above_what_was_known() {
        let mut view = view(1);
        view.take(Err("http://api/metrics cannot be reached".into()));
        let lines = screen(&mut view, 70, 6);
        assert_eq!(lines[2], "away: http://api/metrics cannot be reached; trying again");
        assert!(lines[4].starts_with("cam-00000"), "{lines:?}");
        let lines = screen(&mut View::default(), 70, 6);
        assert_eq!(lines[2], "reading http://api/");
    }

    #[test]
    fn the_end_of_ten_thousand_rows_is_a_key_away() {
        let mut view = view(10_000);
        screen(&mut view, 80, 24);
        view.key(KeyCode::End.into());
        let lines = screen(&mut view, 80, 24);
        assert!(lines[22].starts_with("cam-09999") && lines[23].starts_with("10000 of 10000"), "{lines:?}");
        view.key(KeyCode::Enter.into());
        assert!(screen(&mut view, 80, 24).iter().any(|line| line.contains("cam-09999  (slug of the camera)")));
    }

    proptest! {
        #[test]
        fn no_size_of_terminal_breaks_it(width in 0..140_u16, height in 0..40_u16, streams in 0..50_usize, keys in "[?/ab\nwjGsr]{0,6}") {
            let mut view = view(streams);
            for key in keys.chars() {
                view.key(if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) }.into());
                screen(&mut view, width, height);
            }
        }
    }
}
