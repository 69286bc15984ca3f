//! The thread of control: a small runtime and a connection of its own, so that no amount of media or viewers delays it.

use std::thread::JoinHandle;

use rsm_shared::bus::connect::{Bus, Purpose};
use rsm_shared::config::NatsConfig;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::error::ServeError;

/// A running thread. It is made before its work, because the work needs its connection.
pub struct ControlThread<W> {
    /// The connection, made on the thread's own runtime.
    pub bus: Bus,
    work: oneshot::Sender<W>,
    stopping: CancellationToken,
    thread: JoinHandle<()>,
}

/// A thread that has its work.
pub struct Working {
    bus: Bus,
    stopping: CancellationToken,
    thread: JoinHandle<()>,
}

impl<W: Send + 'static> ControlThread<W> {
    /// Starts the thread with a connection named `name`. `run` is given the work, the connection, and a token that says
    /// when to end; should it end before that, also by a panic, `process` is cancelled: an API that starts and stops
    /// nothing, or a relay that hears nothing, must not look alive.
    ///
    /// # Errors
    /// [`ServeError`] when there is no thread, runtime or usable address of NATS.
    pub async fn start<R, F>(
        nats: &NatsConfig,
        name: &'static str,
        process: CancellationToken,
        run: R,
    ) -> Result<Self, ServeError>
    where
        R: FnOnce(W, Bus, CancellationToken) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let (ready, connected) = oneshot::channel();
        let (work, given) = oneshot::channel();
        let stopping = CancellationToken::new();
        let (guard, stop) = (Guard { stopping: stopping.clone(), process }, stopping.clone());
        let nats = nats.clone();
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
            let _guard = guard;
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(e) => {
                    let _ = ready.send(Err(ServeError::Environment(format!("cannot make the control runtime: {e}"))));
                    return;
                }
            };
            runtime.block_on(async {
                let made = Bus::connect(&nats, Purpose::Control, name).await;
                let bus = made.as_ref().ok().cloned();
                if ready.send(made.map_err(ServeError::from)).is_err() {
                    return;
                }
                // An error means that the process could not begin; it says why itself.
                if let (Some(bus), Ok(work)) = (bus, given.await) {
                    run(work, bus, stop).await;
                }
            });
        })?;
        let bus = connected.await.map_err(|_| ServeError::Environment("the control thread ended".into()))??;
        Ok(Self { bus, work, stopping, thread })
    }

    /// Gives it the work that it waits for.
    pub fn give(self, work: W) -> Working {
        let _ = self.work.send(work);
        Working { bus: self.bus, stopping: self.stopping, thread: self.thread }
    }
}

impl Working {
    /// Sends queued messages, then ends the thread. Call after everything that still publishes on its connection has
    /// ended.
    ///
    /// # Errors
    /// [`ServeError`] when it had ended by itself.
    pub async fn end(self) -> Result<(), ServeError> {
        self.bus.flush().await;
        let died = self.thread.is_finished();
        self.stopping.cancel();
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if died { Err(ServeError::Environment("the control thread ended by itself".into())) } else { Ok(()) }
    }
}

struct Guard {
    stopping: CancellationToken,
    process: CancellationToken,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.stopping.is_cancelled() {
            self.process.cancel();
        }
    }
}
