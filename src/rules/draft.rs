//! A draft of a rule from a crash: the crash's own facts, the incidental ones left out or commented.
//!
//! It must pass the rules' own check and match the crash it came from; what the bug is and what helps is for a person
//! to say. Knows nothing of inputs or terminals.

use std::fmt::Write as _;

use crate::crash::{CrashReport, FaultRole};

/// How many frames a draft asks for: enough to tell most bugs apart, few enough to survive other callers.
const FRAMES: usize = 4;

/// Drafts a rule that matches `report`, dated `date` (ISO). `None`: the report holds no crash.
pub fn draft(report: &CrashReport, date: &str) -> Option<String> {
    let panic = report.panic.as_ref()?;
    let title = report
        .signature
        .as_ref()
        .map(|s| s.title.clone())
        .unwrap_or_else(|| panic.kind.word().replace('-', " "));
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line("# yaml-language-server: $schema=rule.schema.json".into());
    line("# A draft: keep what makes this bug this bug, delete what merely happened on this machine,".into());
    line("# and say in your own words what it is. Then: vmcoroner rules check FILE".into());
    line("schema: 1".into());
    line(format!("id: {}", slug(&title)));
    line(format!("title: {}", scalar(&truncate(&title, 80))));
    line("status: test".into());
    line(format!("date: {date}"));
    line("match:".into());
    line(format!("  kind: {}", panic.kind));
    let fault = report.fault.as_ref().filter(|f| f.role == FaultRole::Faulted);
    if let Some(symbol) = fault.and_then(|f| f.symbol.as_deref()) {
        let token = token(symbol, fault.and_then(|f| f.module.as_deref()));
        line(format!("  fault: {}", scalar(&token)));
    }
    let frames = telling_frames(report);
    if !frames.is_empty() {
        line(format!(
            "  frames: [{}]",
            frames.iter().map(|f| scalar(f)).collect::<Vec<_>>().join(", ")
        ));
    }
    if fault.is_none()
        && frames.is_empty()
        && let Some(message) = &panic.message
    {
        line(format!("  panic: {}", scalar(&literal_regex(message))));
    }
    line("# confirm:                     # evidence that only this bug leaves, and details of one build".into());
    if let (Some(symbol), Some(offset)) = (fault.and_then(|f| f.symbol.as_deref()), fault.and_then(|f| f.offset)) {
        let token = token(symbol, fault.and_then(|f| f.module.as_deref()));
        line(format!("#   fault: {}", scalar(&format!("{token}+{offset:#x}"))));
    }
    if let (Some(stream), Some(release)) = (&report.system.stream, &report.system.release) {
        line("affected:".into());
        line(format!(
            "  - {{stream: {}, seen: [{}], fixed: unknown}}",
            scalar(stream),
            scalar(release)
        ));
    }
    line("# references: [{redhat-kb: 0000000}, {commit: 0123456789ab}]   # only what you have read".into());
    line("# root_cause: |".into());
    line("#   …".into());
    line("# mitigations:".into());
    line("#   - {effect: fixes, what: …}".into());
    Some(out)
}

/// The first frames that tell something: below the faulting function, certain, not panic or entry code.
fn telling_frames(report: &CrashReport) -> Vec<String> {
    report
        .frames
        .iter()
        .filter(|f| f.reliable && !f.machinery && !f.interrupted && !f.inlined)
        .filter_map(|f| Some(token(f.symbol.as_deref()?, f.module.as_deref())))
        .take(FRAMES)
        .collect()
}

fn token(symbol: &str, module: Option<&str>) -> String {
    let name = crate::crash::normalise_symbol(symbol);
    match module {
        Some(module) => format!("{module}:{name}"),
        None => name.to_string(),
    }
}

/// A rule id from a title: lower case, words joined by hyphens, 4 to 64 characters.
fn slug(title: &str) -> String {
    let mut id = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            id.push(c.to_ascii_lowercase());
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
        if id.len() >= 60 {
            break;
        }
    }
    let id = id.trim_end_matches('-');
    if id.len() < 4 {
        format!("crash-of-kind-{id}").trim_end_matches('-').to_owned()
    } else {
        id.to_owned()
    }
}

fn truncate(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// `text` as a regex that matches it, with what differs from crash to crash (addresses, pids, CPUs) left open.
fn literal_regex(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(word);
        let hex = head.strip_prefix("0x").unwrap_or(head);
        let is_address = hex.len() >= 6 && hex.chars().all(|c| c.is_ascii_hexdigit());
        if is_address {
            out.push_str("(0x)?[0-9a-f]+");
        } else {
            let mut digits = false;
            for c in head.chars() {
                if !c.is_ascii_digit() {
                    out.push(c);
                } else if !digits {
                    out.push_str("[0-9]+");
                }
                digits = c.is_ascii_digit();
            }
        }
        let mut between = tail.chars();
        if let Some(c) = between.next() {
            out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
        rest = between.as_str();
    }
    out
}

/// `text` as a YAML scalar: plain where that is safe, quoted (JSON's form is also YAML's) elsewhere.
fn scalar(text: &str) -> String {
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '+'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if safe {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_slugs() {
        assert_eq!(slug("NULL pointer dereference in f()"), "null-pointer-dereference-in-f");
        assert_eq!(slug("?"), "crash-of-kind");
        assert!(slug(&"x".repeat(200)).len() <= 64);
    }

    #[test]
    fn scalars_that_yaml_would_read_otherwise_are_quoted() {
        assert_eq!(scalar("down_read_trylock+0x9"), "down_read_trylock+0x9");
        assert_eq!(scalar("kvm:vmx_run"), "\"kvm:vmx_run\"");
        assert_eq!(scalar("no"), "\"no\"");
        assert_eq!(scalar("3.10.0-862.el7"), "\"3.10.0-862.el7\"");
    }

    #[test]
    fn a_message_becomes_a_regex_without_its_numbers() {
        let regex = literal_regex("BUG: soft lockup - CPU#1 stuck for 5s! [x/1:167]");
        assert!(
            regex::Regex::new(&regex)
                .unwrap()
                .is_match("BUG: soft lockup - CPU#22 stuck for 23s! [x/0:9]")
        );
        let regex = literal_regex("prev->next should be next (ffffa38e8007be38), but was (null)");
        assert_eq!(
            regex,
            r"prev\->next should be next \((0x)?[0-9a-f]+\), but was \(null\)"
        );
    }
}
