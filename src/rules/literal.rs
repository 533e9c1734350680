//! What a regular expression cannot match without: literals that any text it fits must hold.
//!
//! Knows regular expressions, not what they are held against.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

/// Shorter literals are in almost any line.
pub const LEAST: usize = 3;

/// Texts of which any match holds at least one, each of [`LEAST`] bytes or more; `None` when there are none, or for what
/// is no regular expression.
pub fn required(pattern: &str) -> Option<Vec<String>> {
    literals_of(&parse(pattern)?)
}

/// One of the expressions that another one is made of.
#[derive(Debug)]
pub struct Choice {
    /// The expression.
    pub pattern: String,
    /// What [`required`] says of it.
    pub literals: Option<Vec<String>>,
}

/// The expressions of which one fits wherever `pattern` does, and only there: of `a|b` these are `a` and `b`. None for
/// what is no regular expression.
pub fn choices(pattern: &str) -> Vec<Choice> {
    let Some(hir) = parse(pattern) else {
        return Vec::new();
    };
    let HirKind::Alternation(choices) = hir.kind() else {
        return vec![Choice {
            pattern: pattern.to_owned(),
            literals: literals_of(&hir),
        }];
    };
    let choice = |hir: &Hir| Choice {
        pattern: hir.to_string(),
        literals: literals_of(hir),
    };
    choices.iter().map(choice).collect()
}

/// As rules have their patterns read: over bytes, classes as ASCII has them.
fn parse(pattern: &str) -> Option<Hir> {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    parser.parse(pattern).ok()
}

fn literals_of(hir: &Hir) -> Option<Vec<String>> {
    let texts = walk(hir)?.into_iter().map(|bytes| String::from_utf8(bytes).ok());
    texts.collect()
}

/// Whether a pattern fits the empty text, and with it any.
pub fn fits_anything(pattern: &str) -> bool {
    let bare = pattern.trim_start_matches('^').trim_end_matches('$');
    let free = bare.len() == pattern.len();
    free && parse(pattern).is_some_and(|hir| hir.properties().minimum_len() == Some(0))
}

fn walk(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => (literal.0.len() >= LEAST).then(|| vec![literal.0.to_vec()]),
        HirKind::Capture(capture) => walk(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => walk(&repetition.sub),
        HirKind::Concat(parts) => parts
            .iter()
            .filter_map(walk)
            .max_by_key(|literals| literals.iter().map(Vec::len).min()),
        HirKind::Alternation(choices) => {
            let mut all = Vec::new();
            for choice in choices {
                all.extend(walk(choice)?);
            }
            Some(all)
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_holds_one_of_the_literals() {
        let literals = |pattern| required(pattern).unwrap_or_default();
        assert_eq!(literals("soft lockup - CPU#[0-9]+"), ["soft lockup - CPU#"]);
        assert_eq!(literals("(BUG|WARNING): [a-z]+"), ["BUG", "WARNING"]);
        assert_eq!(literals("x+ (pump)+"), ["pump"]);
        assert_eq!(literals("[0-9]+ .* [0-9]+"), [""; 0]);
        assert_eq!(literals("(pump)?"), [""; 0]);
        assert_eq!(literals("pump|.*"), [""; 0]);
        assert_eq!(literals("(?i)pump"), [""; 0]);
        assert_eq!(literals("a("), [""; 0]);
    }

    #[test]
    fn what_fits_nothing_fits_anything() {
        assert!(fits_anything(".*") && fits_anything("a?") && fits_anything("(x|)"));
        assert!(!fits_anything("^$") && !fits_anything("a+"));
    }

    proptest::proptest! {
        #[test]
        fn no_match_is_without_them(pattern in "[ab.|()*+?]{1,12}", text in "[ab]{0,12}") {
            if let (Ok(regex), Some(literals)) = (regex::Regex::new(&pattern), required(&pattern))
                && regex.is_match(&text)
            {
                proptest::prop_assert!(literals.iter().any(|literal| text.contains(literal.as_str())));
            }
        }

        #[test]
        fn the_choices_fit_what_the_whole_fits(pattern in r"(\(\?i\))?[ab.|()*+?^$]{1,12}(\\d|\\S|\[\^a\]|b)?", text in "[abAB 1]{0,8}") {
            if let Ok(whole) = regex::bytes::RegexBuilder::new(&pattern).unicode(false).build() {
                let mut choices = choices(&pattern).into_iter();
                let any = choices.any(|choice| {
                    let regex = regex::bytes::RegexBuilder::new(&choice.pattern).unicode(false).build();
                    regex.is_ok_and(|regex| regex.is_match(text.as_bytes()))
                });
                proptest::prop_assert_eq!(any, whole.is_match(text.as_bytes()));
            }
        }
    }
}
