//! The name that somebody may have meant.

/// Names looked at; a file with more is no model's.
const CANDIDATES: usize = 20_000;

/// Letters of a name that are compared: more than published names have.
const LETTERS: usize = 200;

/// The candidate with the fewest letters to change, unless that is more than half of the name.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = letters(name);
    candidates
        .take(CANDIDATES)
        .map(|candidate| (distance(&name, &letters(candidate)), candidate))
        .min()
        .filter(|&(changes, _)| 2 * changes <= name.len())
        .map(|(_, candidate)| candidate)
}

fn letters(name: &str) -> Vec<char> {
    name.chars().take(LETTERS).collect()
}

/// Levenshtein's distance, one row of the table at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, letters, nearest};

    #[test]
    fn the_distance_counts_letters() {
        for (a, b, expected) in
            [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)]
        {
            assert_eq!(distance(&letters(a), &letters(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn what_has_little_in_common_is_not_suggested() {
        let names = ["norm.scale", "attn.to_q.weight"];
        assert_eq!(nearest("attn.query.weight", names.into_iter()), Some("attn.to_q.weight"));
        assert_eq!(nearest("pos", names.into_iter()), None);
    }
}
