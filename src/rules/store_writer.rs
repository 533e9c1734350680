//! Writes the shipped rules into the form that [`super::store`] reads: the build script's part.

use std::collections::BTreeMap;

use super::store::{FIELDS, Facets, Head, RULE, hash};

/// A store under construction.
#[derive(Debug, Default)]
pub struct Writer {
    /// The rules' texts.
    pub texts: String,
    /// What must be known of every rule, and names.
    pub heads: String,
    rules: Vec<u32>,
    names: BTreeMap<Name, Vec<u32>>,
    /// Of each rule the lists of which the stack must hold a name.
    further: Vec<Vec<Vec<Name>>>,
}

/// A name and its group.
pub type Name = (u8, String);

impl Writer {
    /// Adds a rule, whose file is `text` and says as JSON `json`; `names` are those of its predicates with their groups,
    /// `further` the lists of functions of which the stack must hold one each.
    pub fn add<'n>(
        &mut self,
        (text, json): (&str, &str),
        head: &Head<'_>,
        facets: &Facets<Vec<&str>>,
        names: impl Iterator<Item = (u8, &'n str)>,
        further: Vec<Vec<Name>>,
    ) {
        let number = (self.rules.len() / RULE) as u32;
        let fields: [&str; FIELDS] = [
            &*facets.kinds.join(" "),
            &facets.to_kinds.join(" "),
            head.file,
            head.id,
            head.status,
            head.replaced_by,
            &head.was.join(" "),
            &head.specializes.join(" "),
        ];
        for part in [text, json] {
            self.rules.extend([self.texts.len() as u32, part.len() as u32]);
            self.texts.push_str(part);
        }
        let bits = [facets.always, facets.general, facets.to_modules, facets.one_stack];
        let bits = bits.iter().rev().fold(0, |bits, bit| bits << 1 | u32::from(*bit));
        let flags = bits | u32::from(facets.required) << 8 | (facets.asks as u32) << 16;
        let start = self.heads.len() as u32;
        // Where its further lists start is known once all names are.
        self.rules
            .extend([head.digest as u32, (head.digest >> 32) as u32, flags, start, 0]);
        self.rules.extend(fields.map(|field| field.len() as u32));
        self.heads.extend(fields);
        for (group, name) in names {
            let rules = self.names.entry((group, name.to_owned())).or_default();
            if rules.last() != Some(&number) {
                rules.push(number);
            }
        }
        for name in further.iter().flatten() {
            self.names.entry(name.clone()).or_default();
        }
        self.further.push(further);
    }

