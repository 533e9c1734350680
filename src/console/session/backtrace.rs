//! `bt` of the `crash` utility: frames, exception frames, and whose stack it is.

use crate::addr::VirtAddr;
use crate::crash::machinery::is_machinery;
use crate::crash::{Fault, FaultRole, Frame};

use super::super::registers::{self, Position};
use super::super::scan;
use super::code;

const MAX_FRAMES: usize = 2048;
const MAX_BACKTRACES: usize = 4096;

/// One stack, as `bt` prints it.
#[derive(Clone, Debug, Default)]
pub struct Backtrace {
    pub pid: Option<u64>,
    pub task: Option<VirtAddr>,
    pub cpu: Option<u64>,
    pub comm: Option<String>,
    pub frames: Vec<Frame>,
    /// The innermost kernel place that was stopped, with its registers.
    pub fault: Option<Fault>,
    /// The exception frame that is being read.
    dump: Option<Exception>,
    ended: bool,
}

/// An exception frame.
#[derive(Clone, Debug, Default)]
struct Exception {
    symbol: Option<String>,
    offset: Option<u64>,
    module: Option<String>,
    values: Vec<(String, u64)>,
    /// `[exception RIP: …]` stood before it: kernel mode.
    named: bool,
}

/// `PID: 269    TASK: ffff9c957bc3cf10  CPU: 22  COMMAND: "kswapd0"`
pub fn header(text: &str) -> Option<Backtrace> {
    if !(text.starts_with("PID: ") && text.contains("TASK: ") && text.contains("CPU: ")) {
        return None;
    }
    let comm = scan::after(text, "COMMAND: ").map(|comm| comm.trim().trim_matches('"').to_owned());
    Some(Backtrace {
        pid: scan::decimal_after(text, "PID: "),
        task: scan::after(text, "TASK: ")
            .and_then(scan::leading_hex)
            .map(|(address, _)| VirtAddr(address)),
        cpu: scan::decimal_after(text, "CPU: "),
        comm,
        ..Backtrace::default()
    })
}

/// ` #3 [ffff9c857ba3f860] oops_end+0x9f at ffffffff9c71d728 [module]`: the number and the frame.
pub fn frame(text: &str) -> Option<(u64, Frame)> {
    let (number, rest) = scan::leading_decimal(text.trim_start().strip_prefix('#')?)?;
    let (stack, rest) = scan::leading_hex(rest.trim_start().strip_prefix('[')?)?;
    let rest = rest.strip_prefix(']')?.trim_start();
    let (name, rest) = rest.split_once(" at ")?;
    let (address, rest) = scan::leading_hex(rest.trim_start())?;
    let (symbol, offset) = match scan::symbol_ref(name.trim()) {
        Some(symbol) => (symbol.symbol, symbol.offset),
        None => (name.trim(), None),
    };
    if !scan::is_symbol(symbol) {
        return None;
    }
    let module = scan::between(rest, "[", "]").filter(|module| scan::is_module(module));
    let frame = Frame {
        symbol: Some(symbol.to_owned()),
        offset,
        module: module.map(str::to_owned),
        address: Some(VirtAddr(address)),
        stack_address: Some(VirtAddr(stack)),
        machinery: is_machinery(symbol),
        ..Frame::default()
    };
    Some((number, frame))
}

/// Reads a line as part of a backtrace; false when it is none.
pub fn take(backtraces: &mut Vec<Backtrace>, text: &str) -> bool {
    if let Some(header) = header(text) {
        end_last(backtraces);
        if backtraces.len() < MAX_BACKTRACES {
            backtraces.push(header);
        }
        return true;
    }
    if let Some((number, frame)) = frame(text) {
        let anew = backtraces
            .last()
            .is_none_or(|last| last.ended || (number == 0 && !last.frames.is_empty()));
        if anew {
            end_last(backtraces);
            if backtraces.len() < MAX_BACKTRACES {
                backtraces.push(Backtrace::default());
            }
        }
        if let Some(last) = backtraces.last_mut() {
            last.close_exception(Some(&frame));
            let room = last.frames.len() < MAX_FRAMES;
            match last.frames.last_mut() {
                // Behind `--- <NMI exception stack> ---` the stopped place is printed as a frame too.
                Some(known) if known.interrupted && known.address == frame.address => {
                    known.stack_address = frame.stack_address;
                    known.offset = known.offset.or(frame.offset);
                    known.module = known.module.take().or(frame.module);
                }
                _ if room => last.frames.push(frame),
                _ => {}
            }
        }
        return true;
    }
    let Some(last) = backtraces.last_mut().filter(|last| !last.ended) else {
        // A pasted tail may begin with the exception frame.
        if text.starts_with("[exception RIP: ") {
            backtraces.push(Backtrace::default());
            return take(backtraces, text);
        }
        return false;
    };
    last.take_inside(text)
}

