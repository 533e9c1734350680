//! A printed stack → the record's frames in their normal form.

use crate::crash::Frame;

use super::super::event::{Dump, Event, Section};
use super::super::registers::Place;
use super::super::trace::{self, Mark};

/// Whether a stack goes down to where the kernel was entered.
pub fn reaches_the_end(frames: &[Frame]) -> bool {
    frames.iter().any(trace::ends_a_stack)
}

/// The frames of a section in the record's normal form: the place that was stopped is a frame of its own, between the
/// machinery and its caller.
pub fn normal_form(mut frames: Vec<Frame>, section: &Section, head: Option<&Dump>, event: &Event) -> Vec<Frame> {
    // Where an exception or interrupt below stopped: from the outermost in, so that the numbers stay right.
    let mut inner_places = Vec::new();
    for dump in section.dumps.iter().rev().filter(|dump| dump.is_kernel()) {
        if let (Some(at), Some(place)) = (dump.before_frame, &dump.place)
            && at <= frames.len()
        {
            inner_places.push(place.clone());
            match frames.get_mut(at).filter(|frame| is_place(frame, place)) {
                Some(frame) => mark_interrupted(frame, place),
                None => frames.insert(at, interrupted(place)),
            }
        }
    }
    let Some(place) = head.and_then(|dump| dump.place.as_ref()) else {
        return frames;
    };
    if inner_places
        .iter()
        .any(|inner| inner.symbol == place.symbol && inner.offset == place.offset)
    {
        return frames;
    }
    // The first frame that is surely a caller: the place stands before it.
    let caller = frames
        .iter()
        .position(|frame| frame.reliable && !frame.machinery && !frame.inlined && !is_place(frame, place))
        .unwrap_or(frames.len());
    let leaves = section
        .marks
        .iter()
        .find(|(_, mark)| *mark == Mark::Leave)
        .map_or(caller, |(at, _)| at + 1);
    // Machines without such marks: the panic's own stack goes down to the place all the same.
    let unmarked = section.of_panic && section.marks.is_empty();
    let leaves = if unmarked { frames.len() } else { leaves };
    let reach = caller.max(if section.of_panic { leaves } else { 0 }).min(frames.len());
    let known = frames.iter().take(reach).rposition(|frame| is_place(frame, place));
    match known.and_then(|at| frames.get_mut(at)) {
        Some(frame) => mark_interrupted(frame, place),
        None => {
            let behind_machinery = frames
                .iter()
                .take(caller)
                .rposition(|frame| frame.machinery)
                .map_or(0, |at| at + 1);
            frames.insert(behind_machinery, interrupted(place));
        }
    }
    trust_true_caller(&mut frames, event);
    frames
}

/// Whether a frame is a place. ARM's innermost frame, and one copied without offsets, tells its function alone.
fn is_place(frame: &Frame, place: &Place) -> bool {
    let same_offset = frame.offset.is_none() || frame.offset == place.offset;
    frame.symbol.is_some() && frame.symbol == place.symbol && same_offset
}

fn mark_interrupted(frame: &mut Frame, place: &Place) {
    frame.offset = frame.offset.or(place.offset);
    frame.size = frame.size.or(place.size);
    frame.interrupted = true;
    frame.reliable = true;
}

pub fn interrupted(place: &Place) -> Frame {
    Frame {
        symbol: place.symbol.clone(),
        offset: place.offset,
        size: place.size,
        module: place.module.clone(),
        address: place.address,
        interrupted: true,
        ..Frame::default()
    }
}

/// A frame pointer unwinder that starts before the function has set up its frame misses the caller and prints it with a
/// `?`. Its return address is then the word at the stack pointer: the true caller after all.
fn trust_true_caller(frames: &mut [Frame], event: &Event) {
    let Some(&top) = event.stack_words.first() else { return };
    let Some(at) = frames.iter().position(|frame| frame.interrupted) else {
        return;
    };
    let offset = frames.get(at).and_then(|frame| frame.offset);
    if !offset.is_some_and(|offset| before_set_up(offset, event.code.as_deref())) {
        return;
    }
    if let Some(caller) = frames.get_mut(at + 1)
        && !caller.reliable
        && caller.address == Some(top)
    {
        caller.reliable = true;
    }
}

/// Whether a function had pushed nothing when it was `offset` bytes in: only entry padding lies before.
fn before_set_up(offset: u64, code: Option<&str>) -> bool {
    // endbr64 and the tracer's five bytes: no compiler sets up a frame in less.
    const ENTRY: u64 = 9;
    if offset > ENTRY {
        return false;
    }
    let Some(code) = code else { return offset <= 5 };
    // Any push (50 … 57) or `sub $…,%rsp` (48 83 ec, 48 81 ec) before the marked byte is a set-up.
    let words: Vec<&str> = code.split_ascii_whitespace().collect();
    let Some(marked) = words.iter().position(|word| word.starts_with('<')) else {
        return offset <= 5;
    };
    let Some(start) = marked.checked_sub(usize::try_from(offset).unwrap_or(usize::MAX)) else {
        return false;
    };
    let bytes: Option<Vec<u8>> = words
        .get(start..marked)
        .unwrap_or_default()
        .iter()
        .map(|word| u8::from_str_radix(word, 16).ok())
        .collect();
    bytes.is_some_and(|bytes| match bytes.as_slice() {
        [] => true,
        [0x66, 0x66, 0x66, 0x66, 0x90] | [0x0f, 0x1f, 0x44, 0x00, 0x00] | [0xe8, ..] if bytes.len() == 5 => true,
        [0xf3, 0x0f, 0x1e, 0xfa] => true,
        [0xf3, 0x0f, 0x1e, 0xfa, rest @ ..] => matches!(rest, [0x0f, 0x1f, 0x44, 0x00, 0x00] | [0xe8, _, _, _, _]),
        _ => false,
    })
}
