//! The task that samples how busy the machine is.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use rsm_control::worker::machine_load::{LoadSample, mean_load};
use rsm_shared::wire::messages::Load;
use tokio::sync::watch;

/// Time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// Samples kept: the first and the last are 5 s apart.
const SAMPLES: usize = 6;

/// Samples each second until the receivers are gone.
pub async fn sample(into: watch::Sender<Load>) {
    let began = Instant::now();
    let mut samples = VecDeque::new();
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = into.closed() => return,
            _ = tick.tick() => {}
        }
        // The kernel makes up these files as they are read, which takes a while on a machine with many processors.
        let Ok(sample) = tokio::task::spawn_blocking(move || LoadSample::take(read, began.elapsed())).await else {
            return;
        };
        if samples.len() >= SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
        if let Some(load) = mean_load(&samples) {
            into.send_replace(load);
        }
    }
}

/// The text of a file below the root; empty when it cannot be read.
fn read(path: &Path) -> String {
    std::fs::read_to_string(Path::new("/").join(path)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_has_memory_in_use() {
        let (sender, mut load) = watch::channel(Load::default());
        tokio::spawn(sample(sender));
        load.wait_for(|load| load.memory > 0.0).await.unwrap();
    }
}
