//! Source places and inlined functions for the frames of a report, from a debuginfo file.

use super::debug_files::Debug;
use crate::addr::VirtAddr;
use crate::crash::{CrashReport, Frame};
use crate::kernel::debuginfo::{Place, SourceLines};
use crate::kernel::symbols::Symbols;

/// Gives every frame of the kernel proper its source place, and puts the functions before it that were inlined there.
pub(super) fn complete(report: &mut CrashReport, debug: &Debug, symbols: &Symbols) {
    let Some(mut lines) = SourceLines::open(&debug.file) else {
        report.note_missing(
            "frames.source",
            format!("{} holds no DWARF, only symbols", debug.path.display()),
        );
        return;
    };
    let Some(slide) = debug.slide else {
        report.note_missing("frames.source", "how far the kernel was moved is not known");
        return;
    };
    let mut places = |frame: &Frame| {
        if frame.module.is_some() {
            return Vec::new();
        }
        match address(frame, symbols) {
            Some(address) => lines.places(address.wrapping_sub(slide)),
            None => Vec::new(),
        }
    };
    let stacks = report
        .cpus
        .iter_mut()
        .map(|cpu| &mut cpu.frames)
        .chain(report.blocked.iter_mut().map(|task| &mut task.frames))
        .chain(report.subject.iter_mut().map(|subject| &mut subject.frames))
        .chain([&mut report.frames]);
    for frames in stacks {
        *frames = std::mem::take(frames)
            .into_iter()
            .flat_map(|frame| {
                let places = places(&frame);
                expanded(frame, places)
            })
            .collect();
    }
    if let Some(fault) = &mut report.fault {
        let stopped = Frame {
            symbol: fault.symbol.clone(),
            offset: fault.offset,
            module: fault.module.clone(),
            address: fault.address,
            interrupted: true,
            ..Frame::default()
        };
        // The function that the fault's symbol names, not what was inlined into it.
        fault.source = places(&stopped).pop().and_then(|place| place.source);
    }
}

/// The byte that tells where `frame` is: the stopped instruction, or the last byte of the call.
fn address(frame: &Frame, symbols: &Symbols) -> Option<u64> {
    let told = frame.address.or_else(|| {
        // A log gives symbol and offset only. A name that several functions bear tells nothing.
        let found = symbols.all_by_name(frame.symbol.as_deref()?);
        match found.as_slice() {
            [VirtAddr(start)] => Some(VirtAddr(start.checked_add(frame.offset?)?)),
            _ => None,
        }
    })?;
    if frame.interrupted {
        Some(told.0)
    } else {
        told.0.checked_sub(1)
    }
}

/// `frame` with its place, behind those that were inlined into it. They are at the same address, and that it was
/// stopped there is said once: by the frame itself.
fn expanded(mut frame: Frame, mut places: Vec<Place>) -> Vec<Frame> {
    let own = places.pop();
    let mut frames: Vec<Frame> = places
        .into_iter()
        .filter(|place| place.function.is_some())
        .map(|place| Frame {
            symbol: place.function,
            module: frame.module.clone(),
            address: frame.address,
            machinery: frame.machinery,
            reliable: frame.reliable,
            inlined: true,
            source: place.source,
            ..Frame::default()
        })
        .collect();
    frame.source = own.and_then(|place| place.source).or(frame.source);
    frames.push(frame);
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inlined_functions_stand_before_the_frame_they_are_in() {
        let frame = Frame {
            symbol: Some("down_read_trylock".to_owned()),
            offset: Some(9),
            address: Some(VirtAddr(0x1009)),
            interrupted: true,
            ..Frame::default()
        };
        let place = |function: &str, source: &str| Place {
            function: Some(function.to_owned()),
            source: Some(source.to_owned()),
        };
        let places = vec![
            place("__down_read_trylock", "arch/x86/include/asm/rwsem.h:83"),
            place("down_read_trylock", "kernel/rwsem.c:34"),
        ];
        let frames = expanded(frame.clone(), places);
        assert_eq!(frames.len(), 2);
        assert!(frames[0].inlined && !frames[0].interrupted);
        assert_eq!(frames[0].symbol.as_deref(), Some("__down_read_trylock"));
        assert_eq!(frames[1].source.as_deref(), Some("kernel/rwsem.c:34"));
        assert_eq!(frames[1].offset, Some(9));
        assert_eq!(expanded(frame.clone(), Vec::new()), [frame]);
    }
}
