//! How many files the system lets this process have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::scan::Width;

/// Files that are open whatever is read: standard streams, the catalogue, results beside the rows, a folder.
const OTHERS: u64 = 32;
/// What one crash takes: its worker's three streams, the dump, what it is unpacked to, a log beside it.
const EACH: u64 = 6;

/// Asks for as many open files as may be had, and narrows `width` to what they suffice for. So many of it are left, if
/// they are fewer than were asked for.
pub fn fit(width: &mut Width) -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let current = match setrlimit(Resource::Nofile, most) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    narrow(width, current?)
}

/// As [`fit`], for so many files.
fn narrow(width: &mut Width, files: u64) -> Option<usize> {
    let most = usize::try_from(files.saturating_sub(OTHERS) / EACH)
        .unwrap_or(usize::MAX)
        .max(1);
    if width.threads() <= most {
        return None;
    }
    width.io_jobs = width.io_jobs.min(most);
    width.jobs = width.jobs.min(most);
    Some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_done_at_a_time_than_files_can_be_open() {
        let mut width = Width { jobs: 2, io_jobs: 32 };
        assert_eq!(narrow(&mut width, 1024), None);
        assert_eq!(width, Width { jobs: 2, io_jobs: 32 });
        assert_eq!(narrow(&mut width, 64), Some(5));
        assert_eq!(width, Width { jobs: 2, io_jobs: 5 });
        assert_eq!(narrow(&mut width, 0), Some(1));
        assert_eq!(width, Width { jobs: 1, io_jobs: 1 });
    }
}
