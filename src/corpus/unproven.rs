//! Claims to be a special case that no crash of the corpus bears out.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{Corpus, Expectation, answer};
use crate::rules::KnowledgeBase;
use crate::rules::diagnostic::Diagnostics;

/// Adds a warning for each `specializes` of a rule with cases where the more general rule matches none of them.
pub fn unproven(base: &KnowledgeBase, corpus: &Corpus, diagnostics: &mut Diagnostics) {
    let seen: Vec<(&str, BTreeSet<String>)> = corpus
        .cases
        .par_iter()
        .filter(|case| case.expected == Expectation::Match)
        .filter_map(|case| {
            let loaded = base.find(&case.rule)?;
            if loaded.rule().specializes.is_empty() {
                return None;
            }
            // A case that cannot be read is `rules test`'s to tell.
            let (_, found) = answer(base, &case.path).ok()??;
            let matched = found
                .matches
                .into_iter()
                .flat_map(|found| std::iter::once(found.rule).chain(found.folded));
            Some((loaded.id(), matched.collect()))
        })
        .collect();
    let mut of_rule: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (rule, matched) in seen {
        of_rule.entry(rule).or_default().extend(matched);
    }
    for (rule, matched) in of_rule {
        let Some(loaded) = base.find(rule).filter(|loaded| matched.contains(loaded.id())) else {
            continue;
        };
        for (at, general) in loaded.rule().specializes.iter().enumerate() {
            let known = base.find(general.as_str());
            if known.is_none_or(|known| matched.contains(known.id())) {
                continue;
            }
            let message = format!("no case of this rule is matched by `{general}`");
            let finding = loaded
                .warning("unproven-specializes", &format!("specializes[{at}]"), message)
                .with_help("remove it, or add a case that both match");
            diagnostics.add_source(&loaded.file, loaded.shared_text());
            diagnostics.extend([finding]);
        }
    }
    diagnostics.sort();
}
