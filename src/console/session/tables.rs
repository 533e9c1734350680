//! The tables that `crash` prints: the banner of `sys`, `set -p`, `kmem -i`, `mod`.

use crate::addr::VirtAddr;
use crate::crash::{Memory, Module};

use super::super::scan;

/// The banner's keys.
pub const KEYS: [&str; 18] = [
    "KERNEL",
    "DUMPFILE",
    "CPUS",
    "DATE",
    "UPTIME",
    "LOAD AVERAGE",
    "TASKS",
    "NODENAME",
    "RELEASE",
    "VERSION",
    "MACHINE",
    "MEMORY",
    "PANIC",
    "COMMAND",
    "TASK",
    "STATE",
    "PID",
    "CPU",
];

/// The value of a line that holds the key and nothing else before it.
pub fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.trim_start().strip_prefix(key)?.strip_prefix(':').map(str::trim)
}

/// The banner.
#[derive(Debug, Default)]
pub struct Sys<'a> {
    values: Vec<(&'static str, &'a str)>,
}

impl<'a> Sys<'a> {
    /// Reads a line as part of the banner; false when it is none.
    pub fn take(&mut self, text: &'a str) -> bool {
        let taint = text
            .strip_prefix("TAINTED_MASK: ")
            .map(|value| ("TAINTED_MASK", value.trim()));
        let found = taint.or_else(|| KEYS.iter().find_map(|key| value(text, key).map(|value| (*key, value))));
        let Some((key, value)) = found else { return false };
        // The first answer counts: later ones may be of another task that somebody looked at.
        if self.get(key).is_none() && !value.is_empty() {
            let value = if key == "COMMAND" {
                value.trim_matches('"')
            } else {
                value
            };
            self.values.push((key, value));
        }
        true
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.values
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| *value)
    }
}

/// The number that a value begins with.
pub fn leading_number(text: &str) -> Option<u64> {
    scan::leading_decimal(text).map(|(number, _)| number)
}

/// `48`, `48 [OFFLINE: 2]`: the CPUs that were online.
pub fn online_cpus(text: &str) -> Option<u64> {
    let (number, rest) = scan::leading_decimal(text)?;
    match scan::decimal_after(rest, "OFFLINE: ") {
        // panic() takes all others offline before it stops: they were online when the machine crashed.
        Some(offline) if offline + 1 == number => Some(number),
        Some(offline) => number.checked_sub(offline),
        None => Some(number),
    }
}

/// `127.7 GB` in bytes: as exact as `crash` printed it.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let scale: f64 = match unit.trim() {
        "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        "TB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    (0.0..1e9).contains(&number).then_some((number * scale) as u64)
}

/// `232 days, 05:23:55` in seconds.
pub fn uptime(text: &str) -> Option<f64> {
    let (days, clock) = match text.split_once("day") {
        Some((days, rest)) => (
            days.trim().parse::<u64>().ok()?,
            rest.trim_start_matches(['s', ',', ' ']),
        ),
        None => (0, text),
    };
    let mut parts = clock.trim().split(':');
    let mut part = || parts.next()?.parse::<u64>().ok();
    let (hours, minutes, seconds) = (part()?, part()?, part()?);
    let total = days.checked_mul(86_400)?.checked_add(hours.checked_mul(3600)?)?;
    Some(total.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)? as f64)
}

/// `11.84, 7.15, 3.51`
pub fn load_average(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text
        .split(',')
        .map(|number| number.trim().parse::<f64>().ok().filter(|number| number.is_finite()));
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// `Mon Jul 15 05:52:53 2019`, with a zone before the year in later versions of `crash`: seconds since 1970 as if the
/// zone were UTC, and the zone.
pub fn date(text: &str) -> Option<(u64, Option<&str>)> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (month, day, clock) = (*words.get(1)?, *words.get(2)?, *words.get(3)?);
    let year: u64 = words.last()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let zone = if words.len() > 5 { words.get(4).copied() } else { None };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let day: u64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let mut parts = clock
        .split(':')
        .map(|part| part.parse::<u64>().ok().filter(|part| *part < 61));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // Days since 1970-01-01 of a Gregorian date, the year taken to begin in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        (era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year).checked_sub(719_468)?;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second, zone))
}

/// `kmem -i`.
#[derive(Debug, Default)]
pub struct MemoryTable {
    reading: bool,
    rows: Vec<(&'static str, u64)>,
    page_size: Option<u64>,
}

impl MemoryTable {
    /// The command's output has ended.
    pub fn end(&mut self) {
        self.reading = false;
    }

