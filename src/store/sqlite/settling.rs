//! New values that have to last before they ring.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::core::ids::{ItemKey, UnitName};
use crate::core::json::JsonText;
use crate::core::snapshot::{Fingerprint, RawHash, Settling};

use super::hash::RowHash;
use super::write::Group;

impl Group<'_> {
    /// Keeps a value, or takes it away.
    pub(super) fn set_settling(
        &mut self,
        source: i64,
        key: &ItemKey,
        value: Option<&Settling>,
    ) -> rusqlite::Result<()> {
        let Some(value) = value else {
            let sql = "DELETE FROM settling WHERE source = ?1 AND key = ?2";
            self.conn.prepare_cached(sql)?.execute(params![source, key.as_str()])?;
            return Ok(());
        };
        let sql = "INSERT OR REPLACE INTO settling (source, key, fingerprint, raw, polls, content, row_hash) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.conn.prepare_cached(sql)?.execute(params![
            source,
            key.as_str(),
            value.fingerprint.0,
            value.raw.0.cast_signed(),
            value.polls,
            value.data.as_str(),
            hash(source, key, value, self.seed),
        ])?;
        Ok(())
    }
}

/// All of a source or entry. A row that fails its hash is left out: the value is then seen for the first time again.
pub(super) fn read(
    conn: &Connection,
    unit: &UnitName,
    seed: u64,
) -> rusqlite::Result<HashMap<ItemKey, Settling>> {
    let sql = "SELECT source, key, fingerprint, raw, polls, content, row_hash FROM settling \
        WHERE source = (SELECT id FROM sources WHERE name = ?1)";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([unit.as_str()])?;
    let mut settling = HashMap::new();
    while let Some(columns) = rows.next()? {
        let key = ItemKey::new(columns.get::<_, String>(1)?);
        let value = Settling {
            fingerprint: Fingerprint(columns.get(2)?),
            raw: RawHash(columns.get::<_, i64>(3)?.cast_unsigned()),
            polls: columns.get(4)?,
            data: JsonText::trusted(columns.get::<_, String>(5)?),
        };
        if columns.get::<_, i64>(6)? == hash(columns.get(0)?, &key, &value, seed) {
            settling.insert(key, value);
        } else {
            tracing::error!(source = %unit, key = %key, "a value that settles fails its hash: left out");
        }
    }
    Ok(settling)
}

fn hash(source: i64, key: &ItemKey, value: &Settling, seed: u64) -> i64 {
    RowHash::new(seed)
        .number(source)
        .bytes(key.as_str().as_bytes())
        .bytes(&value.fingerprint.0)
        .number(value.raw.0.cast_signed())
        .number(i64::from(value.polls))
        .bytes(value.data.as_str().as_bytes())
        .finish()
}
