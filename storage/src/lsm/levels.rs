//! The levels of a store: packed windows and late rows of each length, and how far each is.
//!
//! ```text
//! open rows ──seal──► 10 s ──merge──► 1 min ──merge──► 10 min ──► …
//!                      ▲ late rows      ▲ late rows
//! ```
//!
//! What a window of a level holds is the sum of its packed parts and its late rows. A window is sealed
//! once, when nothing of it is open any more; a change that comes later is written as a late row of every
//! level that has sealed its window and holds it still. The levels that have not will merge it from the
//! finer one. So every level has the sum of all changes, whatever their order.

use std::path::Path;
use std::sync::Arc;

use fjall::Database;
use portolan_model::{Nanos, Window, WindowLen};

use super::buckets::{BucketMap, Buckets, Names};
use super::{LevelOptions, packs};
use crate::codec::{put_varint, take_varint};
use crate::history::up;
use crate::{Error, keys};

/// Seconds that a base window stays open after the line has forgotten its connections: metrics and
/// half-paired spans come half a minute behind the flows.
pub(super) const SEAL_LAG_SECS: u32 = 30;

/// How far a level is: kept in `meta`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) secs: u32,
    /// Windows before this one are packed.
    pub(super) sealed: Window,
    /// Windows before this one are past their retention.
    pub(super) expired: Window,
}

/// A level of a store that is open.
pub(super) struct LevelState {
    pub(super) len: WindowLen,
    /// 0 keeps for ever.
    pub(super) retention_secs: u32,
    /// Windows before this one go for want of room.
    pub(super) squeezed: Window,
    pub(super) sealed: Window,
    pub(super) expired: Window,
    pub(super) packs: Buckets,
    pub(super) late: Buckets,
}

/// A level, as readers see it.
#[derive(Clone)]
pub(super) struct LevelView {
    pub(super) len: WindowLen,
    pub(super) sealed: Window,
    pub(super) expired: Window,
    pub(super) packs: Arc<BucketMap>,
    pub(super) late: Arc<BucketMap>,
}

/// Windows of a span of packed windows: twelve hours of minutes.
const SPAN_WINDOWS: u32 = 720;

/// The shortest span of packed windows: a week of 10 s is 28 keyspaces.
const SPAN_SECS: u32 = 6 * 3_600;

/// Seconds of a span of packed windows.
pub(super) fn span_secs(secs: u32) -> u32 {
    SPAN_SECS.max(secs.saturating_mul(SPAN_WINDOWS))
}

pub(super) fn put_marks(out: &mut Vec<u8>, levels: &[LevelState]) {
    put_varint(out, levels.len() as u64);
    for level in levels {
        for number in [level.len.secs(), level.sealed.0, level.expired.0] {
            put_varint(out, u64::from(number));
        }
    }
}

pub(super) fn read_marks(mut bytes: &[u8]) -> Option<Vec<Mark>> {
    let at = &mut bytes;
    let len = take_varint(at)?;
    let number = |at: &mut &[u8]| u32::try_from(take_varint(at)?).ok();
    let mark = |at: &mut &[u8]| {
        let (secs, sealed, expired) = (number(at)?, number(at)?, number(at)?);
        Some(Mark { secs, sealed: Window(sealed), expired: Window(expired) })
    };
    (len <= 64).then_some(())?;
    let marks = (0..len).map(|_| mark(at)).collect::<Option<_>>()?;
    at.is_empty().then_some(marks)
}

// === impl Mark ===

impl Mark {
    /// Its level, of which nothing expires any more.
    pub(super) fn kept_for_ever(&self) -> LevelOptions {
        LevelOptions { secs: self.secs, retention_secs: 0 }
    }
}

// === impl LevelState ===

impl LevelState {
    /// The levels of a store: base windows, and those coarser ones whose lengths are multiples of the
    /// one before and divide a day.
    pub(super) fn load(
        db: &Database,
        path: &Path,
        base: WindowLen,
        options: &[LevelOptions],
        marks: &[Mark],
    ) -> Result<Vec<Self>, Error> {
        let mut wanted = vec![LevelOptions { secs: base.secs(), retention_secs: 0 }];
        for level in options {
            let finer = wanted[wanted.len() - 1].secs;
            if level.secs > finer && level.secs.is_multiple_of(finer) {
                wanted.push(*level);
            }
        }
        let mut levels: Vec<Self> = Vec::new();
        for LevelOptions { secs, retention_secs } in wanted {
            let Some(len) = WindowLen::try_new(secs) else { continue };
            let span_secs = span_secs(secs);
            let names = |kind: &str, kinds| Names {
                prefix: format!("{kind}-{secs}-"),
                span_secs,
                kinds,
                legacy: None,
            };
            let mark = marks.iter().find(|mark| mark.secs == secs);
            // A level that is new begins with the first window that the finer one has whole.
            let first = levels.last().map_or(Window(0), |finer| up(len, finer.expired));
            levels.push(Self {
                len,
                retention_secs,
                squeezed: Window(0),
                sealed: mark.map_or(first, |mark| mark.sealed),
                expired: mark.map_or(first, |mark| mark.expired),
                packs: Buckets::load(db, path, names("pack", &packs::KINDS))?,
                late: Buckets::load(db, path, names("late", &keys::KINDS))?,
            });
        }
        Ok(levels)
    }

    pub(super) fn view(&self) -> LevelView {
        LevelView {
            len: self.len,
            sealed: self.sealed,
            expired: self.expired,
            packs: self.packs.snapshot(),
            late: self.late.snapshot(),
        }
    }
}

// === impl LevelView ===

impl LevelView {
    /// Bytes on disk of its tables.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.packs.disk_bytes() + self.late.disk_bytes()
    }
}

/// The first window that a level keeps: whole windows leave, and only behind what was heard of.
pub(super) fn kept_from(len: WindowLen, retention_secs: u32, newest: Nanos) -> Window {
    if retention_secs == 0 {
        return Window(0);
    }
    len.window(newest.saturating_sub(u64::from(retention_secs) * 1_000_000_000))
}
