//! How functions' names are compared: without what the compiler added, and system calls in one spelling.
//!
//! It knows names only; the build script uses it for the names in the shipped rules.

use std::borrow::Cow;

/// A function's name without what the compiler added: `.isra.0`, `.constprop.1`, `.part.2`, `.cold`, `.llvm.3` and the
/// like, any number of them, and without the leading dot of powerpc's ELFv1 code symbols.
pub fn normalise_symbol(symbol: &str) -> &str {
    let mut name = symbol.strip_prefix('.').unwrap_or(symbol);
    // Nearly every name: no suffix at all.
    if !name.as_bytes().contains(&b'.') {
        return name;
    }
    while let Some((rest, suffix)) = name.rsplit_once('.') {
        if rest.is_empty() || !is_compiler_suffix(suffix) {
            break;
        }
        name = rest;
    }
    name
}

fn is_compiler_suffix(suffix: &str) -> bool {
    const WORDS: [&str; 10] = [
        "isra",
        "constprop",
        "part",
        "cold",
        "llvm",
        "lto_priv",
        "localalias",
        "cfi",
        "cfi_jt",
        "clone",
    ];
    !suffix.is_empty() && (suffix.bytes().all(|byte| byte.is_ascii_digit()) || WORDS.contains(&suffix))
}

/// A system call's name in one spelling for every kernel age and architecture (`sys_read` for `SyS_read`,
/// `__x64_sys_read`, `__se_sys_read`, `ksys_read`, `compat_sys_read`, …); any other name as it is.
/// Expects a normalised name.
pub fn unify_syscall(name: &str) -> Cow<'_, str> {
    // Longest first. 4.17 gave each architecture its own wrappers; before, SYSCALL_DEFINE made SYSC_ and SyS_.
    const PREFIXES: [&str; 19] = [
        "__ia32_compat_sys_",
        "__x64_compat_sys_",
        "__arm64_compat_sys_",
        "__se_compat_sys_",
        "__do_compat_sys_",
        "compat_SyS_",
        "compat_sys_",
        "__s390x_sys_",
        "__riscv_sys_",
        "__arm64_sys_",
        "__ia32_sys_",
        "__x64_sys_",
        "__se_sys_",
        "__do_sys_",
        "ksys_",
        "C_SYSC_",
        "SYSC_",
        "SyS_",
        "sys_",
    ];
    for prefix in PREFIXES {
        if let Some(call) = name.strip_prefix(prefix)
            && !call.is_empty()
        {
            return if prefix == "sys_" {
                Cow::Borrowed(name)
            } else {
                Cow::Owned(format!("sys_{call}"))
            };
        }
    }
    // ____sys_sendmsg, ___sys_sendmsg and __sys_sendmsg are the inner layers of one call.
    let inner = name.trim_start_matches('_');
    if inner.len() < name.len() && inner.starts_with("sys_") {
        return Cow::Borrowed(inner);
    }
    Cow::Borrowed(name)
}
