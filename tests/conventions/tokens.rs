//! Rust source as tokens, without comments: as much of the language as imports need.

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An identifier or keyword; a raw identifier without its `r#`.
    Word(String),
    /// Content of a string literal, escapes untouched.
    Text(String),
    /// `::` between the parts of a path.
    Join,
    /// Any other single character.
    Mark(char),
}

impl Token {
    pub fn is(&self, mark: char) -> bool {
        *self == Token::Mark(mark)
    }

    pub fn word(&self) -> Option<&str> {
        match self {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }
}

/// Tokens of a file. Numbers are words too, which no path begins with.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        at = next(&chars, at, &mut tokens);
    }
    tokens
}

/// Reads one token at `at`, or skips blanks or a comment there; answers where the next begins.
fn next(chars: &[char], at: usize, tokens: &mut Vec<Token>) -> usize {
    let peek = |ahead: usize| chars.get(at + ahead).copied().unwrap_or('\0');
    match chars[at] {
        c if c.is_whitespace() => at + 1,
        '/' if peek(1) == '/' => line_end(chars, at),
        '/' if peek(1) == '*' => block_end(chars, at),
        '"' => string(chars, at + 1, tokens),
        '\'' => after_quote(chars, at),
        ':' if peek(1) == ':' => {
            tokens.push(Token::Join);
            at + 2
        }
        'r' | 'b' | 'c' if is_string_prefix(chars, at) => prefixed_string(chars, at, tokens),
        'r' if peek(1) == '#' && is_word_part(peek(2)) => word(chars, at + 2, tokens),
        c if is_word_part(c) => word(chars, at, tokens),
        c => {
            tokens.push(Token::Mark(c));
            at + 1
        }
    }
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(chars: &[char], start: usize, tokens: &mut Vec<Token>) -> usize {
    let end = (start..chars.len()).find(|&at| !is_word_part(chars[at])).unwrap_or(chars.len());
    tokens.push(Token::Word(chars[start..end].iter().collect()));
    end
}

fn line_end(chars: &[char], start: usize) -> usize {
    (start..chars.len()).find(|&at| chars[at] == '\n').unwrap_or(chars.len())
}

/// End of a block comment; these nest.
fn block_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// A string whose first character of content is at `start`.
fn string(chars: &[char], start: usize, tokens: &mut Vec<Token>) -> usize {
    let mut at = start;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    let end = at.min(chars.len());
    tokens.push(Token::Text(chars[start..end].iter().collect()));
    end + 1
}

/// True at `r"`, `r#"`, `b"`, `br"`, `c"` and the like.
fn is_string_prefix(chars: &[char], at: usize) -> bool {
    let mut ahead = at;
    while ahead < chars.len() && matches!(chars[ahead], 'r' | 'b' | 'c') && ahead < at + 2 {
        ahead += 1;
    }
    let raw = chars[at..ahead].contains(&'r');
    while raw && chars.get(ahead) == Some(&'#') {
        ahead += 1;
    }
    chars.get(ahead) == Some(&'"')
}

fn prefixed_string(chars: &[char], start: usize, tokens: &mut Vec<Token>) -> usize {
    let quote = (start..chars.len()).find(|&at| chars[at] == '"').unwrap_or(chars.len() - 1);
    if !chars[start..quote].contains(&'r') {
        return string(chars, quote + 1, tokens);
    }
    let hashes = chars[start..quote].iter().filter(|c| **c == '#').count();
    let closes = |at: usize| {
        chars[at] == '"' && at + hashes < chars.len() && chars[at + 1..=at + hashes].iter().all(|c| *c == '#')
    };
    let end = (quote + 1..chars.len()).find(|&at| closes(at)).unwrap_or(chars.len());
    tokens.push(Token::Text(chars[quote + 1..end].iter().collect()));
    end + 1 + hashes
}

/// A quote begins a character or a lifetime: `'a'` and `'\n'` end with a quote, `'a` does not.
fn after_quote(chars: &[char], at: usize) -> usize {
    match chars.get(at + 1) {
        Some('\\') => (at + 3..chars.len()).find(|&end| chars[end] == '\'').map_or(chars.len(), |end| end + 1),
        Some(_) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at + 1,
    }
}

#[test]
fn comments_strings_and_lifetimes_hide_no_code() {
    let source = r##"use a::b; // use c::d;
        /* use /* e */ f; */ let s = "use g::h;"; let r = r#"use "i";"#; fn x<'a>(c: char) { c == '"' || c == '\'' }"##;
    let words: Vec<String> = tokens(source).iter().filter_map(|token| token.word().map(str::to_owned)).collect();
    assert_eq!(words, ["use", "a", "b", "let", "s", "let", "r", "fn", "x", "a", "c", "char", "c", "c"]);
}
