//! The files of the project, found by walking its folders: an archive without git is measured like a clone.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing written for this project, or nothing tracked.
const SKIPPED: &[&str] = &["target", "node_modules", "vendor", "corpus", "artifacts", "seeds"];

/// Crates that are shipped. The others test, measure or simulate.
const SHIPPED: &[&str] = &["api", "control", "media", "model", "rtsp", "shared", "src", "viewing", "worker"];

/// One file of text, with its path from the root of the project in forward slashes.
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

impl SourceFile {
    /// First folder of the path, which names a crate; `src` is the binary.
    pub fn area(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// True for product code: tests in files of their own are not.
    pub fn is_shipped(&self) -> bool {
        SHIPPED.contains(&self.area()) && !self.path.contains("tests/") && !self.path.ends_with("tests.rs")
    }
}

/// Root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files with one of these extensions, sorted by path.
pub fn with_extension(extensions: &[&str]) -> Vec<SourceFile> {
    let root = root();
    let mut found = Vec::new();
    walk(&root, "", extensions, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no file with {extensions:?} below {}", root.display());
    found
}

fn walk(folder: &Path, prefix: &str, extensions: &[&str], found: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let kind = entry.file_type().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if kind.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                walk(&path, &format!("{prefix}{name}/"), extensions, found);
            }
        } else if extensions.iter().any(|extension| name.ends_with(&format!(".{extension}"))) {
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            found.push(SourceFile { path: format!("{prefix}{name}"), text });
        }
    }
}
