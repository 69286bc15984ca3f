//! Comments are sentences with a subject. Two shares show where they are not; both are counted in lines.
//!
//! - A comment line is a line that holds nothing but a comment with text in it: `//`, `///`, `//!`, and in scripts also
//!   `/*` and `*`. Code with a comment behind it is not counted.
//! - A line counts as *begun* when its first word is one of `BEGINNINGS`, with a capital: such a comment names a
//!   property and leaves out the thing that has it ("Of the next segment.").
//! - A line counts as *vague* when it holds one of `VAGUE` as a whole word, in any case: such a comment says "who waits"
//!   where a viewer, a worker or a player waits.
//!
//! Projects that read well have 0.1 to 1.6 % and 0.3 to 1.1 %.

use std::collections::BTreeMap;

use crate::sources::{self, SourceFile};

const BEGINNINGS: &[&str] = &["Of", "What", "Who", "Whoever", "Whether", "How"];
const VAGUE: &[&str] = &["what", "who", "whoever", "nobody", "somebody"];

/// Highest share of begun lines over all areas, in percent.
const MOST_BEGUN: f64 = 2.0;
/// Highest share of vague lines over all areas, in percent.
const MOST_VAGUE: f64 = 2.0;

#[derive(Clone, Copy, Default)]
struct Tally {
    lines: usize,
    begun: usize,
    vague: usize,
}

impl Tally {
    fn add(&mut self, comment: &str) {
        self.lines += 1;
        self.begun += usize::from(is_begun(comment));
        self.vague += usize::from(is_vague(comment));
    }

    fn begun_percent(&self) -> f64 {
        percent(self.begun, self.lines)
    }

    fn vague_percent(&self) -> f64 {
        percent(self.vague, self.lines)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of lines are far below 2^52")]
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn words(comment: &str) -> impl Iterator<Item = &str> {
    comment.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn is_begun(comment: &str) -> bool {
    comment.starts_with(char::is_alphabetic) && words(comment).next().is_some_and(|word| BEGINNINGS.contains(&word))
}

fn is_vague(comment: &str) -> bool {
    words(comment).any(|word| VAGUE.iter().any(|vague| word.eq_ignore_ascii_case(vague)))
}

/// Text of a line that is a comment and nothing else.
fn comment(line: &str, script: bool) -> Option<&str> {
    let line = line.trim_start();
    let text = if let Some(text) = line.strip_prefix("//") {
        text.trim_start_matches(['/', '!'])
    } else if script {
        line.strip_prefix("/*").or_else(|| line.strip_prefix('*'))?.trim_start_matches('*').trim_end_matches("*/")
    } else {
        return None;
    };
    let text = text.trim();
    text.contains(char::is_alphanumeric).then_some(text)
}

fn tallies(files: &[SourceFile]) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for file in files {
        let script = file.path.ends_with(".js");
        let area = if script { format!("{} (js)", file.area()) } else { file.area().to_owned() };
        let tally = tallies.entry(area).or_default();
        for text in file.text.lines().filter_map(|line| comment(line, script)) {
            tally.add(text);
        }
    }
    tallies
}

#[test]
fn comments_are_sentences_with_a_subject() {
    let files = sources::with_extension(&["rs", "js"]);
    let mut tallies = tallies(&files);
    let all = tallies.values().fold(Tally::default(), |sum, tally| Tally {
        lines: sum.lines + tally.lines,
        begun: sum.begun + tally.begun,
        vague: sum.vague + tally.vague,
    });
    tallies.retain(|_, tally| tally.lines > 0);
    println!("{:<16} {:>8} {:>8} {:>8}", "comment lines", "", "begun %", "vague %");
    for (area, tally) in tallies.iter().map(|(area, tally)| (area.as_str(), tally)).chain([("all", &all)]) {
        println!("{area:<16} {:>8} {:>8.1} {:>8.1}", tally.lines, tally.begun_percent(), tally.vague_percent());
    }
    let (begun, vague) = (round(all.begun_percent()), round(all.vague_percent()));
    assert!(
        begun <= MOST_BEGUN && vague <= MOST_VAGUE,
        "{begun} % of all comment lines begin with one of {BEGINNINGS:?} (at most {MOST_BEGUN} %), {vague} % hold one of \
         {VAGUE:?} (at most {MOST_VAGUE} %). make words WORDS=api/src lists those of a folder"
    );
}

/// `make words WORDS=worker/src` prints the lines to reword below a folder.
#[test]
fn lines_to_reword_are_listed_on_request() {
    let prefix = std::env::var("RSM_WORDS").unwrap_or_default();
    if prefix.is_empty() {
        return;
    }
    for file in sources::with_extension(&["rs", "js"]).iter().filter(|file| file.path.starts_with(&prefix)) {
        for (index, line) in file.text.lines().enumerate() {
            let Some(text) = comment(line, file.path.ends_with(".js")) else { continue };
            if is_begun(text) || is_vague(text) {
                println!("{}:{}: {text}", file.path, index + 1);
            }
        }
    }
}

fn round(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}

#[test]
fn a_comment_is_told_from_code() {
    assert_eq!(comment("    /// Of the next segment.", false), Some("Of the next segment."));
    assert_eq!(comment("//! Text.", false), Some("Text."));
    assert_eq!(comment("let a = 1; // one", false), None);
    assert_eq!(comment("    //", false), None);
    assert_eq!(comment(" * Text.", true), Some("Text."));
    assert_eq!(comment("/** @type {number} */", true), Some("@type {number}"));
    assert_eq!(comment("* b", false), None);
}

#[test]
fn only_whole_words_count() {
    assert!(is_begun("Of the next segment."));
    assert!(!is_begun("Often."));
    assert!(!is_begun("of a line before"));
    assert!(!is_begun("`What` is a type."));
    assert!(is_vague("A viewer who waits."));
    assert!(is_vague("What waits."));
    assert!(!is_vague("somewhat, whole"));
}
