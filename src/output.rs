//! The one writer of what commands print. A reader that is gone (`rsm config show | head -1`, a closed standard output)
//! is a quiet end; a disk that is full is an error.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use crate::exit::{EXIT_UNAVAILABLE, fail};

/// Prints to standard output.
///
/// # Errors
/// One line when it cannot be written, except that its reader is gone.
pub fn print(text: &[u8]) -> Result<(), String> {
    write_to(&mut std::io::stdout().lock(), text)
}

/// Prints to standard output, and gives the exit code of the command.
pub fn finish(text: &str) -> ExitCode {
    match print(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text, EXIT_UNAVAILABLE),
    }
}

/// Prints a remark to standard error; a reader that is gone is no error.
pub fn remark(text: &str) {
    let _ = write_to(&mut std::io::stderr().lock(), format!("{text}\n").as_bytes());
}

fn write_to(out: &mut impl Write, text: &[u8]) -> Result<(), String> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("cannot write: {e}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refuses(ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error_and_a_full_disk_is() {
        assert_eq!(write_to(&mut Refuses(ErrorKind::BrokenPipe), b"x"), Ok(()));
        assert!(write_to(&mut Refuses(ErrorKind::StorageFull), b"x").is_err());
        let mut text = Vec::new();
        write_to(&mut text, b"x").unwrap();
        assert_eq!(text, b"x");
    }
}
