//! The time: how long the machine was up, and what its wall clock showed at the last tick.
//!
//! `struct timekeeper` proves itself: the seconds of the wall clock, those since the boot and their difference stand
//! side by side. So types are only asked where that is not found (before 3.19, when it lacked the second of them).

use super::{Fact, Machine, Unknown, unreadable};
use crate::addr::VirtAddr;

/// More than any machine runs: 100 years in seconds.
const MAX_UPTIME: u64 = 100 * 366 * 86_400;
/// The years 2001 and 2242: a wall clock outside was never set or is damaged.
const MIN_WALL_CLOCK: u64 = 1_000_000_000;
const MAX_WALL_CLOCK: u64 = 1 << 33;
const NANOSECONDS: u64 = 1_000_000_000;

/// How far into the variable the seconds are looked for: the structure has less than 64 words, and less than 16 precede
/// it.
const WORDS: usize = 80;

/// The time at the last tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Seconds since 1970, UTC.
    pub wall_seconds: u64,
    /// Seconds since the boot, without those spent suspended: the time that the log's lines bear.
    pub uptime_seconds: f64,
}

impl Machine<'_> {
    /// Reads the core timekeeper.
    ///
    /// It is the variable `timekeeper` until 3.16; from 3.17 on it lies in the unnamed structure `tk_core` behind a
    /// sequence counter, and from 6.17 on in the first of `timekeeper_data`.
    pub fn clock(&self) -> Fact<Clock> {
        let at = self.symbol(&["tk_core", "timekeeper_data", "timekeeper"])?;
        let mut bytes = [0; WORDS * 8];
        self.memory
            .read(at, &mut bytes)
            .map_err(|source| unreadable("timekeeper", source))?;
        let words: Vec<u64> = bytes.chunks_exact(8).map(|word| self.memory.abi().uint(word)).collect();
        match Clock::find(&words) {
            Some(clock) => Ok(clock),
            None => self.clock_by_types(self.symbol(&["timekeeper"])?),
        }
    }

    fn clock_by_types(&self, timekeeper: VirtAddr) -> Fact<Clock> {
        let member = |path: &str| self.member(timekeeper, "timekeeper", path);
        let wall_seconds = member("xtime_sec")?;
        let (seconds, nanoseconds) = (
            member("wall_to_monotonic.tv_sec")?,
            member("wall_to_monotonic.tv_nsec")?,
        );
        Clock::checked(wall_seconds, wall_seconds.wrapping_add(seconds), nanoseconds)
            .ok_or_else(|| Unknown::Implausible("timekeeper".to_owned()))
    }
}

impl Clock {
    /// The words `xtime_sec`, `ktime_sec`, `wall_to_monotonic.tv_sec` and `.tv_nsec` among `words`.
    fn find(words: &[u64]) -> Option<Clock> {
        words.windows(4).find_map(|window| {
            let [wall, since_boot, difference, nanoseconds] = *window else {
                return None;
            };
            let sum = wall.wrapping_add(difference);
            let clock = Clock::checked(wall, sum, nanoseconds)?;
            // `ktime_sec` has the nanoseconds' carry in it.
            let is_sum = since_boot == sum || since_boot == sum.wrapping_add(1);
            is_sum.then(|| clock.with_part(words, sum.wrapping_mul(NANOSECONDS).wrapping_add(nanoseconds)))
        })
    }

    fn checked(wall_seconds: u64, since_boot: u64, nanoseconds: u64) -> Option<Clock> {
        let is_set = (MIN_WALL_CLOCK..MAX_WALL_CLOCK).contains(&wall_seconds);
        (is_set && since_boot < MAX_UPTIME && nanoseconds < NANOSECONDS).then(|| Clock {
            wall_seconds,
            uptime_seconds: since_boot as f64 + nanoseconds as f64 / NANOSECONDS as f64,
        })
    }

    /// Adds the part of the current second. It stands before the monotonic time's `base`, which is known to the
    /// nanosecond: `struct tk_read_base` {…, u32 mult, u32 shift, u64 xtime_nsec, ktime_t base, …}.
    fn with_part(self, words: &[u64], base: u64) -> Clock {
        let part = words.windows(3).find_map(|window| match *window {
            [scale, shifted, found] if found == base => shifted.checked_shr((scale >> 32) as u32),
            _ => None,
        });
        let part = part.filter(|part| *part < 2 * NANOSECONDS).unwrap_or(0);
        Clock {
            uptime_seconds: self.uptime_seconds + part as f64 / NANOSECONDS as f64,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A timekeeper as a 6.1 kernel had it, behind its sequence counter.
    fn words(wall: u64, boot: u64, nanoseconds: u64, part: u64) -> Vec<u64> {
        let difference = boot.wrapping_sub(wall);
        let carry = u64::from(nanoseconds + part >= NANOSECONDS);
        let base = boot * NANOSECONDS + nanoseconds;
        let read_base = [
            0xffff_ffff_8240_0000,
            u64::MAX,
            77,
            24 << 32 | 6_000_000,
            part << 24,
            base,
            0,
        ];
        let seconds = [wall, boot + carry, difference, nanoseconds];
        [&[0x1c4][..], &read_base, &read_base, &seconds, &[0; 8]].concat()
    }

    #[test]
    fn a_timekeeper_proves_itself() {
        let clock = Clock::find(&words(1_795_408_091, 11, 411_540_980, 292_000_000)).unwrap();
        assert_eq!(clock.wall_seconds, 1_795_408_091);
        assert!((clock.uptime_seconds - 11.703_540_98).abs() < 1e-6, "{clock:?}");
    }

    #[test]
    fn what_does_not_add_up_is_no_timekeeper() {
        let mut broken = words(1_795_408_091, 11, 0, 0);
        *broken.iter_mut().find(|word| **word == 11).unwrap() = 13;
        assert_eq!(Clock::find(&broken), None);
        assert_eq!(Clock::find(&[0; WORDS]), None);
        assert_eq!(Clock::find(&[]), None);
    }

    proptest! {
        #[test]
        fn any_time_is_found(wall in MIN_WALL_CLOCK..MAX_WALL_CLOCK, boot in 0..MAX_UPTIME, nano in 0..NANOSECONDS, part in 0..NANOSECONDS) {
            let clock = Clock::find(&words(wall, boot, nano, part)).unwrap();
            prop_assert_eq!(clock.wall_seconds, wall);
            let expected = boot as f64 + (nano + part) as f64 / 1e9;
            prop_assert!((clock.uptime_seconds - expected).abs() < 1e-3, "{} {}", clock.uptime_seconds, expected);
        }

        #[test]
        fn any_words_do_no_harm(words: Vec<u64>) {
            let _ = Clock::find(&words);
        }
    }
}
