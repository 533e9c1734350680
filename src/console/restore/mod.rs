//! A text as a web page, a mail, a journal's export or a record store keeps it → the lines that the kernel printed, in
//! the order in which it did.
//!
//! Nearly every text is the kernel's own already, which is told by a few bytes that it does not hold. It must not know
//! what lines mean, only how others write them down; what stands before each of them is [`super::line`]'s business.

mod export;
mod markup;
mod order;

use std::borrow::Cow;

/// Pages, mails and exports are small; a log of this size is none.
const LARGEST: usize = 16 << 20;

/// The text as the kernel printed it. As it is, where nobody changed it.
pub fn restored(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() > LARGEST {
        return text;
    }
    let steps: [fn(&str) -> Option<String>; 5] = [
        export::messages,
        markup::without_soft_breaks,
        markup::without_tags,
        markup::with_plain_signs,
        order::oldest_first,
    ];
    steps.iter().fold(text, |text, step| match step(&text) {
        Some(changed) => Cow::Owned(changed),
        None => text,
    })
}
