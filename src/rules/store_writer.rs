//! Writes the shipped rules into the form that [`super::store`] reads: the build script's part.

use std::collections::BTreeMap;

use super::store::{FIELDS, Facets, Head, RULE};

/// A store under construction.
#[derive(Debug, Default)]
pub struct Writer {
    /// The rules' texts.
    pub texts: String,
    /// What must be known of every rule, and names.
    pub heads: String,
    rules: Vec<u32>,
    names: BTreeMap<(u8, String), Vec<u32>>,
}

impl Writer {
    /// Adds a rule, whose file is `text` and says as JSON `json`; `names` are those of its predicates with their groups.
    pub fn add<'n>(
        &mut self,
        (text, json): (&str, &str),
        head: &Head<'_>,
        facets: &Facets<Vec<&str>>,
        names: impl Iterator<Item = (u8, &'n str)>,
    ) {
        let number = (self.rules.len() / RULE) as u32;
        let fields: [&str; FIELDS] = [
            &*facets.kinds.join(" "),
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
        let flags = u32::from(facets.open) | u32::from(facets.required) << 8;
        let start = self.heads.len() as u32;
        self.rules
            .extend([head.digest as u32, (head.digest >> 32) as u32, flags, start]);
        self.rules.extend(fields.map(|field| field.len() as u32));
        self.heads.extend(fields);
        for (group, name) in names {
            let rules = self.names.entry((group, name.to_owned())).or_default();
            if rules.last() != Some(&number) {
                rules.push(number);
            }
        }
    }

    /// The tables, once all rules were added. The heads are whole only behind it.
    pub fn numbers(&mut self) -> Vec<u8> {
        let mut words = vec![(self.rules.len() / RULE) as u32, self.names.len() as u32];
        words.append(&mut self.rules);
        let mut list = Vec::new();
        for ((group, name), rules) in std::mem::take(&mut self.names) {
            words.extend([
                u32::from(group),
                self.heads.len() as u32,
                name.len() as u32,
                list.len() as u32,
                rules.len() as u32,
            ]);
            self.heads.push_str(&name);
            list.extend(rules);
        }
        words.extend(list);
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
        let facets = |open, required, kinds| Facets { open, required, kinds };
        let mut writer = Writer::default();
        let names = [(1, "f"), (8, "said"), (1, "f")];
        writer.add(
            ("text a", "{a}"),
            &heads[0],
            &facets(true, 0, vec![]),
            names.into_iter(),
        );
        let (both, names) = (vec!["bug", "warning"], [(1, "f"), (1, "e"), (2, "g")]);
        writer.add(("text b", "{b}"), &heads[1], &facets(false, 3, both), names.into_iter());
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
        assert_eq!((a.open, a.required, a.kinds.count()), (true, 0, 0));
        assert_eq!(
            (b.open, b.required, b.kinds.collect::<Vec<_>>()),
            (false, 3, vec!["bug", "warning"])
        );
        let naming = |group, name| store.naming(group, name).collect::<Vec<_>>();
        assert_eq!(naming(1, "f"), [0, 1]);
        assert_eq!(naming(1, "e"), [1]);
        assert_eq!(naming(2, "g"), [1]);
        assert_eq!(naming(2, "f"), [0; 0]);
        assert_eq!(naming(9, ""), [0; 0]);
        let names: Vec<_> = store.names(1).map(|(name, rules)| (name, rules.count())).collect();
        assert_eq!(names, [("e", 1), ("f", 2)]);
        assert_eq!(store.names(4).count(), 0);
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
