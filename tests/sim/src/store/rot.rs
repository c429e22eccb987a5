//! Bits that flip in packed windows, below their checksums and above those of the engine: what a broken controller, or a
//! broken engine, gives back.

use std::path::Path;

use fjall::{Database, KeyspaceCreateOptions, PersistMode, Result};

use crate::dice::Dice;

/// First bytes of the keys of parts: heads, slices, reverse indices (`docs/FORMAT.md`).
const PARTS: std::ops::RangeInclusive<u8> = 0x10..=0x3f;

/// Flips a bit of one part of a store that nobody has open. Says which, if there is any.
pub(super) fn flip(store: &Path, dice: &mut Dice) -> Result<Option<String>> {
    let db = Database::builder(store).open()?;
    let mut names: Vec<String> = db.list_keyspace_names().iter().map(ToString::to_string).collect();
    names.retain(|name| name.starts_with("pack-"));
    names.sort_unstable();
    let mut parts = Vec::new();
    for name in &names {
        let keyspace = db.keyspace(name, KeyspaceCreateOptions::default)?;
        for guard in keyspace.iter() {
            let key = guard.key()?;
            if key.first().is_some_and(|first| PARTS.contains(first)) {
                parts.push((name, key));
            }
        }
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let (name, key) = dice.pick(&parts);
    let keyspace = db.keyspace(name, KeyspaceCreateOptions::default)?;
    let Some(value) = keyspace.get(key)? else { return Ok(None) };
    let mut value = value.to_vec();
    let at = dice.below(value.len() as u64) as usize;
    value[at] ^= 1 << dice.below(8);
    keyspace.insert(key.clone(), value)?;
    db.persist(PersistMode::Buffer)?;
    Ok(Some(format!("byte {at} of {key:02x?} in {name}")))
}
