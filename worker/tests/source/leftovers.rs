//! Thousands of sessions that fail leave nothing behind.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::bench::{all, open_link};
use crate::scripted::ScriptedCamera;
use crate::scripted::media::{Offer, Rtp, ScriptedClip, Section};
use crate::scripted::scene::{Act, Scene, SceneEnd};

const CYCLES: usize = 2000;
/// Other tests of this process open files and take memory, too; a leak of each cycle would be far above.
const FILES_OF_OTHERS: usize = 200;
const KIB_OF_OTHERS: usize = 24 * 1024;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Every way to fail that takes no time, one after the other.
fn scenes() -> Vec<Scene> {
    let good = || {
        let media = ScriptedClip::h264().steps(&mut Rtp::new(0, 96), [0, 9000, 18_000], Duration::ZERO);
        let offer = Offer::default().and(Section::h264()).and(Section::pcma());
        Scene { end: SceneEnd::Close, ..Scene::new(offer, media) }
    };
    vec![
        Scene { end_at_once: true, ..good() },
        good().with("DESCRIBE", Act::Close),
        good().with("DESCRIBE", Act::Reset),
        good().with("DESCRIBE", Act::Status(404, String::new())),
        good().with("DESCRIBE", Act::Raw(b"garbage\r\n\r\n".to_vec())),
        good().with("SETUP", Act::Close),
        good().with("SETUP", Act::Status(503, String::new())),
        good().with("PLAY", Act::Close),
        good().with("TEARDOWN", Act::Close),
        good(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sockets_tasks_and_memory() {
    let scenes = scenes();
    let mut cameras = Vec::new();
    for scene in &scenes {
        cameras.push(ScriptedCamera::start(vec![scene.clone()]).await);
    }
    let mut before = None;
    for cycle in 0..CYCLES {
        let link = cameras[cycle % cameras.len()].url("");
        if let Ok(source) = open_link(&link, Duration::from_secs(5)).await {
            all(source).await;
        }
        if cycle == CYCLES / 10 {
            before = Some((open_files(), resident_kib()));
        }
    }
    let (files, kib) = before.unwrap();
    let connections: usize = cameras.iter().map(ScriptedCamera::connections).sum();
    assert!(connections >= CYCLES);
    drop(cameras);
    // The tasks of cameras and of connections end by themselves, within the deadlines of their own.
    let ended = async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let tasks = tokio::time::timeout(Duration::from_secs(20), ended).await;
    assert!(tasks.is_ok(), "{} tasks are left", Handle::current().metrics().num_alive_tasks());
    assert!(open_files() < files + FILES_OF_OTHERS, "{files} files before, {} now", open_files());
    assert!(resident_kib() < kib + KIB_OF_OTHERS, "{kib} KiB before, {} now", resident_kib());
}
