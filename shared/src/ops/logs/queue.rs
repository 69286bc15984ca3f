//! The queue between the threads that log and the one that writes: a reader of the log that stops reading must delay
//! nothing but the log.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Bytes of lines that wait: some minutes of a busy process, and far more than a pipe holds (64 KiB).
const MAX_BYTES: usize = 4 << 20;
/// Lines that are written before a loss is told although further lines wait.
const TELL_AFTER: usize = 1000;

/// Lines that wait for the thread that writes them.
#[derive(Debug, Default)]
pub struct LogQueue {
    state: Mutex<Waiting>,
    /// A line came.
    came: Condvar,
    /// All lines were written.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// A line is being written.
    writing: bool,
    /// Lines that were dropped and not told yet.
    dropped: u64,
    /// Lines written since the first of these losses.
    since: usize,
}

/// The next thing to do for the thread that writes.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Write(Box<[u8]>),
    /// This many lines were dropped; the log is read again.
    Tell(u64),
}

impl Waiting {
    fn next(&mut self) -> Option<Task> {
        let lost = self.dropped > 0 && (self.lines.is_empty() || self.since >= TELL_AFTER);
        if lost {
            self.since = 0;
            return Some(Task::Tell(std::mem::take(&mut self.dropped)));
        }
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        self.writing = true;
        self.since += usize::from(self.dropped > 0);
        Some(Task::Write(line))
    }
}

impl LogQueue {
    /// Puts one line, with its end, into the queue; false when it is full and the line is dropped. Never waits for the
    /// reader of the log.
    pub fn offer(&self, line: &[u8]) -> bool {
        let mut state = self.state.lock();
        let fits = state.bytes + line.len() <= MAX_BYTES;
        if fits {
            state.bytes += line.len();
            state.lines.push_back(line.into());
        } else {
            state.dropped += 1;
        }
        drop(state);
        self.came.notify_one();
        fits
    }

    /// Waits until every line was written, for `patience` at most; whether it was.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while !state.lines.is_empty() || state.writing {
            if self.drained.wait_until(&mut state, deadline).timed_out() {
                return state.lines.is_empty() && !state.writing;
            }
        }
        true
    }

    /// Writes lines for as long as the process lives. `told` is called with the number of dropped lines, once the log
    /// is read again.
    pub fn write_all(&self, mut write: impl FnMut(&[u8]), told: impl Fn(u64)) {
        loop {
            match self.next() {
                Task::Write(line) => {
                    write(&line);
                    self.written();
                }
                Task::Tell(lines) => told(lines),
            }
        }
    }

    fn next(&self) -> Task {
        let mut state = self.state.lock();
        loop {
            if let Some(task) = state.next() {
                return task;
            }
            self.came.wait(&mut state);
        }
    }

    fn written(&self) {
        let mut state = self.state.lock();
        state.writing = false;
        if state.lines.is_empty() {
            self.drained.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    const WAIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_reader_that_stops_delays_no_line_and_is_told_of_its_losses() {
        let queue = Arc::new(LogQueue::default());
        let (go_on, gate) = mpsc::sync_channel::<()>(1);
        let (wrote, written) = mpsc::sync_channel(256);
        let (tell, told) = mpsc::sync_channel(256);
        let writer = queue.clone();
        std::thread::spawn(move || {
            writer.write_all(
                |line| {
                    let _ = gate.recv();
                    let _ = wrote.send(line.len());
                },
                |lines| tell.send(lines).unwrap(),
            )
        });
        let line = vec![b'x'; 64 << 10];
        let taken = (0..200).filter(|_| queue.offer(&line)).count();
        // One more than fits, when the writer has taken the first one already.
        assert!((64..=65).contains(&taken), "{taken} were taken");
        assert!(!queue.flush(Duration::from_millis(1)), "they are not written yet");
        // The reader is back.
        drop(go_on);
        assert!(queue.flush(WAIT));
        assert_eq!(told.recv_timeout(WAIT), Ok(200 - u64::try_from(taken).unwrap()));
        assert_eq!(written.try_iter().count(), taken, "every line that was taken is written");
        assert!(queue.offer(b"again\n") && queue.flush(WAIT));
        assert!(told.try_recv().is_err(), "a loss is told once");
    }

    #[test]
    fn losses_are_told_although_the_queue_is_never_empty() {
        let mut state = Waiting { dropped: 3, ..Waiting::default() };
        for _ in 0..TELL_AFTER {
            state.bytes += 1;
            state.lines.push_back((*b"\n").into());
        }
        state.bytes += 1;
        state.lines.push_back((*b"\n").into());
        for _ in 0..TELL_AFTER {
            assert!(matches!(state.next(), Some(Task::Write(_))));
        }
        assert_eq!(state.next(), Some(Task::Tell(3)));
        assert!(matches!(state.next(), Some(Task::Write(_))));
        assert_eq!((state.next(), state.bytes), (None, 0));
    }
}