    /// Reads a line as part of the table; false when it is none.
    pub fn take(&mut self, text: &str) -> bool {
        const ROWS: [&str; 14] = [
            "TOTAL MEM",
            "FREE",
            "USED",
            "SHARED",
            "BUFFERS",
            "CACHED",
            "SLAB",
            "TOTAL HUGE",
            "HUGE FREE",
            "TOTAL SWAP",
            "SWAP USED",
            "SWAP FREE",
            "COMMIT LIMIT",
            "COMMITTED",
        ];
        if text.starts_with("PAGES") && text.contains("TOTAL") && text.contains("PERCENTAGE") {
            self.reading = true;
            return true;
        }
        let Some((row, rest)) = ROWS.iter().find_map(|row| {
            let rest = text.strip_prefix(row)?;
            rest.starts_with(' ').then_some((*row, rest))
        }) else {
            return false;
        };
        let mut words = rest.split_ascii_whitespace();
        let Some(pages) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
            return false;
        };
        if !self.reading && row != "TOTAL MEM" && row != "COMMITTED" && row != "COMMIT LIMIT" {
            return false;
        }
        if row == "TOTAL MEM" && pages > 0 {
            let size = words.collect::<Vec<_>>();
            let total = size.get(..2).and_then(|size| bytes(&size.join(" ")));
            // The size is rounded, the page size is a power of two.
            self.page_size = total
                .map(|total| ((total as f64 / pages as f64).log2().round()).clamp(9.0, 20.0) as u32)
                .map(|shift| 1u64 << shift);
        }
        if self.get(row).is_none() {
            self.rows.push((row, pages));
        }
        true
    }

    fn get(&self, row: &str) -> Option<u64> {
        self.rows
            .iter()
            .find(|(known, _)| *known == row)
            .map(|(_, pages)| *pages)
    }

    /// The record's figures.
    pub fn memory(&self) -> Memory {
        Memory {
            total_pages: self.get("TOTAL MEM"),
            free_pages: self.get("FREE"),
            cached_pages: self.get("CACHED"),
            slab_pages: self.get("SLAB"),
            swap_total_pages: self.get("TOTAL SWAP"),
            swap_free_pages: self.get("SWAP FREE"),
            committed_pages: self.get("COMMITTED"),
            commit_limit_pages: self.get("COMMIT LIMIT"),
            page_size: self.page_size,
        }
    }
}

/// `mod`.
#[derive(Debug, Default)]
pub struct ModuleTable {
    /// What the columns behind the name are: whether the base comes before the size.
    reading: bool,
    pub modules: Vec<Module>,
}

impl ModuleTable {
    const MAX: usize = 8192;

    /// The command's output has ended.
    pub fn end(&mut self) {
        self.reading = false;
    }

    /// Reads a line as part of the table; false when it is none.
    pub fn take(&mut self, text: &str) -> bool {
        if text.starts_with("MODULE") && text.contains("NAME") && text.contains("SIZE") {
            self.reading = true;
            return true;
        }
        if !self.reading || self.modules.len() >= Self::MAX {
            return false;
        }
        let mut words = text.split_ascii_whitespace();
        let (Some(structure), Some(name)) = (
            words.next().filter(|word| word.len() >= 8).and_then(scan::bare_hex),
            words.next(),
        ) else {
            return false;
        };
        let _ = structure;
        if !scan::is_module(name) {
            return false;
        }
        // `BASE` (and later `TEXT_BASE`) are hex of full width, the size is decimal.
        let (mut base, mut size) = (None, None);
        for word in words.take(3) {
            if word.len() >= 8
                && base.is_none()
                && size.is_none()
                && word.bytes().any(|byte| byte.is_ascii_alphabetic())
            {
                base = scan::bare_hex(word);
            } else if size.is_none() {
                size = word.parse::<u64>().ok();
            }
        }
        self.modules.push(Module {
            name: name.replace('-', "_"),
            address: base.map(VirtAddr),
            size,
            ..Module::default()
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        assert_eq!(
            uptime("232 days, 05:23:55"),
            Some((232 * 86_400 + 5 * 3600 + 23 * 60 + 55) as f64)
        );
        assert_eq!(uptime("1 days, 00:00:01"), Some(86_401.0));
        assert_eq!(uptime("00:00:16"), Some(16.0));
        assert_eq!(bytes("127.7 GB"), Some((127.7 * 1024.0 * 1024.0 * 1024.0) as u64));
        assert_eq!(date("Mon Jul 15 05:52:53 2019"), Some((1_563_169_973, None)));
        assert_eq!(date("Mon Nov 23 04:30:54 UTC 2026"), Some((1_795_408_254, Some("UTC"))));
        assert_eq!(load_average("11.84, 7.15, 3.51"), Some([11.84, 7.15, 3.51]));
        assert_eq!(online_cpus("48 [OFFLINE: 2]"), Some(46));
        assert_eq!(online_cpus("2 [OFFLINE: 1]"), Some(2));
    }

    proptest::proptest! {
        #[test]
        fn any_figure_is_read(text in "\\PC{0,60}") {
            uptime(&text);
            bytes(&text);
            date(&text);
            load_average(&text);
            online_cpus(&text);
        }

        #[test]
        fn any_date_is_read(text in "Mon (Jan|Feb|Dec) [0-9]{1,3} [0-9:]{0,9} [0-9]{1,5}") {
            date(&text);
        }
    }
}
