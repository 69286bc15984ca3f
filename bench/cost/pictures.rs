//! Where JPEG pictures go: counted, the newest few kept, the rest thrown away.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::harness::system::System;
use crate::harness::viewer::JpegViewer;

/// Pictures that are kept to be looked at.
const KEPT: usize = 10;
/// End of image (ITU-T T.81 B.1.1.3). Within a scan a 0xFF is followed by 0x00 or a restart marker.
const EOI: [u8; 2] = [0xff, 0xd9];

/// A sink that a task fills until it is dropped.
pub struct PictureStream {
    tally: Arc<Tally>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Tally {
    count: AtomicU64,
    bytes: AtomicU64,
    newest: Mutex<VecDeque<Vec<u8>>>,
}

impl PictureStream {
    /// Pictures one behind the other.
    pub fn of_stream(output: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let tally = Arc::<Tally>::default();
        Self { tally: tally.clone(), task: tokio::spawn(read(output, tally)) }
    }

    /// Pictures over a WebSocket.
    pub async fn of_viewer(system: &System, slug: &str) -> Self {
        let mut viewer = JpegViewer::open(system, slug).await;
        let tally = Arc::<Tally>::default();
        let filled = tally.clone();
        let task = tokio::spawn(async move {
            while let Some(picture) = viewer.next().await {
                filled.add(picture);
            }
        });
        Self { tally, task }
    }

    pub fn count(&self) -> u64 {
        self.tally.count.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.tally.bytes.load(Ordering::Relaxed)
    }

    pub fn newest(&self) -> Vec<Vec<u8>> {
        self.tally.newest.lock().iter().cloned().collect()
    }
}

impl Drop for PictureStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tally {
    fn add(&self, picture: Vec<u8>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(picture.len() as u64, Ordering::Relaxed);
        let mut newest = self.newest.lock();
        if newest.len() == KEPT {
            newest.pop_front();
        }
        newest.push_back(picture);
    }
}

async fn read(mut output: impl AsyncRead + Unpin, tally: Arc<Tally>) {
    let (mut picture, mut searched) = (Vec::with_capacity(1 << 20), 0);
    while matches!(output.read_buf(&mut picture).await, Ok(n) if n > 0) {
        while let Some(at) = picture[searched..].windows(2).position(|pair| pair == EOI) {
            let rest = picture.split_off(searched + at + EOI.len());
            tally.add(std::mem::replace(&mut picture, rest));
            searched = 0;
        }
        searched = picture.len().saturating_sub(1);
    }
}
