//! Makes the table of the page's files from the folder `web`, and links every module in index.html, so that neither can
//! miss a file.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Content types by the ending of a name. Files with other endings are not served.
const CONTENT_TYPES: [(&str, &str); 3] =
    [("css", "text/css; charset=utf-8"), ("js", "text/javascript; charset=utf-8"), ("svg", "image/svg+xml")];

/// The line of index.html that the links replace.
const MARK: &str = "  <!-- modulepreload -->\n";

/// Third-party files, each in a folder of its own beside its licence. They are served by their bare names.
const VENDOR: &str = "vendor/";

/// Modules with this ending hold only types in comments, which no browser needs.
const TYPES: &str = "-types.js";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=web");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?);
    let mut files = Vec::new();
    collect(Path::new("web"), "", &mut files)?;
    files.sort();

    let (mut table, mut links) = (String::from("&[\n"), String::new());
    for path in &files {
        let ending = path.rsplit('.').next().unwrap_or_default();
        let Some((_, content_type)) = CONTENT_TYPES.iter().find(|(known, _)| *known == ending) else { continue };
        let vendored = path.strip_prefix(VENDOR).and_then(|path| path.rsplit('/').next());
        let name = vendored.unwrap_or(path);
        let place = format!(r#"concat!(env!("CARGO_MANIFEST_DIR"), "/web/{path}")"#);
        table += &format!("    Asset::new({name:?}, {content_type:?}, include_bytes!({place})),\n");
        if ending == "js" && vendored.is_none() {
            links += &format!("  <link rel=\"modulepreload\" href=\"/assets/{name}\">\n");
        }
    }
    fs::write(out.join("assets.rs"), table + "]\n")?;

    let index = fs::read_to_string("web/index.html")?;
    if !index.contains(MARK) {
        return Err(io::Error::other("web/index.html has no place for modulepreload links"));
    }
    fs::write(out.join("index.html"), index.replacen(MARK, &links, 1))
}

/// Adds the files under `folder`, with their paths from `web`.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if !path.ends_with(TYPES) {
            files.push(path);
        }
    }
    Ok(())
}
