//! Rules against each other: links that lead nowhere or back, and rules that another always hides.
//!
//! Works on rules that are each in order by themselves. It knows no files.

use std::collections::{BTreeSet, HashMap};

use super::diagnostic::Severity;
use super::evaluate::{Leaf, leaves};
use super::loaded::LoadedRule;
use super::pack::Generals;
use super::schema::Block;
use super::suggest::nearest;

/// A finding at a path of a rule.
pub struct Finding {
    /// The rule's place in the list.
    pub rule: usize,
    /// How bad it is.
    pub severity: Severity,
    /// The code.
    pub code: &'static str,
    /// Where in the rule.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Everything that is wrong or odd between rules, which stand in the order of their ids.
pub fn check(rules: &[LoadedRule]) -> Vec<Finding> {
    let mut findings = links(rules);
    let cycles = in_cycles(rules);
    for &rule in &cycles {
        findings.push(Finding {
            rule,
            severity: Severity::Error,
            code: "specializes-cycle",
            path: "specializes".to_owned(),
            message: "`specializes` leads back to this rule".to_owned(),
            help: "of two rules at most one is the special case of the other".to_owned(),
        });
    }
    // In a circle everything hides everything.
    findings.extend(
        hidden(rules)
            .into_iter()
            .filter(|finding| !cycles.contains(&finding.rule)),
    );
    findings
}

/// `specializes` and `replaced_by` lead to rules that exist, by their present ids.
fn links(rules: &[LoadedRule]) -> Vec<Finding> {
    let ids: BTreeSet<&str> = rules.iter().map(LoadedRule::id).collect();
    let mut now: HashMap<&str, &str> = HashMap::new();
    for loaded in rules {
        now.extend(loaded.head.was.iter().map(|old| (old.as_ref(), loaded.id())));
    }
    let mut findings = Vec::new();
    for (rule, loaded) in rules.iter().enumerate().filter(|(_, loaded)| !loaded.is_shipped()) {
        let generals = loaded.head.specializes.iter().enumerate();
        let links = generals
            .map(|(at, id)| (id.as_ref(), format!("specializes[{at}]")))
            .chain(
                loaded
                    .head
                    .replaced_by
                    .iter()
                    .map(|id| (id.as_ref(), "replaced_by".to_owned())),
            );
        for (id, path) in links.filter(|(id, _)| !ids.contains(id)) {
            let (code, message, help) = match (now.get(id), nearest(id, ids.iter().copied())) {
                (Some(now), _) => (
                    "old-id",
                    format!("`{id}` is called `{now}` now"),
                    format!("write `{now}`"),
                ),
                (None, near) => {
                    let help = match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "it may belong to a pack that is not loaded".to_owned(),
                    };
                    ("unknown-rule", format!("there is no rule `{id}`"), help)
                }
            };
            findings.push(Finding {
                rule,
                severity: Severity::Warning,
                code,
                path,
                message,
                help,
            });
        }
    }
    findings
}

fn in_cycles(rules: &[LoadedRule]) -> Vec<usize> {
    let ids: HashMap<&str, usize> = rules.iter().enumerate().map(|(at, loaded)| (loaded.id(), at)).collect();
    let next = |at: usize| {
        let generals = rules.get(at).into_iter().flat_map(|loaded| &loaded.head.specializes);
        generals.filter_map(|id| ids.get(id.as_ref()).copied())
    };
    (0..rules.len())
        .filter(|&start| {
            let mut seen = BTreeSet::new();
            let mut open: Vec<usize> = next(start).collect();
            while let Some(at) = open.pop() {
                if at == start {
                    return true;
                }
                if seen.insert(at) {
                    open.extend(next(at));
                }
            }
            false
        })
        .collect()
}

/// Rules whose every match is also one of a rule that specializes them, and so explains them better.
fn hidden(rules: &[LoadedRule]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let generals = Generals::new(rules);
    for (special, above) in rules.iter().enumerate() {
        for &general in generals.of(rules, special).into_iter().flatten() {
            let Some(loaded) = rules.get(general) else { continue };
            let replaced = loaded.head.replaced_by.as_deref() == Some(above.id());
            // The tests hold the shipped rules against each other.
            let known = loaded.is_shipped() && above.is_shipped();
            if !replaced && !known && implies(&loaded.rule().matches, &above.rule().matches) {
                findings.push(Finding {
                    rule: general,
                    severity: Severity::Warning,
                    code: "unreachable",
                    path: "match".to_owned(),
                    message: format!(
                        "whenever this matches, `{}` matches, too, and takes its place",
                        above.id()
                    ),
                    help: format!(
                        "`{}` says that it is the special case: it must ask for more",
                        above.id()
                    ),
                });
            }
        }
    }
    findings
}

/// Whether whatever fits the first block fits the second, as far as their words show.
fn implies(narrow: &Block, wide: &Block) -> bool {
    let narrow = leaves(narrow);
    leaves(wide)
        .iter()
        .all(|wanted| narrow.iter().any(|given| gives(given, wanted)))
}

fn gives(given: &Leaf<'_>, wanted: &Leaf<'_>) -> bool {
    match (given, wanted) {
        (Leaf::Kind(given), Leaf::Kind(wanted)) => given.iter().all(|kind| wanted.0.contains(kind)),
        (Leaf::Fault(given), Leaf::Fault(wanted)) => given.iter().all(|token| wanted.0.contains(token)),
        _ => given.to_string() == wanted.to_string(),
    }
}
