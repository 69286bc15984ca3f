//! Declarations and paths of one file: its modules, items and `use` declarations. Code for tests is left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Token, tokens};

/// A path as written, split at `::`.
pub type Path = Vec<String>;

/// The body of a module: a file, or braces within one.
#[derive(Debug, Default)]
pub struct Body {
    /// Modules in files of their own, with the value of `#[path]` where there is one.
    pub declared: Vec<(String, Option<String>)>,
    pub inline: Vec<(String, Body)>,
    /// Names of types, functions, constants and macros defined here.
    pub items: BTreeSet<String>,
    /// Names of types and traits defined here, with whether any other module may name them.
    pub types: BTreeMap<String, bool>,
    /// Names that a `use` brings in, and the path of each.
    pub aliases: BTreeMap<String, Path>,
    /// Paths of `use path::*`.
    pub globs: Vec<Path>,
    /// Every path named here, those of `use` included.
    pub paths: Vec<Path>,
}

const DEFINES_TYPE: &[&str] = &["struct", "enum", "union", "trait", "type"];
const DEFINES: &[&str] = &["struct", "enum", "union", "trait", "type", "fn", "const", "static"];

/// Reads a file. `None` when the whole file is for tests.
pub fn body(source: &str) -> Option<Body> {
    let tokens = tokens(source);
    let mut reader = Reader { tokens: &tokens, at: 0, for_tests: false };
    let body = reader.body();
    (!reader.for_tests).then_some(body)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// `#![cfg(test)]` was met.
    for_tests: bool,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn is_mark(&self, ahead: usize, mark: char) -> bool {
        self.peek(ahead).is_some_and(|token| token.is(mark))
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        self.peek(ahead).and_then(Token::word)
    }

    /// Reads up to the brace that closes this module, or to the end of the file.
    fn body(&mut self) -> Body {
        let mut body = Body::default();
        let mut depth = 0_usize;
        let mut path_attribute = None;
        while let Some(token) = self.peek(0) {
            match token {
                Token::Mark('}') if depth == 0 => {
                    self.at += 1;
                    return body;
                }
                Token::Mark('{') => {
                    depth += 1;
                    self.at += 1;
                }
                Token::Mark('}') => {
                    depth -= 1;
                    self.at += 1;
                }
                Token::Mark('#') if self.is_mark(1, '[') || self.is_mark(1, '!') => {
                    self.attribute(&mut path_attribute);
                }
                Token::Word(word) if word == "use" => self.use_declaration(&mut body),
                Token::Word(word) if word == "mod" && depth == 0 && self.word(1).is_some() => {
                    self.module(path_attribute.take(), &mut body);
                }
                Token::Word(_) => self.code(depth, &mut body),
                _ => self.at += 1,
            }
        }
        body
    }

    /// Reads an attribute; one that leaves its item to tests takes the item with it.
    fn attribute(&mut self, path: &mut Option<String>) {
        let inner = self.is_mark(1, '!');
        let start = self.at + if inner { 3 } else { 2 };
        self.at = start.min(self.tokens.len());
        self.skip_to_closing('[', ']');
        let content = &self.tokens[start.min(self.at)..self.at];
        let names = |name: &str| content.iter().any(|token| token.is_word(name));
        if let [name, equals, Token::Text(text), ..] = content
            && name.is_word("path")
            && equals.is('=')
        {
            *path = Some(text.clone());
        }
        let conditional = content.first().is_some_and(|token| token.is_word("cfg"));
        if (conditional && names("test") && !names("not")) || content.first().is_some_and(|token| token.is_word("test"))
        {
            if inner {
                self.for_tests = true;
            } else {
                self.skip_item();
                *path = None;
            }
        }
    }

    /// Moves past the mark that closes the bracket before.
    fn skip_to_closing(&mut self, open: char, close: char) {
        let mut depth = 1;
        while let Some(token) = self.peek(0) {
            if token.is(open) {
                depth += 1;
            } else if token.is(close) {
                depth -= 1;
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Moves past the item that begins here: to its semicolon, or past its braces.
    fn skip_item(&mut self) {
        while self.is_mark(0, '#') && self.is_mark(1, '[') {
            self.at += 2;
            self.skip_to_closing('[', ']');
        }
        let is_use = (0..6).map_while(|ahead| self.peek(ahead)).any(|token| token.is_word("use"));
        while let Some(token) = self.peek(0) {
            let (ends, opens) = (token.is(';'), token.is('{'));
            self.at += 1;
            if opens {
                self.skip_to_closing('{', '}');
            }
            if ends || (opens && !is_use) {
                return;
            }
        }
    }

    fn module(&mut self, path: Option<String>, body: &mut Body) {
        let name = self.word(1).unwrap_or_default().to_owned();
        self.at += 2;
        if self.is_mark(0, '{') {
            self.at += 1;
            let inline = self.body();
            body.inline.push((name, inline));
        } else {
            body.declared.push((name, path));
        }
    }

    /// True when `pub`, `pub(crate)` or the like stands before the keyword here.
    fn is_visible(&self) -> bool {
        let before = &self.tokens[..self.at];
        match before.last() {
            Some(Token::Word(word)) => word == "pub",
            Some(Token::Mark(')')) => {
                let opening = before.iter().rposition(|token| token.is('('));
                opening.is_some_and(|at| at > 0 && before[at - 1].is_word("pub"))
            }
            _ => false,
        }
    }

    /// A definition, a path, or any other word.
    fn code(&mut self, depth: usize, body: &mut Body) {
        let word = self.word(0).unwrap_or_default();
        if depth == 0 {
            if DEFINES.contains(&word)
                && let Some(name) = self.word(1)
            {
                body.items.insert(name.to_owned());
                if DEFINES_TYPE.contains(&word) {
                    body.types.insert(name.to_owned(), self.is_visible());
                }
            }
            if word == "macro_rules"
                && let Some(name) = self.word(2)
            {
                body.items.insert(name.to_owned());
            }
        }
        let continued = self.at > 0 && self.tokens[self.at - 1] == Token::Join;
        let mut path = vec![word.to_owned()];
        self.at += 1;
        while self.peek(0) == Some(&Token::Join)
            && let Some(part) = self.word(1)
        {
            path.push(part.to_owned());
            self.at += 2;
        }
        if path.len() > 1 && !continued {
            body.paths.push(path);
        }
    }

    fn use_declaration(&mut self, body: &mut Body) {
        self.at += 1;
        // `impl Trait + use<'a>` is no declaration.
        if self.is_mark(0, '<') {
            return;
        }
        if self.peek(0) == Some(&Token::Join) {
            self.at += 1;
        }
        self.use_tree(&[], body);
    }

    /// One tree of a `use`: a path, `path as name`, `path::*` or `path::{trees}`.
    fn use_tree(&mut self, prefix: &[String], body: &mut Body) {
        let mut path = prefix.to_vec();
        loop {
            match self.peek(0) {
                Some(Token::Word(word)) => {
                    path.push(word.clone());
                    self.at += 1;
                }
                Some(Token::Mark('*')) => {
                    self.at += 1;
                    body.paths.push([path.as_slice(), &["*".to_owned()]].concat());
                    body.globs.push(path);
                    return;
                }
                Some(Token::Mark('{')) => {
                    self.at += 1;
                    while self.peek(0).is_some() && !self.is_mark(0, '}') {
                        self.use_tree(&path, body);
                        if self.is_mark(0, ',') {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                _ => return,
            }
            if self.peek(0) != Some(&Token::Join) {
                break;
            }
            self.at += 1;
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if self.word(0) == Some("as") {
            name = self.word(1).unwrap_or("_").to_owned();
            self.at += 2;
        }
        body.aliases.entry(name).or_insert_with(|| path.clone());
        body.paths.push(path);
    }
}

#[test]
fn declarations_and_paths_are_found_and_tests_left_out() {
    let body = body(
        "mod a; #[path = \"c_tests.rs\"] mod c; #[cfg(test)] mod tests; mod d { use super::x::Y; }
         use crate::{p::{self, Q as R}, s::*}; pub(crate) struct Z;
         #[cfg(test)] use t::{u, v}; fn f() { a::g::<W>(); h.i(); } #[cfg(test)] mod more { use super::*; }",
    )
    .expect("not for tests");
    assert_eq!(body.declared, [("a".to_owned(), None), ("c".to_owned(), Some("c_tests.rs".to_owned()))]);
    assert_eq!(body.inline[0].1.paths, [["super", "x", "Y"]]);
    assert_eq!(body.inline.len(), 1);
    assert_eq!(body.aliases.keys().collect::<Vec<_>>(), ["R", "p"]);
    assert_eq!(body.globs, [["crate", "s"]]);
    let paths: Vec<String> = body.paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["crate::p", "crate::p::Q", "crate::s::*", "a::g"]);
    assert_eq!(body.types, BTreeMap::from([("Z".to_owned(), true)]));
    assert_eq!(body.items.iter().collect::<Vec<_>>(), ["Z", "f"]);
}