fn end_last(backtraces: &mut [Backtrace]) {
    if let Some(last) = backtraces.last_mut() {
        last.end();
    }
}

impl Backtrace {
    /// Nothing more belongs to it.
    pub fn end(&mut self) {
        self.close_exception(None);
        if !self.frames.is_empty() {
            self.ended = true;
        }
    }

    /// Whether this stack went through the panic code by itself: not a CPU that was stopped by the one that panicked.
    pub fn died(&self) -> bool {
        const DEATH: [&str; 8] = [
            "machine_kexec",
            "crash_kexec",
            "__crash_kexec",
            "panic",
            "oops_end",
            "die",
            "no_context",
            "nmi_panic",
        ];
        self.frames
            .iter()
            .any(|frame| frame.symbol.as_deref().is_some_and(|symbol| DEATH.contains(&symbol)))
    }

    /// A line between two frames.
    fn take_inside(&mut self, text: &str) -> bool {
        if let Some(place) =
            scan::between(text, "[exception RIP: ", "]").or_else(|| text.strip_prefix("[exception RIP: "))
        {
            self.close_exception(None);
            let place = place.trim_end_matches(']');
            let symbol = scan::symbol_ref(place);
            // At a function's first byte `crash` leaves the offset out.
            let bare = (symbol.is_none() && scan::is_symbol(place)).then_some(place);
            self.dump = Some(Exception {
                symbol: symbol.as_ref().map(|symbol| symbol.symbol).or(bare).map(str::to_owned),
                offset: symbol.as_ref().map_or(bare.map(|_| 0), |symbol| symbol.offset),
                // `[exception RIP: crashlab_spin+29]` has no module; some builds print it behind the bracket.
                module: None,
                values: Vec::new(),
                named: true,
            });
            return true;
        }
        if text.starts_with("--- <") {
            return true;
        }
        if let Some(line) = registers::parse(text) {
            if line.position == Position::Start && self.dump.as_ref().is_none_or(|dump| !dump.values.is_empty()) {
                self.close_exception(None);
                self.dump = Some(Exception::default());
            }
            if let Some(dump) = &mut self.dump
                && dump.values.len() < 64
            {
                dump.values.extend(line.values);
            }
            return true;
        }
        // `bt -l` prints the source line under its frame.
        if let Some(source) = code::source_line(text)
            && let Some(frame) = self.frames.last_mut()
        {
            frame.source.get_or_insert(source);
            return true;
        }
        false
    }

    /// The exception frame has ended: the place that it stopped becomes a frame of its own.
    fn close_exception(&mut self, next: Option<&Frame>) {
        let Some(dump) = self.dump.take() else { return };
        let value = |name: &str| {
            dump.values
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, value)| *value)
        };
        let user = value("cs").is_some_and(|cs| cs & 3 == 3);
        if user || (!dump.named && value("cs").is_none()) {
            return;
        }
        let address = value("rip").or_else(|| value("eip")).map(VirtAddr);
        let same_as_next = next.is_some_and(|next| next.address.is_some() && next.address == address);
        let module = dump
            .module
            .or_else(|| next.filter(|_| same_as_next).and_then(|next| next.module.clone()));
        if self.fault.is_none() {
            self.fault = Some(Fault {
                role: role_after(&self.frames),
                symbol: dump.symbol.clone(),
                offset: dump.offset,
                size: None,
                module: module.clone(),
                address,
                registers: dump
                    .values
                    .iter()
                    .map(|(name, value)| (name.clone(), VirtAddr(*value)))
                    .collect(),
                code: None,
                instruction: None,
                source: None,
                explanation: None,
            });
        }
        if self.frames.len() < MAX_FRAMES {
            self.frames.push(Frame {
                symbol: dump.symbol,
                offset: dump.offset,
                module,
                address,
                stack_address: value("rsp").or_else(|| value("esp")).map(VirtAddr),
                interrupted: true,
                ..Frame::default()
            });
        }
    }
}

/// What the frames above an exception frame say of it: an interrupt or NMI met the place, an exception was its own.
fn role_after(frames: &[Frame]) -> FaultRole {
    let interrupt = frames
        .last()
        .and_then(|frame| frame.symbol.as_deref())
        .is_some_and(|symbol| {
            symbol.contains("interrupt")
                || symbol.contains("sysvec")
                || symbol.contains("nmi")
                || symbol.contains("irq")
                || symbol == "ret_from_intr"
        });
    if interrupt {
        FaultRole::Interrupted
    } else {
        FaultRole::Faulted
    }
}
