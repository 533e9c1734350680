//! One x86_64 instruction: its text as `crash` prints it, and the memory it touches, recomputed from registers.
//!
//! It knows the processor and nothing of the kernel.

use iced_x86::{
    Code, Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register, UsedMemory,
};

use crate::addr::VirtAddr;
use crate::crash::{Access, Registers};

/// An instruction, decoded.
pub struct Decoded {
    instruction: Instruction,
    /// AT&T syntax, as `crash`'s `dis` prints it but for its padding: `mov (%rdi),%rax`.
    pub text: String,
    /// The memory it touches, what stands in its text before what it touches besides (`push`'s stack).
    pub operands: Vec<Operand>,
}

/// What an instruction does with a piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It reads it.
    Read,
    /// It writes it.
    Write,
    /// It reads and writes it.
    Update,
    /// It reads the address from it that it then calls or jumps to.
    Target,
}

/// A piece of memory that an instruction touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// What for.
    pub usage: Use,
    /// How many bytes at once; 0: it varies.
    pub size: u64,
    /// The registers that the address is the sum of.
    pub terms: Vec<Term>,
    /// What is added to them.
    pub displacement: i64,
    /// `gs` or `fs`, whose base is added too.
    pub segment: Option<&'static str>,
    /// The address, when every part of it is known.
    pub address: Option<VirtAddr>,
    /// How many bytes from the address on it may touch: more than `size` under a `rep` prefix.
    pub reach: u64,
}

/// A register in an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Its name, as in the record.
    pub register: String,
    /// Its value, if recorded.
    pub value: Option<VirtAddr>,
    /// What it is multiplied by.
    pub scale: u64,
}

impl Operand {
    /// Whether an access at `address` can be this operand's.
    pub fn covers(&self, address: VirtAddr) -> bool {
        self.address
            .is_some_and(|start| address.0.wrapping_sub(start.0) < self.reach.max(1))
    }

    /// The access that a fault on it is.
    pub fn access(&self) -> Access {
        match self.usage {
            Use::Read | Use::Target => Access::Read,
            // The processor asks for write access at once.
            Use::Write | Use::Update => Access::Write,
        }
    }

    /// The address as a formula: `rax+rcx*8+0x10`.
    pub fn formula(&self) -> String {
        let mut text = match self.segment {
            Some(segment) => format!("{segment}:"),
            None => String::new(),
        };
        for (place, term) in self.terms.iter().enumerate() {
            if place > 0 {
                text.push('+');
            }
            text.push_str(&term.register);
            if term.scale != 1 {
                text.push_str(&format!("*{}", term.scale));
            }
        }
        match (self.displacement, self.terms.is_empty()) {
            (0, false) => {}
            (offset, true) => text.push_str(&format!("{offset:#x}")),
            (offset @ 1.., false) => text.push_str(&format!("+{offset:#x}")),
            (offset, false) => text.push_str(&format!("-{:#x}", offset.unsigned_abs())),
        }
        text
    }
}

impl Decoded {
    /// Decodes the instruction that `code` begins with. `None`: these bytes are none, or too few.
    pub fn new(code: &[u8], registers: &Registers) -> Option<Decoded> {
        let rip = registers.get("rip").map_or(0, |rip| rip.0);
        let instruction = Decoder::with_ip(64, code, rip, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            return None;
        }
        Some(Decoded {
            text: text_of(&instruction),
            operands: operands_of(&instruction, registers),
            instruction,
        })
    }

    /// Its mnemonic.
    pub fn mnemonic(&self) -> Mnemonic {
        self.instruction.mnemonic()
    }

    /// Whether it is a call or jump through a register or memory, or a return.
    pub fn is_indirect(&self) -> bool {
        use iced_x86::FlowControl::{IndirectBranch, IndirectCall, Return};
        matches!(self.instruction.flow_control(), IndirectBranch | IndirectCall | Return)
    }

    /// The register that it calls or jumps to, or divides by: its first operand, when that is a register.
    pub fn register_operand(&self, registers: &Registers) -> Option<(String, Option<u64>)> {
        (self.instruction.op0_kind() == OpKind::Register).then(|| {
            let register = self.instruction.op0_register();
            (name(register), value(register, registers))
        })
    }

