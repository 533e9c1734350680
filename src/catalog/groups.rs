//! Signatures, gathered into groups by how alike their stacks are.

use rusqlite::{Connection, params};

use crate::crash::PanicKind;
use crate::grouping::{self, ALIKE, Profile};

/// Puts all signatures into groups, if there is one that is in none. The earliest signature of a group names it.
pub(super) fn regroup(connection: &mut Connection) -> rusqlite::Result<()> {
    let new: i64 = connection.query_row("SELECT count(*) FROM signature WHERE grp IS NULL", [], |row| row.get(0))?;
    if new == 0 {
        return Ok(());
    }
    let profiles = {
        let mut select = connection.prepare("SELECT id, title, kind, stack FROM signature ORDER BY number")?;
        let rows = select.query_map([], |row| {
            let (kind, stack): (String, String) = (row.get(2)?, row.get(3)?);
            Ok(Profile {
                id: row.get(0)?,
                title: row.get(1)?,
                kind: PanicKind::from_word(&kind).unwrap_or(PanicKind::Unknown),
                stack: serde_json::from_str(&stack).unwrap_or_default(),
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<Profile>>>()?
    };
    let transaction = connection.transaction()?;
    {
        let mut update = transaction.prepare("UPDATE signature SET grp = ?2, similarity = ?3 WHERE id = ?1")?;
        for group in grouping::group(&profiles, ALIKE) {
            let first = group.members.first().and_then(|first| profiles.get(first.crash));
            for member in &group.members {
                if let (Some(first), Some(profile)) = (first, profiles.get(member.crash)) {
                    update.execute(params![profile.id, first.id, member.similarity])?;
                }
            }
        }
    }
    transaction.commit()
}
