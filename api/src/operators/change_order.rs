//! The order of changes of links: one at a time.

use std::sync::atomic::AtomicBool;

use tokio::sync::Mutex;

/// Held by the task that carries out a change.
#[derive(Default)]
pub struct ChangeOrder {
    pub turn: Mutex<()>,
    /// True while a task reads the links again.
    pub rereading: AtomicBool,
}
