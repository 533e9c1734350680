//! Of every bug's forms the most general one that claims nobody else's crash.
//!
//! All rules are tried over all crashes: those of this import, with or without a rule, and those of the corpus. A rule
//! that claims another's crash asks for more in the next round, until it does not or has nothing more to ask for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;

use super::bug::Bug;
use super::common::Common;
use super::signature::{FORMS, Place};
use super::store::{Made, Own};
use super::{Reason, Shown, case, rule};
use crate::corpus::{self, Corpus};
use crate::crash::{CrashReport, normalise_symbol};
use crate::rules::schema::Scope;
use crate::rules::{KnowledgeBase, Tier, identify};

/// What was chosen, and what was left out.
#[derive(Default)]
pub struct Selected {
    pub made: Vec<Made>,
    pub left_out: Vec<(Reason, Bug, String)>,
}

/// A bug on its way to a rule.
struct Candidate {
    bug: Bug,
    place: Place,
    /// The crash as its text shows it.
    crash: Crash,
    /// The crash as the corpus will hold it.
    facts: CrashReport,
    specializes: Vec<String>,
    date: String,
    form: usize,
}

/// Somebody's crash, without the kernel's release: what a rule claims must not hang on that alone, many texts name none.
struct Crash {
    owner: String,
    report: CrashReport,
}

impl Crash {
    fn of(owner: &str, report: &CrashReport) -> Self {
        let mut report = report.clone();
        report.system.release = None;
        report.system.stream = None;
        report.system.stream_basis = None;
        report.log = None;
        Crash {
            owner: owner.to_owned(),
            report,
        }
    }

    fn functions(&self) -> impl Iterator<Item = &str> {
        let frames = self.report.frames.iter().filter_map(|frame| frame.symbol.as_deref());
        let fault = self.report.fault.iter().filter_map(|fault| fault.symbol.as_deref());
        frames.chain(fault).map(normalise_symbol)
    }
}

impl Candidate {
    fn text(&self) -> String {
        self.text_with(&self.specializes)
    }

    /// The rule on its own: the general ones are not there when rules are tried against each other.
    fn bare(&self) -> String {
        self.text_with(&[])
    }

    fn text_with(&self, specializes: &[String]) -> String {
        let form = self.place.form(self.form).unwrap_or_default();
        rule::text(&self.bug, &self.place, &self.facts, &form, specializes, &self.date)
    }

    /// Asks for more. `false`: there is nothing more to ask for.
    fn narrow(&mut self) -> bool {
        let next = (self.form + 1..FORMS).find(|&form| self.place.form(form).is_some());
        if let Some(next) = next {
            self.form = next;
        }
        next.is_some()
    }
}

/// Chooses the rules.
pub fn select(
    shown: Vec<Shown>,
    others: &[Shown],
    base: &KnowledgeBase,
    own: &Own,
    corpus: &Corpus,
    date: &str,
) -> Selected {
    let mut selected = Selected::default();
    let cases = cases(base, corpus, &shown);
    let common = count(&shown, others, base, &cases);
    let mut others: Vec<Crash> = others
        .iter()
        .map(|other| Crash::of(&other.bug.id, &other.report))
        .collect();
    let mut candidates = candidates(shown, base, own, &common, date, &mut others, &mut selected);
    let ids: BTreeSet<String> = candidates.iter().map(|candidate| candidate.bug.id.clone()).collect();
    others.extend(cases.into_iter().filter(|case| !ids.contains(&case.owner)));
    let mut claims = shared(&candidates, &others);
    loop {
        let mut kept = Vec::with_capacity(candidates.len());
        for mut candidate in candidates {
            match claims.get(&candidate.bug.id) {
                Some(owner) if candidate.place.stands_alone() || !candidate.narrow() => {
                    selected.left_out.push((Reason::Alike, candidate.bug, owner.clone()));
                    // No other rule may claim its crash either.
                    others.push(candidate.crash);
                }
                _ => kept.push(candidate),
            }
        }
        candidates = kept;
        claims = claimed(&candidates, &others);
        if claims.is_empty() {
            break;
        }
    }
    finish(candidates, &mut selected);
    selected
}

