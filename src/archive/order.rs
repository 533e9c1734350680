//! The order of inputs: by name alone, so that the shares of an archive can be put together again.
//!
//! It must not ask the disk: whoever merges rows has only their names.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Compares names as a walk comes to them: folder by folder, depth first. `!` comes before every other character, so that
/// the members of an archive (`x.tar!member`) stand where it stands, and not behind `x.tar (copy)`.
pub fn by_name(one: &Path, other: &Path) -> Ordering {
    match behind_shared_folder(one, other) {
        Some((one, other)) => by_component(one, other),
        None => by_component(one, other),
    }
}

/// What follows the last `/` that the two have in common, most often a single name each; unless what follows would mean
/// something else without what it follows.
fn behind_shared_folder<'a>(one: &'a Path, other: &'a Path) -> Option<(&'a Path, &'a Path)> {
    let (one, other) = (one.as_os_str().as_bytes(), other.as_os_str().as_bytes());
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let start = memchr::memrchr(b'/', one.get(..same)?)? + 1;
    let rest = |bytes: &'a [u8]| {
        let rest = bytes.get(start..)?;
        (!rest.starts_with(b"/") && !rest.starts_with(b".")).then(|| Path::new(OsStr::from_bytes(rest)))
    };
    Some((rest(one)?, rest(other)?))
}

fn by_component(one: &Path, other: &Path) -> Ordering {
    let mut others = other.components();
    for component in one.components() {
        let Some(against) = others.next() else {
            return Ordering::Greater;
        };
        if component != against {
            // Only what is a name has an order of its own: `/`, `.` and `..` keep theirs, before names.
            return match (component, against) {
                (std::path::Component::Normal(one), std::path::Component::Normal(other)) => {
                    let (one, other) = (one.as_encoded_bytes(), other.as_encoded_bytes());
                    one.iter().map(weight).cmp(other.iter().map(weight))
                }
                _ => component.cmp(&against),
            };
        }
    }
    match others.next() {
        Some(_) => Ordering::Less,
        None => Ordering::Equal,
    }
}

fn weight(byte: &u8) -> u16 {
    match byte {
        b'!' => 0,
        other => u16::from(*other) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_stand_where_their_archive_does() {
        let sorted = [
            "/a",
            "a/im",
            "a/im!p/x.tar!c/vmcore",
            "a/im p",
            "a/x.tar",
            "a/x.tar!c/vmcore",
            "a/x.tar!d",
            "a/x.tar (copy)!c/vmcore",
            "a/x.tar#",
            "a/x.tar.gz!c/vmcore",
            "a.txt",
        ];
        assert!(
            sorted
                .windows(2)
                .all(|pair| by_name(Path::new(pair[0]), Path::new(pair[1])).is_lt())
        );
        assert_eq!(by_name(Path::new("a//b/"), Path::new("a/b")), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn a_shared_folder_changes_nothing(shared in "[a!/.]{0,5}", one in "[a!/. ]{0,5}", other in "[a!/. ]{0,5}") {
            let (one, other) = (shared.clone() + &one, shared + &other);
            let (one, other) = (Path::new(&one), Path::new(&other));
            prop_assert_eq!(by_name(one, other), by_component(one, other));
        }

        /// Folders stay whole: what is below one sorts against others as the folder itself does.
        #[test]
        fn a_folder_stays_whole(folder in "[a!/. ]{1,6}", below in "[a!]{1,3}", other in "[a!/. ]{1,6}") {
            let (folder, other) = (Path::new(&folder), Path::new(&other));
            let order = by_name(folder, other);
            prop_assert_eq!(order, by_name(other, folder).reverse());
            if order.is_ne() && !other.starts_with(folder) {
                prop_assert_eq!(by_name(&folder.join(&below), other), order);
            }
        }
    }
}
