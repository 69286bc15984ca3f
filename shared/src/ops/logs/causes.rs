//! An error with all that caused it, in one line.

use std::error::Error;
use std::fmt::{self, Write as _};

/// Most causes that are walked; a chain is no longer than that, or it is a circle.
const MAX_CAUSES: usize = 12;

/// Shows an error and its causes, outermost first, each once. Errors whose own text has the text of their cause in it
/// already do not make it come twice.
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        let mut cause = self.0.source();
        for _ in 0..MAX_CAUSES {
            let Some(error) = cause else { break };
            let text = error.to_string();
            if !said.contains(&text) {
                let _ = write!(said, ": {text}");
            }
            cause = error.source();
        }
        f.write_str(&said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Fault {
        #[error("cannot save")]
        Outer(#[source] Box<Fault>),
        #[error("cannot write: {0}")]
        Wrapped(#[source] std::io::Error),
    }

    #[test]
    fn every_cause_is_there_once() {
        let disk = std::io::Error::other("disk is full");
        let fault = Fault::Outer(Box::new(Fault::Wrapped(disk)));
        assert_eq!(Causes(&fault).to_string(), "cannot save: cannot write: disk is full");
        assert_eq!(Causes(&std::io::Error::other("alone")).to_string(), "alone");
    }
}
