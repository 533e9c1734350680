//! Any report must be judged without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use vmcoroner::crash::CrashReport;
use vmcoroner::rules::{KnowledgeBase, identify};

static RULES: LazyLock<KnowledgeBase> = LazyLock::new(KnowledgeBase::builtin);

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = serde_json::from_slice::<CrashReport>(bytes) {
        let _ = identify(&RULES, &report, None);
    }
});
