//! How alike two stacks are: the position dependent model of ReBucket (Dang, Wu, Zhang, Zhang, Nobel, ICSE 2012), with
//! a floor under the length.
//!
//! Over every way to pair equal names of the stacks A and B in order, the sum of
//!
//! ```text
//! e^(-C · min(i, j)) · e^(-O · |i - j|)        for each pair A[i] = B[j], counted from 0 at the blamed function
//! ```
//!
//! is made as large as it can be, and divided by what two equal stacks of the shorter one's length would have, but of
//! at least [`FLOOR`] names: a cut-off stack of one name is like no other. So inner names count more than outer ones,
//! and a name that moved by a frame or two (inlining) counts almost as much as one that did not.

use std::sync::LazyLock;

/// How fast the weight of a name falls with its distance from the blamed function.
const C: f64 = 0.1;
/// How fast it falls with the difference of the two distances.
const O: f64 = 0.15;
/// The fewest names that a perfect likeness takes.
const FLOOR: usize = 3;

/// From this similarity on, two crashes are taken for one bug's.
pub const ALIKE: f64 = 0.75;

/// The similarity of two stacks, 0 to 1.
pub fn similarity<T: PartialEq>(a: &[T], b: &[T]) -> f64 {
    let best = best(a, b);
    (best / whole(a.len().min(b.len()))).min(1.0)
}

/// What [`similarity`] cannot exceed for `a` and a stack that has those of its names that `held` says yes to, where
/// the shorter of the two has `length` names. Costs much less: no pair is looked at.
pub fn at_most<T>(a: &[T], length: usize, held: impl Fn(&T) -> bool) -> f64 {
    // A pair weighs at most what its first has beside itself: O is greater than C.
    let names = a.iter().enumerate().filter(|(_, name)| held(name));
    let most: f64 = names.map(|(at, _)| weight(at, at)).sum();
    // The two sums are rounded by themselves.
    most / whole(length) + 1e-9
}

/// What two equal stacks of some length come to.
fn whole(length: usize) -> f64 {
    (0..length.max(FLOOR)).map(|at| weight(at, at)).sum()
}

fn weight(i: usize, j: usize) -> f64 {
    let known = WEIGHTS.get(i).and_then(|row| row.get(j)).copied();
    known.unwrap_or_else(|| pair_weight(i, j))
}

fn pair_weight(i: usize, j: usize) -> f64 {
    (-C * i.min(j) as f64 - O * i.abs_diff(j) as f64).exp()
}

/// The weights of nearly all pairs that are ever looked at.
static WEIGHTS: LazyLock<[[f64; 24]; 24]> =
    LazyLock::new(|| std::array::from_fn(|i| std::array::from_fn(|j| pair_weight(i, j))));

