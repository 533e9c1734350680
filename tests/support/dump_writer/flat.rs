//! The flattened form around any other file.

/// How the stream is cut into records.
#[derive(Clone, Copy, Debug)]
pub struct Flat {
    /// Bytes in a record.
    pub record: usize,
    /// Write the second half before the first, and the first record once more at the end, after a wrong one: as
    /// programs do that fill in their header last.
    pub disorder: bool,
    /// Records of nothing but zeros are left out.
    pub skip_zeros: bool,
    pub end_mark: bool,
}

impl Default for Flat {
    fn default() -> Self {
        Self {
            record: 5000,
            disorder: false,
            skip_zeros: false,
            end_mark: true,
        }
    }
}

/// Flattens `plain`.
pub fn write(plain: &[u8], options: &Flat) -> Vec<u8> {
    let mut file = b"makedumpfile\0\0\0\0".to_vec();
    file.extend(1i64.to_be_bytes());
    file.extend(1i64.to_be_bytes());
    file.resize(4096, 0);
    let mut record = |offset: usize, bytes: &[u8]| {
        file.extend((offset as i64).to_be_bytes());
        file.extend((bytes.len() as i64).to_be_bytes());
        file.extend(bytes);
    };
    let mut records: Vec<(usize, &[u8])> = plain
        .chunks(options.record)
        .enumerate()
        .map(|(index, bytes)| (index * options.record, bytes))
        .collect();
    if options.disorder {
        let first = plain.len().min(options.record);
        let wrong: Vec<u8> = plain[..first].iter().map(|byte| byte ^ 0x5a).collect();
        record(0, &wrong);
        let middle = records.len() / 2;
        records.rotate_left(middle);
        records.push((0, &plain[..first]));
    }
    for (offset, bytes) in records {
        if !options.skip_zeros || bytes.iter().any(|byte| *byte != 0) || offset + bytes.len() == plain.len() {
            record(offset, bytes);
        }
    }
    if options.end_mark {
        file.extend([0xff; 16]);
    }
    file
}
