//! Paths to members: `se.on_rq`, `mem[0].base`.

/// One step of a path: a member, and the elements picked of it when it is an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct Step<'a> {
    pub(in crate::kernel) name: &'a str,
    pub(in crate::kernel) indices: Vec<u64>,
}

/// The steps of `path`; `None` when it is not well formed.
pub(in crate::kernel) fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    path.split('.').map(step).collect()
}

fn step(text: &str) -> Option<Step<'_>> {
    let (name, mut rest) = match text.find('[') {
        Some(bracket) => text.split_at_checked(bracket)?,
        None => (text, ""),
    };
    let mut indices = Vec::new();
    while !rest.is_empty() {
        let (index, behind) = rest.strip_prefix('[')?.split_once(']')?;
        indices.push(index.parse().ok()?);
        rest = behind;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.bytes().all(plain)).then_some(Step { name, indices })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let step = |name, indices: &[u64]| Step {
            name,
            indices: indices.to_vec(),
        };
        assert_eq!(steps("mem[2].base"), Some(vec![step("mem", &[2]), step("base", &[])]));
        assert_eq!(steps("a[1][2]"), Some(vec![step("a", &[1, 2])]));
        for bad in ["", ".", "a.", "a[", "a[x]", "a]", "[1]", "a[1]b", "a b"] {
            assert_eq!(steps(bad), None, "{bad}");
        }
    }
}
