//! Kleene's three-valued logic: yes, no, and not known.

use serde::{Deserialize, Serialize};

/// What a predicate answers. A fact that the report lacks is unknown, never no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// The report does not say.
    Unknown,
}

impl Answer {
    /// Both: no as soon as one is no.
    pub fn and(self, other: Answer) -> Answer {
        match (self, other) {
            (Answer::No, _) | (_, Answer::No) => Answer::No,
            (Answer::Yes, Answer::Yes) => Answer::Yes,
            _ => Answer::Unknown,
        }
    }

    /// The answer in a word.
    pub fn word(self) -> &'static str {
        match self {
            Answer::Yes => "yes",
            Answer::No => "no",
            Answer::Unknown => "unknown",
        }
    }

    /// Whether it is yes.
    pub fn is_yes(self) -> bool {
        self == Answer::Yes
    }

    /// Whether it is no.
    pub fn is_no(self) -> bool {
        self == Answer::No
    }

    /// All of them; yes when there is none. Stops at the first no.
    pub fn all(answers: impl IntoIterator<Item = Answer>) -> Answer {
        let mut whole = Answer::Yes;
        for answer in answers {
            whole = whole.and(answer);
            if whole.is_no() {
                break;
            }
        }
        whole
    }

    /// Any of them; no when there is none. Stops at the first yes.
    pub fn any(answers: impl IntoIterator<Item = Answer>) -> Answer {
        !Answer::all(answers.into_iter().map(|answer| !answer))
    }

    /// No where the list that was looked through is complete, else unknown.
    pub fn absent_from(complete: bool) -> Answer {
        if complete { Answer::No } else { Answer::Unknown }
    }
}

impl std::ops::Not for Answer {
    type Output = Answer;

    fn not(self) -> Answer {
        match self {
            Answer::Yes => Answer::No,
            Answer::No => Answer::Yes,
            Answer::Unknown => Answer::Unknown,
        }
    }
}

impl From<bool> for Answer {
    fn from(flag: bool) -> Self {
        if flag { Answer::Yes } else { Answer::No }
    }
}

impl From<Option<bool>> for Answer {
    fn from(flag: Option<bool>) -> Self {
        flag.map_or(Answer::Unknown, Answer::from)
    }
}

#[cfg(test)]
mod tests {
    use super::Answer::{self, No, Unknown, Yes};

    #[test]
    fn the_tables_are_kleenes() {
        let table = |op: fn(Answer, Answer) -> Answer| [Yes, No, Unknown].map(|a| [Yes, No, Unknown].map(|b| op(a, b)));
        assert_eq!(
            table(Answer::and),
            [[Yes, No, Unknown], [No, No, No], [Unknown, No, Unknown]]
        );
        assert_eq!(
            table(|a, b| Answer::any([a, b])),
            [[Yes, Yes, Yes], [Yes, No, Unknown], [Yes, Unknown, Unknown]]
        );
        assert_eq!([!Yes, !No, !Unknown], [No, Yes, Unknown]);
        assert_eq!(Answer::all([]), Yes);
        assert_eq!(Answer::any([]), No);
        assert_eq!(Answer::any([Unknown, Yes]), Yes);
        assert_eq!(Answer::all([Unknown, Yes]), Unknown);
    }
}