/// The bugs whose crash shows a place of its own and that no other rule claims.
fn candidates(
    shown: Vec<Shown>,
    base: &KnowledgeBase,
    own: &Own,
    common: &Common,
    date: &str,
    others: &mut Vec<Crash>,
    selected: &mut Selected,
) -> Vec<Candidate> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut placed = Vec::new();
    for Shown { mut bug, report } in shown {
        let place = Place::of(&report, common);
        if bug.id.is_empty()
            && let Ok(place) = &place
        {
            bug.name(&place.function);
        }
        let crash = Crash::of(&bug.called(), &report);
        match place {
            Ok(place) if taken.insert(bug.id.clone()) => placed.push((bug, place, report, crash)),
            Ok(_) => {
                others.push(crash);
                let what = "another fix of the same name".to_owned();
                selected.left_out.push((Reason::Alike, bug, what));
            }
            Err(why) => {
                others.push(crash);
                selected.left_out.push((Reason::NoPlace, bug, why));
            }
        }
    }
    let judged: Vec<_> = placed
        .into_par_iter()
        .map(|(bug, place, report, crash)| {
            let facts = case::facts(&bug, &report);
            let (claimant, specializes) = judged_before(base, &facts, &taken);
            let date = own.date(&bug.id).unwrap_or(date).to_owned();
            let candidate = Candidate {
                form: place.first(),
                bug,
                place,
                crash,
                facts,
                specializes,
                date,
            };
            (candidate, claimant)
        })
        .collect();
    let mut candidates = Vec::new();
    for (candidate, claimant) in judged {
        match claimant {
            Some(rule) => {
                selected
                    .left_out
                    .push((Reason::Claimed, candidate.bug, format!("`{rule}`")));
                others.push(candidate.crash);
            }
            None => candidates.push(candidate),
        }
    }
    candidates
}

/// What the rules that are there make of a crash: the bug rule that claims it, and the general rules that a special one
/// would explain better. `fresh` are made anew, so what they say now does not count.
fn judged_before(base: &KnowledgeBase, facts: &CrashReport, fresh: &BTreeSet<String>) -> (Option<String>, Vec<String>) {
    let found = identify(base, facts, None);
    let mut claimant = None;
    let mut generals = BTreeSet::new();
    for one in found.matches.iter().filter(|one| one.tier <= Tier::Likely) {
        match one.scope {
            Scope::Bug if fresh.contains(&one.rule) => {
                let folded = one.folded.iter().filter_map(|id| base.find(id));
                generals.extend(
                    folded
                        .filter(|rule| explains_kinds(rule))
                        .map(|rule| rule.id().to_owned()),
                );
            }
            Scope::Bug => claimant = claimant.or_else(|| Some(one.rule.clone())),
            Scope::General => generals.extend(
                base.find(&one.rule)
                    .filter(|rule| explains_kinds(rule))
                    .map(|rule| rule.id().to_owned()),
            ),
        }
    }
    // What a general rule explains better than another need not be said twice.
    let reached = |id: &String| generals.iter().any(|other| base.explains_better(other, id));
    let generals = generals.iter().filter(|id| !reached(id)).cloned().collect();
    (claimant, generals)
}

/// Whether a general rule explains a kind of crash, and not the machine or a module beside it: those stand beside a bug.
fn explains_kinds(rule: &crate::rules::LoadedRule) -> bool {
    let of_machine = ["/hardware/", ":hardware/", "/third-party/", ":third-party/"];
    rule.rule().scope == Scope::General && !of_machine.iter().any(|folder| rule.file.contains(folder))
}

/// The crashes of the corpus that are not of this import: its own cases may lie in general rules' folders, too.
fn cases(base: &KnowledgeBase, corpus: &Corpus, shown: &[Shown]) -> Vec<Crash> {
    let key = |report: &CrashReport| serde_json::json!([report.panic, report.frames]).to_string();
    let own: BTreeMap<String, &str> = shown
        .par_iter()
        .map(|one| (key(&case::facts(&one.bug, &one.report)), one.bug.id.as_str()))
        .collect();
    corpus
        .cases
        .par_iter()
        .filter_map(|case| {
            // A case that cannot be read is `rules test`'s to tell.
            let (report, _) = corpus::answer(base, &case.path).ok()??;
            let owner = own
                .get(&key(&report))
                .copied()
                .filter(|id| !id.is_empty())
                .unwrap_or(&case.rule);
            Some(Crash::of(owner, &report))
        })
        .collect()
}

