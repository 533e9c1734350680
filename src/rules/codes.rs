//! The codes of findings and a page of documentation for each: the sections of `docs/rules-check.md`.

/// The pages, as they are published.
const PAGES: &str = include_str!("../../docs/rules-check.md");

/// Every code, in the order of the pages: by name.
pub fn all() -> impl Iterator<Item = &'static str> {
    sections().map(|(code, _)| code)
}

/// A code's page, without its heading; `None` for what is no code.
pub fn page(code: &str) -> Option<&'static str> {
    sections().find(|(other, _)| *other == code).map(|(_, page)| page)
}

/// The code that a misspelt one may mean.
pub fn nearest(code: &str) -> Option<&'static str> {
    super::suggest::nearest(code, all())
}

fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGES
        .split("\n## ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .map(|(code, page)| (code.trim(), page.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case_unique_and_in_order() {
        let codes: Vec<&str> = all().collect();
        assert!(codes.len() > 50);
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
        for code in codes {
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'8'),
                "{code}"
            );
            let page = page(code).unwrap_or_default();
            assert!(page.starts_with("**Error") || page.starts_with("**Warning"), "{code}");
        }
        assert_eq!(nearest("unknwon-key"), Some("unknown-key"));
    }
}
