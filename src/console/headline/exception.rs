//! What a CPU could not do: accesses to memory that failed, exceptions by the processor's name, oopses by their counter.

use crate::addr::VirtAddr;
use crate::crash::Access;
use crate::crash::PanicKind as Kind;

use super::super::scan;
use super::Class::Die;
use super::{Headline, access_word, at_start};

/// An access to memory that could not be met, in the words of every machine.
pub fn page_fault(text: &str) -> Option<Headline> {
    let at = scan::find(text, "nable to handle ").or_else(|| scan::find(text, "ernel NULL pointer dereference"))?;
    let before = text.get(..at)?;
    if before.len() > 60 {
        return None;
    }
    let rest = text.get(at..)?;
    let mut headline = Headline::new(Kind::BadPageFault, Die);
    headline.address = fault_address(rest);
    if rest.contains("NULL pointer dereference") {
        headline.kind = Kind::NullPointerDereference;
    } else if rest.contains("execut") {
        headline.kind = Kind::NxExecute;
        headline.access = Some(Access::Exec);
    } else if rest.contains("kernel") && headline.address.is_some_and(|address| address.0 < 4096) {
        // powerpc and others print the address and leave it at that.
        headline.kind = Kind::NullPointerDereference;
    }
    if rest.contains(" on read ") || rest.contains(" on write ") || rest.contains("instruction fetch") {
        headline.access = access_word(rest);
    }
    let kernel = rest.contains("kernel")
        || rest.contains("page fault")
        || rest.contains("NULL pointer")
        || before.ends_with('K')
        || before.ends_with('k');
    kernel.then_some(headline)
}

/// The address in `… at 0000000000000008`, `… address: (null)`, `… virtual address 0000000000000010`.
fn fault_address(text: &str) -> Option<VirtAddr> {
    for label in ["address: ", "virtual address ", " address ", " at "] {
        let Some(rest) = scan::after(text, label) else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("(null)") || rest.starts_with("<null>") {
            return Some(VirtAddr(0));
        }
        if let Some((address, _)) = scan::leading_hex(rest)
            && rest.len() >= 4
        {
            return Some(VirtAddr(address));
        }
    }
    None
}

/// `general protection fault: 0000 [#1] SMP` and the other exceptions that the processor names.
pub fn exception(text: &str) -> Option<Headline> {
    const NAMES: [(&str, Kind, bool); 14] = [
        ("general protection fault", Kind::GeneralProtection, false),
        ("invalid opcode", Kind::InvalidOpcode, true),
        ("divide error", Kind::DivideError, false),
        ("double fault", Kind::DoubleFault, false),
        ("stack segment", Kind::GeneralProtection, false),
        ("segment not present", Kind::GeneralProtection, false),
        ("invalid TSS", Kind::GeneralProtection, false),
        ("int3", Kind::FatalException, false),
        ("alignment check", Kind::FatalException, false),
        ("illegal operation", Kind::InvalidOpcode, true),
        ("addressing exception", Kind::BadPageFault, false),
        ("specification exception", Kind::FatalException, false),
        ("monitor event", Kind::Bug, true),
        ("control protection", Kind::FatalException, false),
    ];
    let spelled = text.replace('_', " ");
    let bare = spelled.strip_prefix("Oops: ").unwrap_or(&spelled);
    let (name, kind, weak) = NAMES
        .iter()
        .find(|(name, ..)| at_start(bare, name).is_some() || (bare.contains(name) && bare.contains("[#")))?;
    let rest = scan::after(bare, name)?;
    // The error code or the kernel's explanation follows; a mere mention has neither.
    let (number, _) = rest.rsplit_once(" [#").unwrap_or((rest, ""));
    let code = number.rsplit(' ').next().and_then(scan::bare_hex);
    let named_an_oops = bare.len() < spelled.len() && (rest.is_empty() || rest.starts_with(" [#"));
    let told =
        rest.starts_with(": ") || rest.starts_with(", ") || rest == "," || rest.starts_with(':') && text.contains("[#");
    if !(told || named_an_oops) {
        return None;
    }
    // `traps: foo[12] general protection ip:… sp:…` is a program's, not the kernel's.
    if rest.contains(" ip:") {
        return None;
    }
    let mut headline = Headline::new(*kind, Die);
    headline.weak = *weak;
    headline.error_code = code.filter(|_| text.contains("[#"));
    headline.address = scan::after(rest, "non-canonical address ")
        .and_then(scan::leading_hex)
        .map(|(address, _)| VirtAddr(address));
    Some(headline)
}

/// `Oops: 0002 [#1] SMP`, `Internal error: Oops: 96000004 [#1] SMP`, and whatever else has the die counter.
pub fn oops(text: &str) -> Option<Headline> {
    let counter = scan::find(text, "[#")?;
    let digits = scan::leading_decimal(text.get(counter + 2..)?)?;
    if !digits.1.starts_with(']') || counter > 140 {
        return None;
    }
    let mut headline = Headline::new(Kind::Unknown, Die);
    headline.weak = true;
    if let Some(rest) = text.strip_prefix("Internal error: ") {
        headline.kind = if rest.contains("Oops - BUG") {
            Kind::Bug
        } else if rest.contains("ndefined instruction") {
            Kind::InvalidOpcode
        } else if rest.contains("external abort") || rest.contains("SError") {
            Kind::MachineCheck
        } else if rest.starts_with("Oops: ") || rest.contains("user space memory") {
            Kind::BadPageFault
        } else if rest.contains("stack overflow") {
            Kind::StackOverflow
        } else {
            Kind::FatalException
        };
        headline.error_code = rest
            .rsplit(": ")
            .next()
            .and_then(scan::leading_hex)
            .map(|(code, _)| code);
        return Some(headline);
    }
    if let Some(rest) = scan::after(text, "Oops: ") {
        match scan::leading_hex(rest) {
            // x86: four digits. s390 prints its own code with `ilc:`.
            Some((code, after)) if after.starts_with(" [#") => headline.error_code = Some(code),
            _ if rest.contains("access of bad area") => headline.kind = Kind::BadPageFault,
            _ if rest.contains("Machine check") => headline.kind = Kind::MachineCheck,
            _ if rest.contains("Exception in kernel mode") => headline.kind = Kind::FatalException,
            _ => {}
        }
        return Some(headline);
    }
    if text.contains("Oops") || text.contains("BUG") {
        if text.contains("BUG") {
            headline.kind = Kind::Bug;
        } else if text.contains("illegal instruction") {
            headline.kind = Kind::InvalidOpcode;
        } else if text.contains("access fault") {
            headline.kind = Kind::BadPageFault;
        }
        return Some(headline);
    }
    // `dividezero: 0000 [#1]`, `Unhandled kernel unaligned access[#1]:` and the like.
    let sound = text
        .get(..counter)?
        .trim_end()
        .ends_with(|c: char| c.is_ascii_hexdigit() || c.is_alphabetic());
    headline.kind = Kind::FatalException;
    sound.then_some(headline)
}
