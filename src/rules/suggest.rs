//! The nearest valid word to a misspelt one.

/// The candidate that is nearest to `word`, when it is near enough to be what was meant: at most one slip in three
/// letters, a transposition counting as one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = word.chars().take(64).collect();
    let budget = (letters.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (candidate.chars().take(64).collect::<Vec<_>>(), candidate))
        .filter(|(other, _)| may_be_near(&letters, other, budget))
        .map(|(other, candidate)| (distance(&letters, &other), candidate))
        .filter(|(distance, candidate)| *distance <= budget && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether so few slips can turn one word into the other, by their letters alone, wherever those stand: a slip changes how
/// often a letter occurs for two letters at most. Most words are told apart by this, which takes far less time.
fn may_be_near(left: &[char], right: &[char], slips: usize) -> bool {
    let mut more = [0_i32; 128];
    let mut count = |letters: &[char], by: i32| {
        for letter in letters {
            let letter = if is_joint(*letter) {
                '-'
            } else {
                letter.to_ascii_lowercase()
            };
            if let Some(more) = more.get_mut(letter as usize) {
                *more += by;
            }
        }
    };
    count(left, 1);
    count(right, -1);
    let differ: u32 = more.iter().map(|more| more.unsigned_abs()).sum();
    left.len().abs_diff(right.len()) <= slips && differ as usize <= 2 * slips
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other; letter case is free.
fn distance(left: &[char], right: &[char]) -> usize {
    let same = |a: char, b: char| a.eq_ignore_ascii_case(&b) || (is_joint(a) && is_joint(b));
    let width = right.len() + 1;
    let mut before_last: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (row, &a) in left.iter().enumerate() {
        let mut current = vec![row + 1; width];
        for (column, &b) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut cost = (at(&last, column) + usize::from(!same(a, b)))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = row > 0
                && column > 0
                && left.get(row - 1).is_some_and(|&c| same(c, b))
                && right.get(column - 1).is_some_and(|&c| same(c, a));
            if swapped {
                cost = cost.min(at(&before_last, column - 1) + 1);
            }
            if let Some(cell) = current.get_mut(column + 1) {
                *cell = cost;
            }
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

fn is_joint(letter: char) -> bool {
    matches!(letter, '-' | '_' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let keys = ["frames", "fault", "kind", "registers", "root_cause"];
        assert_eq!(nearest("frams", keys), Some("frames"));
        assert_eq!(nearest("farmes", keys), Some("frames"));
        assert_eq!(nearest("root-cause", keys), Some("root_cause"));
        assert_eq!(nearest("Kind", keys), Some("kind"));
        assert_eq!(nearest("register", keys), Some("registers"));
        assert_eq!(nearest("cpu", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    proptest::proptest! {
        #[test]
        fn no_near_word_is_passed_over(left in "[ab_ -é]{0,8}", right in "[AB_ -é]{0,8}", slips in 0_usize..4) {
            let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
            if distance(&left, &right) <= slips {
                proptest::prop_assert!(may_be_near(&left, &right, slips));
            }
        }
    }
}
