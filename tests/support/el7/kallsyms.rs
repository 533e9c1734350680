//! kallsyms as kernels up to 4.5 have it: absolute addresses, words for the count and the markers.

use std::collections::BTreeMap;

/// The tables, one behind the other, as they lie in .rodata from `kallsyms_addresses` on.
pub fn encode(symbols: &BTreeMap<u64, Vec<(char, String)>>) -> Vec<u8> {
    let flat: Vec<(u64, String)> = symbols
        .iter()
        .flat_map(|(at, names)| names.iter().map(move |(kind, name)| (*at, format!("{kind}{name}"))))
        .collect();
    let mut bytes: Vec<u8> = flat.iter().flat_map(|(at, _)| at.to_le_bytes()).collect();
    bytes.extend((flat.len() as u64).to_le_bytes());
    let mut names = Vec::new();
    let mut markers: Vec<u64> = Vec::new();
    for (number, (_, name)) in flat.iter().enumerate() {
        if number % 256 == 0 {
            markers.push(names.len() as u64);
        }
        // Every printable character is a token of its own code.
        assert!(
            name.len() < 128 && name.bytes().all(|byte| byte.is_ascii_graphic()),
            "{name}"
        );
        names.push(name.len() as u8);
        names.extend(name.bytes());
    }
    bytes.extend(names);
    align(&mut bytes);
    bytes.extend(markers.into_iter().flat_map(u64::to_le_bytes));
    let mut index = Vec::new();
    let mut tokens = Vec::new();
    for code in 0..=255_u8 {
        index.extend((tokens.len() as u16).to_le_bytes());
        if code.is_ascii_graphic() {
            tokens.push(code);
        } else {
            // Tokens that no name here uses.
            tokens.extend([b'a' + code % 16, b'a' + code / 16]);
        }
        tokens.push(0);
    }
    bytes.extend(tokens);
    align(&mut bytes);
    bytes.extend(index);
    bytes
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}
