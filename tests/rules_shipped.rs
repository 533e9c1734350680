//! The shipped rules: in order, and right about the cases in `corpus/`.

use std::path::Path;

use vmcoroner::rules::KnowledgeBase;

#[test]
fn the_shipped_rules_are_in_order() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let loading = KnowledgeBase::load(&[folder], false);
    assert!(
        loading.diagnostics.items.is_empty(),
        "{}",
        loading.diagnostics.render(false)
    );
    let builtin = KnowledgeBase::builtin();
    assert_eq!(builtin.digest(), loading.base.digest());
    assert_eq!(builtin.rules().len(), loading.files);
    for loaded in builtin.rules() {
        assert!(loaded.rule().root_cause.is_some(), "{}", loaded.rule().id);
    }
}
