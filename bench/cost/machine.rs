//! The machine that figures were seen on.

use serde_json::{Value, json};

/// Description of the machine that the figures are from.
pub fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let ffmpeg = std::process::Command::new("ffmpeg").arg("-version").output();
    let ffmpeg = ffmpeg.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    json!({
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").trim(),
        "ffmpeg": ffmpeg.lines().next().unwrap_or_default(),
        "unix_time": now.as_secs(),
    })
}
