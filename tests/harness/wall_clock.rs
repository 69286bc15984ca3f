//! A wall clock that is wrong, by libfaketime. The monotonic clock stays true, as in every kernel. Programs that read
//! the clock past the C library, such as nats-server, do not notice.

use std::path::{Path, PathBuf};

/// A wall clock that tests set, for the processes that have its environment.
pub struct WallClock {
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right. Its offset is kept in a file below `dir`.
    pub fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let clock = Self { file: dir.join("faketime") };
        clock.set(0);
        clock
    }

    /// By so many seconds it is wrong.
    pub fn set(&self, seconds: i64) {
        let aside = self.file.with_extension("new");
        std::fs::write(&aside, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(aside, &self.file).unwrap();
    }

    /// Environment of a process that uses this clock.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let library = std::fs::read_dir("/usr/lib")
            .unwrap()
            .flatten()
            .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.exists())
            .expect("libfaketime: run `make deps-test` first");
        [
            ("LD_PRELOAD", library.to_str().unwrap().to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap().to_owned()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}
