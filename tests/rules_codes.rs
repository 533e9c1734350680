//! Every finding has a page, and the page's examples are true: the first has the finding, the second has not.

use std::collections::BTreeSet;

use vmcoroner::rules::{KnowledgeBase, codes};

/// Codes that a text alone cannot bring about: files, folders, a corpus, or more than one example may hold.
const WITHOUT_EXAMPLE: &[&str] = &[
    "empty-file",
    "file-name",
    "no-rules",
    "not-utf8",
    "several-documents",
    "too-deep",
    "too-large",
    "unproven-specializes",
    "unreadable",
    "yaml-alias",
    "yaml-key",
    "yaml-tag",
    "yml-file",
];

/// The examples of a page.
fn examples(page: &str) -> Vec<&str> {
    page.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

/// An example as files: a part of a rule gets the rest of it.
fn files(example: &str) -> Vec<String> {
    example
        .split("\n---\n")
        .map(|text| {
            if text.starts_with("id:") || text.starts_with("overlay:") {
                return format!("{text}\n");
            }
            let head = "id: some-rule\ntitle: The pump leaks\nstatus: test\n";
            let body = if text.contains("match:") {
                ""
            } else {
                "match: {kind: bug}\n"
            };
            let head = if text.starts_with("title:") {
                "id: some-rule\nstatus: test\n"
            } else {
                head
            };
            format!("{head}{body}{text}\n")
        })
        .collect()
}

fn codes_of(example: &str) -> BTreeSet<&'static str> {
    let texts = files(example);
    let names: Vec<String> = texts
        .iter()
        .map(|text| {
            let id = text.lines().find_map(|line| line.strip_prefix("id: "));
            format!("{}.yaml", id.unwrap_or("overlay"))
        })
        .collect();
    let texts = names
        .iter()
        .zip(&texts)
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let loading = KnowledgeBase::from_texts(texts);
    loading.diagnostics.items.iter().map(|finding| finding.code).collect()
}

#[test]
fn the_first_example_has_the_finding_and_the_second_has_none() {
    for code in codes::all() {
        let page = codes::page(code).unwrap();
        let examples = examples(page);
        if WITHOUT_EXAMPLE.contains(&code) {
            assert!(examples.is_empty(), "{code}");
            continue;
        }
        let wrong = examples.first().unwrap_or_else(|| panic!("{code} has no example"));
        let found = codes_of(wrong);
        assert!(found.contains(code), "{code}: its example has {found:?}");
        if let Some(right) = examples.get(1) {
            let mut found = codes_of(right);
            // Parts of rules refer to rules that the example does not show.
            found.remove("unknown-rule");
            assert!(found.is_empty(), "{code}: its second example has {found:?}");
        }
    }
}