    /// The alignment in bytes that its memory operand must have, when it must.
    pub fn alignment(&self) -> Option<u64> {
        let must = matches!(
            self.mnemonic(),
            Mnemonic::Movaps
                | Mnemonic::Movapd
                | Mnemonic::Movdqa
                | Mnemonic::Movntdq
                | Mnemonic::Movntps
                | Mnemonic::Vmovaps
                | Mnemonic::Vmovapd
                | Mnemonic::Vmovdqa
                | Mnemonic::Fxsave
                | Mnemonic::Fxrstor
                | Mnemonic::Fxsave64
                | Mnemonic::Fxrstor64
                | Mnemonic::Cmpxchg16b
        );
        let wide = matches!(
            self.mnemonic(),
            Mnemonic::Xsave
                | Mnemonic::Xsave64
                | Mnemonic::Xsaveopt
                | Mnemonic::Xsaveopt64
                | Mnemonic::Xsaves
                | Mnemonic::Xsaves64
                | Mnemonic::Xsavec
                | Mnemonic::Xsavec64
                | Mnemonic::Xrstor
                | Mnemonic::Xrstor64
                | Mnemonic::Xrstors
                | Mnemonic::Xrstors64
        );
        match (must, wide) {
            (true, _) => Some(self.operands.first().map_or(16, |operand| operand.size.clamp(16, 64))),
            (_, true) => Some(64),
            _ => None,
        }
    }
}

/// As binutils prints it, whose disassembler is `crash`'s.
fn text_of(instruction: &Instruction) -> String {
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_small_hex_numbers_in_decimal(false);
    options.set_branch_leading_zeros(false);
    options.set_rip_relative_addresses(true);
    let mut text = String::new();
    formatter.format(instruction, &mut text);
    text
}

fn operands_of(instruction: &Instruction, registers: &Registers) -> Vec<Operand> {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    let explicit = |memory: &UsedMemory| {
        (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory)
            && memory.base() == instruction.memory_base()
            && memory.index() == instruction.memory_index()
            && memory.displacement() == instruction.memory_displacement64()
    };
    let mut operands: Vec<(bool, Operand)> = info
        .used_memory()
        .iter()
        .filter_map(|memory| Some((!explicit(memory), operand_of(instruction, memory, registers)?)))
        .collect();
    operands.sort_by_key(|(is_implicit, _)| *is_implicit);
    operands.into_iter().map(|(_, operand)| operand).collect()
}

fn operand_of(instruction: &Instruction, memory: &UsedMemory, registers: &Registers) -> Option<Operand> {
    let usage = match memory.access() {
        OpAccess::None | OpAccess::NoMemAccess => return None,
        OpAccess::Read | OpAccess::CondRead => {
            if instruction.is_call_near_indirect() || instruction.is_jmp_near_indirect() {
                Use::Target
            } else {
                Use::Read
            }
        }
        OpAccess::Write | OpAccess::CondWrite => Use::Write,
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => Use::Update,
    };
    // The decoder has already added RIP in.
    let is_relative = matches!(memory.base(), Register::RIP | Register::EIP);
    let mut terms = Vec::new();
    for (register, scale) in [(memory.base(), 1), (memory.index(), u64::from(memory.scale()))] {
        if register != Register::None && !(is_relative && scale == 1 && register == memory.base()) {
            terms.push(Term {
                register: name(register),
                value: value(register, registers).map(VirtAddr),
                scale,
            });
        }
    }
    let segment = match memory.segment() {
        Register::GS => Some("gs"),
        Register::FS => Some("fs"),
        _ => None,
    };
    let segment_base = match segment {
        None => Some(0),
        Some(segment) => registers.get(&format!("{segment}_base")).map(|base| base.0),
    };
    let is_known = !is_relative || registers.contains_key("rip");
    let displacement = memory.displacement();
    let address = segment_base
        .filter(|_| is_known)
        .and_then(|base| {
            terms.iter().try_fold(base.wrapping_add(displacement), |sum, term| {
                Some(sum.wrapping_add(term.value?.0.wrapping_mul(term.scale)))
            })
        })
        .map(VirtAddr);
    // Under a repeat prefix the decoder calls the whole extent's size unknown.
    let size = match memory.memory_size().size() {
        0 if instruction.is_string_instruction() => instruction.memory_size().size() as u64,
        size => size as u64,
    };
    let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let count = match registers.get("rcx") {
        Some(count) if repeats && instruction.is_string_instruction() => count.0.max(1),
        _ => 1,
    };
    Some(Operand {
        usage,
        size,
        terms,
        displacement: displacement as i64,
        segment,
        address,
        reach: size.saturating_mul(count),
    })
}

/// The register's name in the record: that of all its 64 bits.
fn name(register: Register) -> String {
    format!("{:?}", register.full_register()).to_lowercase()
}

fn value(register: Register, registers: &Registers) -> Option<u64> {
    let whole = registers.get(&name(register))?.0;
    Some(match register.size() {
        // ah, bh, ch, dh
        1 if matches!(register, Register::AH | Register::BH | Register::CH | Register::DH) => whole >> 8 & 0xff,
        1 => whole & 0xff,
        2 => whole & 0xffff,
        4 => whole & 0xffff_ffff,
        _ => whole,
    })
}

/// Whether `code` begins with `ud2`, which `BUG()` and `WARN()` are made of.
pub fn is_ud2(decoded: &Decoded) -> bool {
    decoded.instruction.code() == Code::Ud2
}
