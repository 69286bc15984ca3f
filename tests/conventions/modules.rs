//! The modules of one program or library, and which file imports which.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{self, Body, Path};
use crate::sources::SourceFile;

/// Ties between files: the importing file, and each imported file with one path as proof.
pub type Ties = BTreeMap<String, BTreeMap<String, String>>;

struct Module {
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    body: Body,
}

/// Where a path leads.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// A module itself: naming it is no tie to its file.
    Module(usize),
    /// Something that this module defines.
    Item(usize),
}

pub struct Modules<'a> {
    files: &'a BTreeMap<String, SourceFile>,
    modules: Vec<Module>,
}

impl<'a> Modules<'a> {
    /// Reads the modules that grow from a root file such as `api/src/lib.rs`.
    pub fn read(root: &str, files: &'a BTreeMap<String, SourceFile>) -> Self {
        let mut modules = Self { files, modules: Vec::new() };
        let text = &files.get(root).unwrap_or_else(|| panic!("no file {root}")).text;
        if let Some(body) = imports::body(text) {
            let (folder, _) = root.rsplit_once('/').unwrap_or(("", root));
            modules.add(root, folder, None, body);
        }
        modules
    }

    pub fn files(&self) -> BTreeSet<&str> {
        self.modules.iter().map(|module| module.file.as_str()).collect()
    }

    /// Adds a module whose children's files are in `folder`.
    fn add(&mut self, file: &str, folder: &str, parent: Option<usize>, mut body: Body) -> usize {
        let declared = std::mem::take(&mut body.declared);
        let inline = std::mem::take(&mut body.inline);
        let index = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), parent, children: BTreeMap::new(), body });
        for (name, body) in inline {
            let child = self.add(file, &format!("{folder}/{name}"), Some(index), body);
            self.modules[index].children.insert(name, child);
        }
        for (name, path) in declared {
            let beside = file.rsplit_once('/').map_or("", |(beside, _)| beside);
            let candidates = match path {
                Some(path) => vec![without_dots(&format!("{beside}/{path}"))],
                None => vec![format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")],
            };
            let found = candidates.iter().find_map(|candidate| self.files.get(candidate));
            let found = found.unwrap_or_else(|| panic!("{file} declares {name}: none of {candidates:?}"));
            let Some(body) = imports::body(&found.text) else { continue };
            let stem = found.path.trim_end_matches(".rs").trim_end_matches("/mod").to_owned();
            let child = self.add(&found.path, &stem, Some(index), body);
            self.modules[index].children.insert(name, child);
        }
        index
    }

    /// Which file imports something that another defines. Re-exports are followed to the definition.
    pub fn ties(&self) -> Ties {
        let mut ties = Ties::new();
        for (index, module) in self.modules.iter().enumerate() {
            for path in &module.body.paths {
                let Some(Target::Item(found)) = self.resolve(index, path, &mut BTreeSet::new()) else { continue };
                let file = &self.modules[found].file;
                if *file != module.file {
                    let proofs = ties.entry(module.file.clone()).or_default();
                    proofs.entry(file.clone()).or_insert_with(|| path.join("::"));
                }
            }
        }
        ties
    }

    /// Follows a path from a module; `met` holds the names that were looked up on the way, each in its module.
    fn resolve(&self, from: usize, path: &Path, met: &mut BTreeSet<(usize, String)>) -> Option<Target> {
        let mut target = None;
        for (index, part) in path.iter().enumerate() {
            let last = index + 1 == path.len();
            target = Some(match (target, part.as_str()) {
                (None, "crate") => Target::Module(0),
                (None, "self") => Target::Module(from),
                (None, "super") => Target::Module(self.modules[from].parent?),
                (Some(Target::Module(module)), "super") => Target::Module(self.modules[module].parent?),
                (Some(Target::Module(module)), "*") => Target::Item(module),
                (None, name) => self.lookup(from, name, last, met)?,
                (Some(Target::Module(module)), name) => {
                    self.lookup(module, name, last, met).unwrap_or(Target::Item(module))
                }
                (Some(item @ Target::Item(_)), _) => return Some(item),
            });
        }
        target
    }

    /// Finds a name in a module. A name of both a module and an item is the item at the end of a path.
    fn lookup(&self, module: usize, name: &str, last: bool, met: &mut BTreeSet<(usize, String)>) -> Option<Target> {
        // `use name::{self}` and globs of modules that import each other lead back here.
        let child = self.modules[module].children.get(name).copied().map(Target::Module);
        if !met.insert((module, name.to_owned())) {
            return child;
        }
        if !last && child.is_some() {
            return child;
        }
        let body = &self.modules[module].body;
        if body.items.contains(name) {
            return Some(Target::Item(module));
        }
        let alias = body.aliases.get(name).and_then(|path| self.resolve(module, path, met));
        if let Some(found) = alias.or(child) {
            return Some(found);
        }
        for glob in &body.globs {
            if let Some(Target::Module(from)) = self.resolve(module, glob, met)
                && from != module
                && let Some(found) = self.lookup(from, name, last, met)
            {
                return Some(found);
            }
        }
        None
    }
}

/// `a/b/../c` as `a/c`.
fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else if part != "." {
            parts.push(part);
        }
    }
    parts.join("/")
}
