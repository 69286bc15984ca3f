//! The terminal: taken over while this exists, restored as it was when it is dropped, also in a panic.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;

/// Keys that wait to be read; more are lost.
const KEYS: usize = 64;
/// Longest time for which the reader of keys outlives the screen.
const POLL: Duration = Duration::from_millis(200);

/// The terminal of this process.
pub struct Screen {
    terminal: DefaultTerminal,
    keys: mpsc::Receiver<KeyEvent>,
    ended: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over: raw, on its other page.
    ///
    /// # Errors
    /// When there is none, or it cannot be set.
    pub fn open() -> io::Result<Self> {
        // Panics restore it first, too.
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        let (pressed, keys) = mpsc::channel(KEYS);
        let ended = Arc::new(AtomicBool::new(false));
        let screen = Self { terminal, keys, ended: ended.clone() };
        std::thread::Builder::new().name("keys".into()).spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let read = match event::poll(POLL) {
                    Ok(true) => event::read(),
                    Ok(false) => continue,
                    Err(_) => return,
                };
                let key = match read {
                    Ok(Event::Key(key)) => key,
                    // Nothing was pressed, and all has to be drawn anew.
                    Ok(Event::Resize(..)) => KeyEvent::new(KeyCode::Null, KeyModifiers::NONE),
                    Ok(_) => continue,
                    Err(_) => return,
                };
                if let Err(mpsc::error::TrySendError::Closed(_)) = pressed.try_send(key) {
                    return;
                }
            }
        })?;
        Ok(screen)
    }

    /// Draws the changed cells.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// The next key; `None` once the terminal is gone.
    pub async fn key(&mut self) -> Option<KeyEvent> {
        self.keys.recv().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        ratatui::restore();
    }
}
