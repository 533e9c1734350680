//! Tells a return address from a stale or chance word: the instruction before it must be a call.
//!
//! It reads a few bytes of the dumped kernel's text and knows no symbols.

use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;

/// What stands before an address in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// A direct call of this address.
    Call(VirtAddr),
    /// A call through a register or memory.
    IndirectCall,
    /// No call ends here.
    Other,
    /// The text there is not in the dump.
    Unreadable,
}

impl Before {
    /// Whether the address can be a return address as far as can be told.
    pub fn may_return(self) -> bool {
        self != Before::Other
    }

    /// Whether the address is known to follow a call.
    pub fn is_call(self) -> bool {
        matches!(self, Before::Call(_) | Before::IndirectCall)
    }
}

/// The longest call without prefixes: `ff /2` with a SIB byte and a 32-bit displacement.
const LONGEST: usize = 7;

/// What the instruction before `address` is.
pub fn before(memory: &KernelMemory, address: VirtAddr) -> Before {
    let mut bytes = [0; LONGEST];
    // At the start of a page whose predecessor is absent, fewer bytes may still decide; text is never that sparse.
    if memory
        .read(address.wrapping_offset(-(LONGEST as i64)), &mut bytes)
        .is_err()
    {
        return Before::Unreadable;
    }
    let [_, _, 0xe8, a, b, c, d] = bytes else {
        return if ends_in_indirect_call(&bytes) {
            Before::IndirectCall
        } else {
            Before::Other
        };
    };
    let displacement = i32::from_le_bytes([a, b, c, d]);
    Before::Call(address.wrapping_offset(i64::from(displacement)))
}

/// Whether the bytes end in `ff /2` of exactly the length that its ModRM byte calls for.
fn ends_in_indirect_call(bytes: &[u8; LONGEST]) -> bool {
    (2..=LONGEST).any(|length| {
        let Some(instruction) = bytes.get(LONGEST - length..) else {
            return false;
        };
        let &[0xff, modrm, ..] = instruction else { return false };
        let (mode, operation, rm) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
        let sib = instruction.get(2).copied();
        let extra = match (mode, rm) {
            (3, _) => 0,
            (0, 5) => 4,
            // A SIB byte whose base is 5 stands for a bare 32-bit displacement when the mode has none.
            (0, 4) => 1 + if sib.is_some_and(|sib| sib & 7 == 5) { 4 } else { 0 },
            (0, _) => 0,
            (1, 4) => 2,
            (1, _) => 1,
            (_, 4) => 5,
            (_, _) => 4,
        };
        operation == 2 && length == 2 + extra
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;

    fn after(code: &[u8]) -> Before {
        let mut bytes = vec![0x90; 16 - code.len()];
        bytes.extend(code);
        let memory = TestMemory::one(0x1000, bytes).reader();
        before(&memory, VirtAddr(0x1010))
    }

    #[test]
    fn a_direct_call_gives_its_target() {
        assert_eq!(after(&[0xe8, 0xf0, 0xff, 0xff, 0xff]), Before::Call(VirtAddr(0x1000)));
    }

    #[test]
    fn calls_through_registers_and_memory_are_seen() {
        for code in [
            &[0xff, 0xd0][..],                           // call *%rax
            &[0x41, 0xff, 0xd3],                         // call *%r11
            &[0xff, 0x53, 0x18],                         // call *0x18(%rbx)
            &[0xff, 0x14, 0x24],                         // call *(%rsp)
            &[0xff, 0x15, 0x10, 0x20, 0x30, 0x40],       // call *0x40302010(%rip)
            &[0xff, 0x54, 0x24, 0x08],                   // call *8(%rsp)
            &[0xff, 0x14, 0xc5, 0x00, 0x00, 0x10, 0x81], // call *table(,%rax,8)
            &[0xff, 0x94, 0x24, 0x00, 0x01, 0x00, 0x00], // call *0x100(%rsp)
        ] {
            assert_eq!(after(code), Before::IndirectCall, "{code:x?}");
        }
    }

    #[test]
    fn other_instructions_are_no_calls() {
        for code in [
            &[0x90, 0x90][..],
            &[0xff, 0xe0],       // jmp *%rax
            &[0xff, 0x75, 0x10], // push 0x10(%rbp)
            &[0xff, 0x54, 0x24], // a call cut short
            &[0xc3],
        ] {
            assert_eq!(after(code), Before::Other, "{code:x?}");
        }
        assert_eq!(
            before(&TestMemory::default().reader(), VirtAddr(0x1000)),
            Before::Unreadable
        );
    }
}
