//! What edge rows and path rows have in common, so that one piece of code keeps both.

use std::hash::Hash;

use portolan_model::{EdgeDelta, EdgeKey, PathDelta, PathKey, Window};

use crate::codec::{Sums, put_sums, take_sums};
use crate::keys;

/// A row: a key that names a window, and sums.
pub(crate) trait Row: Clone + Send + Sync + 'static {
    /// Its key. The order of keys is the order on disk.
    type Key: Clone + Ord + Hash + Send + Sync + std::fmt::Debug;

    /// First byte of its keys on disk.
    const KIND: u8;

    fn key(&self) -> &Self::Key;
    fn sums(&self) -> Sums;
    fn new(key: Self::Key, sums: Sums) -> Self;
    fn window(key: &Self::Key) -> Window;
    /// The same key in another window.
    fn moved(key: &Self::Key, window: Window) -> Self::Key;
    fn put_key(out: &mut Vec<u8>, key: &Self::Key);
    fn read_key(bytes: &[u8]) -> Option<Self::Key>;
}

/// The value of a row.
pub(crate) fn put_value<R: Row>(out: &mut Vec<u8>, key: &R::Key, sums: &Sums) {
    put_sums(out, R::window(key), sums);
}

/// The row of a key and a value.
pub(crate) fn read_row<R: Row>(key: &[u8], mut value: &[u8]) -> Option<R> {
    let key = R::read_key(key)?;
    let sums = take_sums(&mut value, R::window(&key))?;
    value.is_empty().then(|| R::new(key, sums))
}

/// The rows sorted, one per key: as the line emits them, at the price of one look; sorted and
/// merged here if they are not.
pub(crate) fn tidy<R: Row>(rows: &[R]) -> std::borrow::Cow<'_, [R]> {
    if rows.is_sorted_by(|a, b| a.key() < b.key()) {
        return rows.into();
    }
    let mut sorted = rows.to_vec();
    sorted.sort_by(|a, b| a.key().cmp(b.key()));
    let mut merged: Vec<R> = Vec::with_capacity(sorted.len());
    for row in sorted {
        match merged.last_mut() {
            Some(last) if last.key() == row.key() => {
                let mut sums = last.sums();
                sums.merge(&row.sums());
                *last = R::new(row.key().clone(), sums);
            }
            _ => merged.push(row),
        }
    }
    merged.into()
}

// === impl Row ===

impl Row for EdgeDelta {
    type Key = EdgeKey;
    const KIND: u8 = keys::EDGE;

    fn key(&self) -> &EdgeKey {
        &self.key
    }

    fn sums(&self) -> Sums {
        Sums { counters: self.counters, first_ns: self.first_ns, last_ns: self.last_ns }
    }

    fn new(key: EdgeKey, sums: Sums) -> Self {
        Self { key, counters: sums.counters, first_ns: sums.first_ns, last_ns: sums.last_ns }
    }

    fn window(key: &EdgeKey) -> Window {
        key.window
    }

    fn moved(key: &EdgeKey, window: Window) -> EdgeKey {
        EdgeKey { window, ..*key }
    }

    fn put_key(out: &mut Vec<u8>, key: &EdgeKey) {
        keys::put_edge(out, key);
    }

    fn read_key(bytes: &[u8]) -> Option<EdgeKey> {
        keys::read_edge(bytes)
    }
}

impl Row for PathDelta {
    type Key = PathKey;
    const KIND: u8 = keys::PATH;

    fn key(&self) -> &PathKey {
        &self.key
    }

    fn sums(&self) -> Sums {
        Sums { counters: self.counters, first_ns: self.first_ns, last_ns: self.last_ns }
    }

    fn new(key: PathKey, sums: Sums) -> Self {
        Self { key, counters: sums.counters, first_ns: sums.first_ns, last_ns: sums.last_ns }
    }

    fn window(key: &PathKey) -> Window {
        key.window
    }

    fn moved(key: &PathKey, window: Window) -> PathKey {
        PathKey { window, ..key.clone() }
    }

    fn put_key(out: &mut Vec<u8>, key: &PathKey) {
        keys::put_path(out, key);
    }

    fn read_key(bytes: &[u8]) -> Option<PathKey> {
        keys::read_path(bytes)
    }
}
