//! One line of a register dump → the dump of its event that it belongs to.
//!
//! It must not know the lines' forms, which [`registers`] reads, nor which dump is the failure's.

use crate::addr::VirtAddr;

use super::super::headline::Class;
use super::super::registers::{self, Place, Position, RegisterLine};
use super::super::scan;
use super::{Dump, Event, MAX_SECTIONS, Section};

impl Event {
    pub(super) fn feed_registers(&mut self, text: &str) -> bool {
        let Some(line) = registers::parse(text) else {
            return self.feed_last_cr2(text);
        };
        if line.position == Position::Echo {
            // The oops's last lines repeat the place: the only ones left where the start is cut off or left out.
            if self.sections.iter().any(|section| !section.dumps.is_empty()) {
                return true;
            }
        }
        let machine = line.machine;
        self.take_registers(line);
        self.machine = self.machine.or(machine);
        true
    }

    /// `CR2: 0000000000000008` alone at an oops's end. While a dump is read, its CR2 line has CR3 and CR4 as well.
    fn feed_last_cr2(&mut self, text: &str) -> bool {
        let Some(value) = text.strip_prefix("CR2: ").and_then(scan::bare_hex) else {
            return false;
        };
        self.last_cr2 = Some(value);
        true
    }

    fn take_registers(&mut self, line: RegisterLine) {
        let alone_cr2 = line.values.len() == 1 && line.values.first().is_some_and(|(name, _)| name == "cr2");
        if alone_cr2 {
            self.last_cr2 = line.values.first().map(|(_, value)| *value);
            return;
        }
        let gpr = self.gpr;
        if line.position == Position::Start && line.user != Some(true) {
            self.drop_strays();
        }
        let Some(section) = self.sections.last_mut() else {
            return;
        };
        if section.closed {
            return;
        }
        let frames = section.frames.len();
        // arm64's `pc :` line may come before or behind the line with the symbol.
        let begins = match line.position {
            Position::Start | Position::Echo => true,
            Position::Inside => section.dumps.is_empty(),
        };
        let same_dump = section.dumps.last().is_some_and(|dump| {
            begins && dump.registers.is_empty() && dump.place.is_none() && dump.before_frame.unwrap_or(frames) == frames
        });
        if begins && !same_dump && section.dumps.len() < MAX_SECTIONS {
            section.dumps.push(Dump {
                before_frame: (frames > 0 || section.labelled).then_some(frames),
                ..Dump::default()
            });
        }
        let Some(dump) = section.dumps.last_mut() else { return };
        dump.user = dump.user.or(line.user);
        if let Some(place) = line.place {
            match &mut dump.place {
                Some(known) if known.symbol.is_none() => {
                    *known = Place {
                        address: place.address.or(known.address),
                        ..place
                    };
                }
                Some(known) => known.address = known.address.or(place.address),
                None => dump.place = Some(place),
            }
        }
        dump.link = dump.link.take().or(line.link);
        let mut next = gpr;
        for (name, value) in line.values {
            let name = if name == "r+" {
                next += 1;
                format!("r{}", next - 1)
            } else {
                if let Some(number) = name.strip_prefix('r').and_then(|number| number.parse::<u64>().ok()) {
                    next = number + 1;
                }
                name
            };
            if name.len() <= 12 && dump.registers.len() < 128 {
                dump.registers.entry(name).or_insert(VirtAddr(value));
            }
        }
        self.gpr = next.min(64);
    }

    /// An oops prints its registers before its trace: frames that stood before both are somebody else's.
    fn drop_strays(&mut self) {
        let begun = |section: &Section| section.labelled || !section.dumps.is_empty();
        if self.headline.class != Class::Die || self.sections.iter().any(begun) {
            return;
        }
        for section in &mut self.sections {
            section.frames.clear();
            section.marks.clear();
            section.from = None;
        }
    }
}