    /// The tables, once all rules were added. The heads are whole only behind it.
    pub fn numbers(&mut self) -> Vec<u8> {
        let names = std::mem::take(&mut self.names);
        let (mut records, mut list) = (Vec::new(), Vec::new());
        for ((group, name), rules) in &names {
            records.extend([
                u32::from(*group),
                self.heads.len() as u32,
                name.len() as u32,
                list.len() as u32,
                rules.len() as u32,
            ]);
            self.heads.push_str(name);
            list.extend(rules);
        }
        let places: BTreeMap<&Name, u32> = names.keys().zip(0..).collect();
        for (rule, further) in self.rules.chunks_exact_mut(RULE).zip(&self.further) {
            if let Some(start) = rule.get_mut(8) {
                *start = list.len() as u32;
            }
            list.push(further.len() as u32);
            for names in further {
                list.push(names.len() as u32);
                list.extend(names.iter().filter_map(|name| places.get(name)));
            }
        }
        // Half of the slots stay free, so that most names are found at once.
        let mut table = vec![0; names.len() * 2];
        for ((group, name), place) in &places {
            let first = hash(*group, name) % table.len();
            let free = (first..table.len())
                .chain(0..first)
                .find(|slot| table.get(*slot) == Some(&0));
            if let Some(slot) = free.and_then(|slot| table.get_mut(slot)) {
                *slot = place + 1;
            }
        }
        let mut words = vec![(self.rules.len() / RULE) as u32, names.len() as u32, table.len() as u32];
        words.append(&mut self.rules);
        words.extend(records.into_iter().chain(table).chain(list));
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Store;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let heads = [
            Head {
                file: "builtin:a.yaml",
                id: "a-rule",
                status: "stable",
                was: vec!["old", "older"],
                digest: 0x0123_4567_89ab_cdef,
                ..Head::default()
            },
            Head {
                file: "builtin:b c.yaml",
                id: "b-rule",
                status: "test",
                replaced_by: "a-rule",
                specializes: vec!["a-rule"],
                ..Head::default()
            },
        ];
        let facets = |open, required, kinds| Facets {
            always: open,
            to_modules: !open,
            to_kinds: if open { vec!["oom"] } else { vec![] },
            general: !open,
            required,
            one_stack: open,
            asks: 3,
            kinds,
        };
        let mut writer = Writer::default();
        let names = [(1, "f"), (8, "said"), (1, "f")];
        writer.add(
            ("text a", "{a}"),
            &heads[0],
            &facets(true, 0, vec![]),
            names.into_iter(),
            Vec::new(),
        );
        let (both, names) = (vec!["bug", "warning"], [(1, "f"), (1, "e"), (2, "g")]);
        let further =
            [vec!["h"], vec!["g", "i"]].map(|names| names.into_iter().map(|name| (2, name.to_owned())).collect());
        let facets = facets(false, 3, both);
        writer.add(("text b", "{b}"), &heads[1], &facets, names.into_iter(), further.into());
        let numbers = writer.numbers();
        let store = Store {
            texts: &writer.texts,
            heads: &writer.heads,
            numbers: &numbers,
        };
        assert_eq!(store.len(), 2);
        assert_eq!((store.text(0), store.json(1)), ("text a", "{b}"));
        assert_eq!([store.head(0), store.head(1)], heads);
        let (a, b) = (store.facets(0), store.facets(1));
        assert_eq!(
            (a.always, a.to_modules, a.required, a.kinds.count()),
            (true, false, 0, 0)
        );
        assert_eq!((a.to_kinds.collect::<Vec<_>>(), b.to_kinds.count()), (vec!["oom"], 0));
        assert_eq!(
            (b.always, b.to_modules, b.required, b.kinds.collect::<Vec<_>>()),
            (false, true, 3, vec!["bug", "warning"])
        );
        assert_eq!((a.general, b.general, b.asks), (false, true, 3));
        assert_eq!((a.one_stack, b.one_stack), (true, false));
        let naming = |group, name| -> Vec<usize> {
            let place = store.place(group, name);
            place.into_iter().flat_map(|place| store.rules_of(place)).collect()
        };
        assert_eq!(naming(1, "f"), [0, 1]);
        assert_eq!(naming(1, "e"), [1]);
        assert_eq!(naming(2, "g"), [1]);
        assert_eq!(naming(2, "f"), [0; 0]);
        assert_eq!(naming(9, ""), [0; 0]);
        let names: Vec<_> = store.names(1).map(|(name, rules)| (name, rules.count())).collect();
        assert_eq!(names, [("e", 1), ("f", 2)]);
        assert_eq!(store.names(4).count(), 0);
        let place = |name| store.place(2, name).unwrap() as u32;
        assert_eq!(store.further(0).next(), Some(0));
        let further: Vec<u32> = store.further(1).take(6).collect();
        assert_eq!(further, [2, 1, place("h"), 2, place("g"), place("i")]);
        // Named by no rule's key.
        assert_eq!(naming(2, "h"), [0; 0]);
    }

    #[test]
    fn damage_is_no_panic() {
        for len in [0, 3, 8, 40] {
            let numbers = vec![0xff; len];
            let store = Store {
                texts: "x",
                heads: "y",
                numbers: &numbers,
            };
            assert_eq!((store.text(1), store.head(1).id), ("", ""));
        }
    }
}