/// Counts in how many bugs' crashes each function stands.
fn count(shown: &[Shown], others: &[Shown], base: &KnowledgeBase, cases: &[Crash]) -> Common {
    let mut common = Common::default();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut number = |id: &str| {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        *numbers.entry(id.to_owned()).or_insert(next)
    };
    for (index, Shown { bug, report }) in shown.iter().chain(others).enumerate() {
        let id = if bug.id.is_empty() {
            format!("#{index}")
        } else {
            bug.id.clone()
        };
        common.add(number(&id), bug.area.as_deref().unwrap_or_default(), report);
    }
    for case in cases {
        // The folder that its rule lies in: the area.
        let file = base
            .find(&case.owner)
            .map(|rule| rule.file.to_string())
            .unwrap_or_default();
        let area = file.rsplit(['/', ':']).nth(1).unwrap_or_default();
        common.add(number(&case.owner), area, &case.report);
    }
    common
}

/// The rules that ask for one function alone while it stands in another's crash, too.
fn shared(candidates: &[Candidate], others: &[Crash]) -> BTreeMap<String, String> {
    let mut owners: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for crash in candidates.iter().map(|candidate| &candidate.crash).chain(others) {
        for function in crash.functions() {
            owners.entry(function).or_default().insert(&crash.owner);
        }
    }
    let alone = candidates.iter().filter(|candidate| candidate.place.stands_alone());
    alone
        .filter_map(|candidate| {
            let id = candidate.bug.id.as_str();
            let other = owners
                .get(candidate.place.function.as_str())?
                .iter()
                .find(|owner| **owner != id)?;
            Some((
                id.to_owned(),
                format!("`{}` stands in the crash of `{other}`, too", candidate.place.function),
            ))
        })
        .collect()
}

/// The rules that claim another's crash, and whose.
fn claimed(candidates: &[Candidate], others: &[Crash]) -> BTreeMap<String, String> {
    let base = base_of(candidates);
    let crashes: Vec<&Crash> = candidates
        .iter()
        .map(|candidate| &candidate.crash)
        .chain(others)
        .collect();
    let claims: Vec<(String, String)> = crashes
        .par_iter()
        .flat_map_iter(|crash| {
            let found = identify(&base, &crash.report, None);
            let wrong = found
                .matches
                .into_iter()
                .filter(|one| one.tier <= Tier::Likely && one.rule != crash.owner);
            wrong
                .map(|one| (one.rule, format!("`{}`", crash.owner)))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut by_rule = BTreeMap::new();
    for (rule, owner) in claims {
        by_rule.entry(rule).or_insert(owner);
    }
    by_rule
}

fn base_of(candidates: &[Candidate]) -> KnowledgeBase {
    let texts: Vec<(String, String)> = candidates
        .par_iter()
        .map(|candidate| (format!("{}.yaml", candidate.bug.id), candidate.bare()))
        .collect();
    KnowledgeBase::from_texts(texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))).base
}

/// Keeps the rules that name their own crash as the corpus holds it.
fn finish(candidates: Vec<Candidate>, selected: &mut Selected) {
    let base = base_of(&candidates);
    let judged: Vec<_> = candidates
        .into_par_iter()
        .map(|candidate| {
            let found = identify(&base, &candidate.facts, None);
            let label = found.label().map(|label| label.rule.clone());
            let why = match label {
                Some(label) if label == candidate.bug.id => None,
                Some(label) => Some(format!("`{label}` does")),
                None => {
                    let own = found.matches.iter().find(|one| one.rule == candidate.bug.id);
                    let reason = own.and_then(|own| own.reason.clone());
                    Some(reason.unwrap_or_else(|| "it does not match the facts that it was made from".to_owned()))
                }
            };
            (candidate, why)
        })
        .collect();
    for (candidate, why) in judged {
        match why {
            Some(why) => selected.left_out.push((Reason::NotNamed, candidate.bug, why)),
            None => selected.made.push(Made {
                text: candidate.text(),
                case: case::text(&candidate.facts),
                area: candidate.bug.area.clone().unwrap_or_else(|| "core".to_owned()),
                id: candidate.bug.id,
            }),
        }
    }
}
