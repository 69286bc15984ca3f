//! Standard input and output: one command a line in, one line of JSON out.

use std::{
    io::{self, BufRead, Read, Write},
    sync::mpsc,
};

use gstreamer::glib;

use crate::{
    command::{self, CameraCommand, CommandAnswer, CommandError, MAX_LINE},
    server::RtspServer,
};

/// Why the console ended.
#[derive(Debug, PartialEq, Eq)]
pub enum ConsoleEnd {
    Quit,
    /// Standard input is at its end, or the reader of standard output is gone.
    Closed,
}

/// Reads commands until the end of `input`. Each runs on the main context; the next waits for its answer.
pub fn run(mut input: impl BufRead, server: &RtspServer, cameras: usize) -> ConsoleEnd {
    while let Some(line) = read_line(&mut input) {
        let command = line.and_then(|line| command::parse(&line, cameras));
        let answer = match &command {
            Ok(command) => execute(server, *command),
            Err(error) => CommandAnswer::Error { error: error.to_string() },
        };
        if print(&answer).is_err() {
            return ConsoleEnd::Closed;
        }
        if command == Ok(CameraCommand::Quit) {
            return ConsoleEnd::Quit;
        }
    }
    ConsoleEnd::Closed
}

fn execute(server: &RtspServer, command: CameraCommand) -> CommandAnswer {
    let (sender, receiver) = mpsc::sync_channel(1);
    let server = server.clone();
    glib::MainContext::default().invoke(move || {
        // The receiver waits below; it is gone only when the process is.
        let _ = sender.send(server.execute(command));
    });
    receiver.recv().unwrap_or_else(|_| CommandAnswer::Error { error: "the server has ended".into() })
}

/// One line of JSON, flushed.
pub fn print(answer: &CommandAnswer) -> io::Result<()> {
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, answer)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// The next line, or `None` at the end. A line that is too long is skipped to its end and reported.
fn read_line(input: &mut impl BufRead) -> Option<Result<String, CommandError>> {
    let mut line = Vec::new();
    let limit = MAX_LINE as u64 + 1;
    if input.take(limit).read_until(b'\n', &mut line).ok()? == 0 {
        return None;
    }
    if line.len() as u64 == limit && line.last() != Some(&b'\n') {
        input.skip_until(b'\n').ok()?;
        return Some(Err(CommandError::Line));
    }
    Some(String::from_utf8(line).map_err(|_| CommandError::Line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one_and_long_ones_skipped_whole() {
        let text = format!("status\n{}\nquit", "x".repeat(MAX_LINE * 3));
        let mut input = text.as_bytes();
        assert_eq!(read_line(&mut input), Some(Ok("status\n".into())));
        assert_eq!(read_line(&mut input), Some(Err(CommandError::Line)));
        assert_eq!(read_line(&mut input), Some(Ok("quit".into())));
        assert_eq!(read_line(&mut input), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_and_not_the_end() {
        let mut input: &[u8] = b"\xff\xfe\nquit\n";
        assert_eq!(read_line(&mut input), Some(Err(CommandError::Line)));
        assert_eq!(read_line(&mut input), Some(Ok("quit\n".into())));
    }
}