/// The largest sum: the last of [`table`], of which only one row is kept.
fn best<T: PartialEq>(a: &[T], b: &[T]) -> f64 {
    let mut row = vec![0.0; b.len()];
    for (i, one) in a.iter().enumerate() {
        let (mut left, mut diagonal) = (0.0, 0.0);
        for (j, (other, cell)) in b.iter().zip(&mut row).enumerate() {
            let hit = if one == other { diagonal + weight(i, j) } else { 0.0 };
            diagonal = *cell;
            left = f64::max(left, hit.max(diagonal));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0.0)
}

/// The best sums for every pair of beginnings: row `i`, column `j` is of the first `i` and `j` names.
fn table<T: PartialEq>(a: &[T], b: &[T]) -> Vec<Vec<f64>> {
    let mut rows = vec![vec![0.0; b.len() + 1]];
    for (i, one) in a.iter().enumerate() {
        let above = rows.last().cloned().unwrap_or_default();
        let mut row = Vec::with_capacity(b.len() + 1);
        let mut left = 0.0;
        row.push(left);
        for (j, (other, pair)) in b.iter().zip(above.windows(2)).enumerate() {
            let (diagonal, up) = match pair {
                [diagonal, up] => (*diagonal, *up),
                _ => (0.0, 0.0),
            };
            let hit = if one == other { diagonal + weight(i, j) } else { 0.0 };
            left = f64::max(left, hit.max(up));
            row.push(left);
        }
        rows.push(row);
    }
    rows
}

/// One step of an alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a, T> {
    /// In both stacks.
    Both(&'a T),
    /// In the first alone.
    First(&'a T),
    /// In the second alone.
    Second(&'a T),
}

/// The pairing that [`similarity`] rates, innermost first.
pub fn align<'a, T: PartialEq>(a: &'a [T], b: &'a [T]) -> Vec<Step<'a, T>> {
    let rows = table(a, b);
    let at = |i: usize, j: usize| rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0.0);
    let (mut i, mut j) = (a.len(), b.len());
    let mut steps = Vec::new();
    loop {
        let one = i.checked_sub(1).and_then(|i| a.get(i));
        let other = j.checked_sub(1).and_then(|j| b.get(j));
        match (one, other) {
            (None, None) => break,
            (Some(one), Some(other)) if one == other && at(i, j) > at(i - 1, j).max(at(i, j - 1)) => {
                steps.push(Step::Both(one));
                (i, j) = (i - 1, j - 1);
            }
            (Some(one), other) if other.is_none() || at(i - 1, j) > at(i, j.saturating_sub(1)) => {
                steps.push(Step::First(one));
                i -= 1;
            }
            (_, Some(other)) => {
                steps.push(Step::Second(other));
                j -= 1;
            }
            (Some(one), None) => {
                steps.push(Step::First(one));
                i -= 1;
            }
        }
    }
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_stacks_are_one_and_strangers_nothing() {
        assert_eq!(similarity(&[1, 2, 3, 4], &[1, 2, 3, 4]), 1.0);
        assert_eq!(similarity(&[1, 2, 3], &[4, 5, 6]), 0.0);
        assert_eq!(similarity::<u8>(&[], &[]), 0.0);
        assert!(similarity(&[1], &[1]) < ALIKE, "one name is not enough");
    }

    #[test]
    fn inner_names_count_more_than_outer_ones() {
        let whole = [1, 2, 3, 4, 5, 6];
        let outer = similarity(&whole, &[1, 2, 3, 4, 5, 9]);
        let inner = similarity(&whole, &[9, 2, 3, 4, 5, 6]);
        assert!(inner < outer && outer < 1.0);
        // A frame that one build inlined.
        assert!(similarity(&whole, &[1, 3, 4, 5, 6]) > 0.7);
    }

    #[test]
    fn an_alignment_shows_where_they_part() {
        let steps = align(&["a", "b", "c"], &["a", "x", "c", "d"]);
        assert_eq!(
            steps,
            [
                Step::Both(&"a"),
                Step::First(&"b"),
                Step::Second(&"x"),
                Step::Both(&"c"),
                Step::Second(&"d")
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn it_is_symmetric_and_bounded(a: Vec<u8>, b: Vec<u8>) {
            let (a, b) = (&a[..a.len().min(20)], &b[..b.len().min(20)]);
            let one = similarity(a, b);
            proptest::prop_assert!((0.0..=1.0).contains(&one));
            proptest::prop_assert!((one - similarity(b, a)).abs() < 1e-9);
            let most = at_most(a, a.len().min(b.len()), |name| b.contains(name));
            proptest::prop_assert!(one <= most, "{} {}", one, most);
            let whole = table(a, b).last().and_then(|row| row.last()).copied().unwrap_or(0.0);
            proptest::prop_assert_eq!(best(a, b), whole);
            let steps = align(a, b);
            let of_a = steps.iter().filter(|step| !matches!(step, Step::Second(_))).count();
            let of_b = steps.iter().filter(|step| !matches!(step, Step::First(_))).count();
            proptest::prop_assert_eq!((of_a, of_b), (a.len(), b.len()));
        }
    }
}
