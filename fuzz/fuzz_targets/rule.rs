//! Any text must load as a rule or be refused with its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcoroner::rules::KnowledgeBase;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let loading = KnowledgeBase::from_texts([("fuzz.yaml", text)]);
        let _ = loading.diagnostics.render(false);
    }
});
