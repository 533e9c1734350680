//! What people read, as it is printed: a change of words or of the page's shape must be meant.

mod common;

use common::vmcoroner;

/// What `vmcoroner` prints for `arguments`, run in the package's folder, and its exit code.
fn printed(arguments: &[&str]) -> String {
    let output = vmcoroner()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .expect("the binary runs");
    format!(
        "{}{}exit {}\n",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status.code().unwrap_or(-1)
    )
}

#[test]
fn a_known_bug() {
    let case = "corpus/el7-page-lock-anon-vma-read-thp/match-3.10.0-862-kswapd.json";
    insta::assert_snapshot!(printed(&["identify", case]));
}

#[test]
fn a_kind_of_crash_that_a_general_rule_explains() {
    insta::assert_snapshot!(printed(&[
        "identify",
        "corpus/anon-vma-root-null/match-5.10-kthread.txt"
    ]));
}

#[test]
fn a_crash_without_any_rule() {
    let case = "corpus/anon-vma-root-null/match-5.10-kthread.txt";
    insta::assert_snapshot!(printed(&["identify", "--no-builtin", case]));
}

#[test]
fn the_facts_alone() {
    insta::assert_snapshot!(printed(&[
        "extract",
        "corpus/anon-vma-root-null/match-5.10-kthread.txt"
    ]));
}

#[test]
fn several_inputs_one_of_them_bad() {
    insta::assert_snapshot!(printed(&[
        "identify",
        "--no-builtin",
        "corpus/sysrq-crash/../README.md",
        "corpus/anon-vma-root-null/match-6.1-kthread.txt",
    ]));
}

#[test]
fn colour_only_when_asked_for() {
    let case = "corpus/anon-vma-root-null/match-5.10-kthread.txt";
    let coloured = printed(&["--color", "always", "identify", "--no-builtin", case]);
    assert!(coloured.contains("\u{1b}["), "{coloured}");
    let plain: String = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(plain, printed(&["identify", "--no-builtin", case]));
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn no_line_that_is_prose_is_wider_than_a_terminal() {
    let page = printed(&["identify", "corpus/anon-vma-root-null/match-5.10-kthread.txt"]);
    let wide: Vec<&str> = page.lines().filter(|line| line.chars().count() > 80).collect();
    // Commands and addresses stay whole so that they can be copied.
    assert!(
        wide.iter()
            .all(|line| line.contains("vmcoroner rules new") || line.contains("://")),
        "{wide:?}"
    );
}
