//! Answers for machines: one object, an array, or one object a line. Written as they come, so that a long run shows its
//! answers early and is valid JSON at its end.

use serde::Serialize;

/// How the answers of one run are put together.
#[derive(Debug)]
pub enum Answers {
    /// Not at all: people read the output.
    None,
    /// One object.
    Single,
    /// An array; whether it has begun.
    Array(bool),
    /// One object a line.
    Lines,
}

impl Answers {
    /// An array without an answer yet.
    pub fn array() -> Self {
        Answers::Array(false)
    }

    /// The text that adds `answer`.
    pub fn add<T: Serialize>(&mut self, answer: &T) -> String {
        // Plain data with string keys: there is nothing in it that JSON cannot say.
        let pretty =
            |answer| serde_json::to_string_pretty(answer).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"));
        match self {
            Answers::None => String::new(),
            Answers::Single => pretty(answer) + "\n",
            Answers::Array(begun) => {
                let before = if std::mem::replace(begun, true) { ",\n" } else { "[\n" };
                format!("{before}{}", pretty(answer))
            }
            Answers::Lines => {
                serde_json::to_string(answer).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}")) + "\n"
            }
        }
    }

    /// The text that ends the run.
    pub fn end(&self) -> &'static str {
        match self {
            Answers::Array(true) => "\n]\n",
            Answers::Array(false) => "[]\n",
            Answers::None | Answers::Single | Answers::Lines => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_valid_with_any_number_of_answers() {
        for count in 0..3 {
            let mut answers = Answers::array();
            let mut text = String::new();
            for n in 0..count {
                text += &answers.add(&n);
            }
            text += answers.end();
            assert_eq!(
                serde_json::from_str::<Vec<i32>>(&text).unwrap(),
                (0..count).collect::<Vec<_>>()
            );
        }
    }
}
