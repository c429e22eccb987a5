//! Opening: every check that the store is what it should be, before anything is read or written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use portolan_model::WindowLen;

use super::buckets::{Buckets, Names};
use super::holes::{self, Why};
use super::late::LateParts;
use super::ledger::{Gap, META, Touched};
use super::levels::{LevelState, Mark, read_marks};
use super::mend;
use super::{Entities, FORMAT, FjallStore, Options, Shared, View, fault, synced};
use crate::cache::RowCache;
use crate::records::{
    AGENTS, CATALOGUE, ENTITY, FORMAT as FORMAT_KEY, HEAD, Head, LEARNED, LOSS, MARKS, POSITION,
    TALLY, read_agents, read_catalogue, read_entity, read_entity_key, read_head, read_learned,
    read_loss, read_position, read_tally,
};
use crate::{CatalogueRows, Checkpoint, Error};

/// Bytes of new rows of `meta` held in memory: it is written every epoch and read at start only.
const META_MEMTABLE: u64 = 4 << 20;

/// A file of the engine that every store has.
const MARKER: &str = "version";

/// What `meta` holds.
struct Contents {
    head: Head,
    checkpoint: Checkpoint,
    entities: Entities,
    catalogue: CatalogueRows,
}

// === impl FjallStore ===

impl FjallStore {
    /// Opens the store in a directory, or makes one there.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], [`Error::NewerFormat`], [`Error::WindowLength`], [`Error::Damaged`],
    /// [`Error::Full`], or [`Error::Io`].
    pub fn open(path: &Path, len: WindowLen, options: &Options) -> Result<Self, Error> {
        Self::open_as(path, Some(len), options)
    }

    /// Opens a store that is there with the windows and the levels that it has; nothing of it expires.
    /// For tools that were told a directory and no configuration.
    ///
    /// # Errors
    ///
    /// Those of [`Self::open`], and [`Error::Absent`].
    pub fn open_stored(path: &Path, options: &Options) -> Result<Self, Error> {
        if !path.join(MARKER).try_exists().map_err(|e| fault::io(path, &e))? {
            return Err(Error::Absent { path: path.display().to_string() });
        }
        Self::open_as(path, None, options)
    }

    fn open_as(path: &Path, len: Option<WindowLen>, options: &Options) -> Result<Self, Error> {
        let shown = || path.display().to_string();
        match std::fs::read_to_string(path.join(fault::MARK)) {
            Ok(detail) => return Err(Error::Damaged { path: shown(), detail }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(fault::io(path, &e)),
        }
        // The engine trusts some of what it reads so much that it panics.
        let open = || {
            mend::mend(path, options)?;
            Self::open_trusting(path, len, options)
        };
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "no reason given".into());
            Err(Error::Damaged { path: shown(), detail: format!("opening panicked: {text}") })
        })
    }

    fn open_trusting(
        path: &Path,
        len: Option<WindowLen>,
        options: &Options,
    ) -> Result<Self, Error> {
        let engine = |e: fjall::Error| fault::translate(path, &e);
        let db = Database::builder(path)
            .cache_size(options.block_cache_bytes)
            .max_journaling_size(options.journal_bytes.max(64 << 20))
            // One flushes while one compacts; more would only take cores from the line.
            .worker_threads(2)
            .open()
            .map_err(engine)?;
        let create = || KeyspaceCreateOptions::default().max_memtable_size(META_MEMTABLE);
        let meta = db.keyspace(META, create).map_err(engine)?;
        let as_stored = len.is_none();
        let len = check_format(path, &db, &meta, len)?;

        let snapshot = db.snapshot();
        let contents = read_contents(path, &snapshot, &meta)?;
        let Contents { head, checkpoint, entities, catalogue } = contents;
        let catalogue = Arc::new(catalogue);
        let damaged = |detail| Error::Damaged { path: path.display().to_string(), detail };
        let synced = synced::read(path).map_err(|e| fault::io(path, &e))?;
        if synced > head.epoch {
            return Err(damaged(format!(
                "it ends at epoch {}, but {synced} was on the disk",
                head.epoch
            )));
        }
        let marks = read_level_marks(path, &snapshot, &meta)?;
        let mut open = Buckets::load(&db, path, Names::open())?;
        let stored: Vec<_> = marks.iter().skip(1).map(Mark::kept_for_ever).collect();
        let wanted = if as_stored { &stored } else { &options.levels };
        let mut levels = LevelState::load(&db, path, len, wanted, &marks)?;
        let first = levels[0].sealed.max(head.expired);
        open.expire(first);
        open.drop_doomed(&db, first).map_err(engine)?;
        for level in &mut levels {
            let first = level.expired;
            for buckets in [&mut level.packs, &mut level.late] {
                buckets.expire(first);
                buckets.drop_doomed(&db, first).map_err(engine)?;
            }
        }
        let all =
            levels.iter().flat_map(|level| level.packs.keyspaces().chain(level.late.keyspaces()));
        let all = open.keyspaces().chain(all);
        let touched =
            check_ledger(path, &snapshot, &db, &meta, all, &head).map_err(|gap| match gap {
                Gap::Engine(e) => engine(e),
                Gap::Epochs(detail) => damaged(detail),
            })?;

        let holes = Arc::new(holes::load(&snapshot, &meta).map_err(engine)?);
        let apart = holes.iter().filter(|(_, why)| **why == Why::Apart).map(|(hole, _)| *hole);
        let apart: std::collections::BTreeSet<_> = apart.collect();
        if !apart.is_empty() {
            tracing::warn!(store = %path.display(), windows = apart.len(), "windows are set apart, as they did not read");
        }
        let checkpoint = Arc::new(checkpoint);
        let view = View {
            snapshot,
            open: open.snapshot(),
            levels: levels.iter().map(LevelState::view).collect(),
            holes: holes.clone(),
            catalogue: catalogue.clone(),
            checkpoint: checkpoint.clone(),
        };
        let shared = Shared {
            db,
            meta,
            path: path.to_owned(),
            len,
            memtable_bytes: options.memtable_bytes,
            view: ArcSwap::from_pointee(view),
            entities,
            faults: std::sync::Mutex::new(apart),
        };
        Ok(Self {
            shared: Arc::new(shared),
            open,
            levels,
            edges: RowCache::new(options.cached_rows),
            paths: RowCache::new(options.cached_rows),
            calls: RowCache::new(options.cached_rows),
            max_bytes: options.max_bytes,
            late_parts: LateParts::new(options.late_rows),
            holes,
            catalogue,
            touched,
            checkpoint,
            next_loss: head.next_loss,
            written: head.written,
        })
    }
}

/// Reads the stamp of the store, or puts one on a new store. The length of its windows comes back.
fn check_format(
    path: &Path,
    db: &Database,
    meta: &Keyspace,
    len: Option<WindowLen>,
) -> Result<WindowLen, Error> {
    let engine = |e: fjall::Error| fault::translate(path, &e);
    let shown = || path.display().to_string();
    let Some(stamp) = meta.get([FORMAT_KEY]).map_err(engine)? else {
        if meta.first_key_value().is_some() || db.keyspace_count() > 1 {
            let detail = "the format stamp is missing".into();
            return Err(Error::Damaged { path: shown(), detail });
        }
        let len = len.unwrap_or(WindowLen::BASE);
        put_stamp(meta, len).map_err(engine)?;
        db.persist(PersistMode::SyncAll).map_err(engine)?;
        return Ok(len);
    };
    let number = |at: usize| Some(u32::from_be_bytes(*stamp.get(at..)?.first_chunk()?));
    let unreadable =
        || Error::Damaged { path: shown(), detail: "the format stamp does not read".into() };
    // A newer format may say more behind the number, in a way that only it knows.
    let found = number(0).ok_or_else(unreadable)?;
    if found > FORMAT {
        return Err(Error::NewerFormat { path: shown(), found, known: FORMAT });
    }
    let secs = number(4).filter(|_| stamp.len() == 8).ok_or_else(unreadable)?;
    let stored = WindowLen::try_new(secs).ok_or_else(unreadable)?;
    if let Some(len) = len.filter(|len| *len != stored) {
        return Err(Error::WindowLength { path: shown(), found: secs, wanted: len.secs() });
    }
    if found < FORMAT {
        // What it holds reads as it is; what this version adds, a version before would not see.
        put_stamp(meta, stored).map_err(engine)?;
        db.persist(PersistMode::SyncAll).map_err(engine)?;
    }
    Ok(stored)
}

fn put_stamp(meta: &Keyspace, len: WindowLen) -> fjall::Result<()> {
    let mut stamp = FORMAT.to_be_bytes().to_vec();
    stamp.extend_from_slice(&len.secs().to_be_bytes());
    meta.insert([FORMAT_KEY], stamp)
}

fn read_contents(path: &Path, snapshot: &Snapshot, meta: &Keyspace) -> Result<Contents, Error> {
    let engine = |e: fjall::Error| fault::translate(path, &e);
    let unreadable = |what: &str| Error::Damaged {
        path: path.display().to_string(),
        detail: format!("{what} does not read"),
    };
    let head = match snapshot.get(meta, [HEAD]).map_err(engine)? {
        Some(bytes) => read_head(&bytes).ok_or_else(|| unreadable("the checkpoint"))?,
        None => Head::default(),
    };
    let mut checkpoint = Checkpoint {
        epoch: head.epoch,
        clock: head.clock,
        watermark: head.watermark,
        folded: head.folded,
        expired: head.expired,
        ..Checkpoint::default()
    };
    let entities = Entities::default();
    for guard in snapshot.range(meta, [POSITION]..[LOSS + 1]) {
        let (key, value) = guard.into_inner().map_err(engine)?;
        match key[0] {
            POSITION => checkpoint
                .positions
                .push(read_position(&value).ok_or_else(|| unreadable("a position"))?),
            TALLY => {
                checkpoint.tallies.push(read_tally(&value).ok_or_else(|| unreadable("a tally"))?);
            }
            _ => checkpoint.losses.push(read_loss(&value).ok_or_else(|| unreadable("a loss"))?),
        }
    }
    if let Some(agents) = snapshot.get(meta, [AGENTS]).map_err(engine)? {
        let agents = read_agents(&agents).ok_or_else(|| unreadable("the agents"))?;
        checkpoint.agents = agents.into();
    }
    if let Some(ports) = snapshot.get(meta, [LEARNED]).map_err(engine)? {
        let ports = read_learned(&ports).ok_or_else(|| unreadable("the learned ports"))?;
        checkpoint.learned = ports.into();
    }
    // The order of keys differs from that of values for very long names only.
    checkpoint.positions.sort_by(|a, b| a.partition.cmp(&b.partition));
    checkpoint.tallies.sort();
    for guard in snapshot.prefix(meta, [ENTITY]) {
        let (key, value) = guard.into_inner().map_err(engine)?;
        let read = read_entity_key(&key).zip(read_entity(&value));
        let (id, entity) = read.ok_or_else(|| unreadable("an entity"))?;
        entities.insert(id, Arc::new(entity));
    }
    let mut catalogue = CatalogueRows::new();
    for guard in snapshot.prefix(meta, [CATALOGUE]) {
        let value = guard.value().map_err(engine)?;
        let row = read_catalogue(&value).ok_or_else(|| unreadable("a row of the catalogue"))?;
        catalogue.insert(row.key(), Arc::new(row));
    }
    Ok(Contents { head, checkpoint, entities, catalogue })
}

fn read_level_marks(path: &Path, snapshot: &Snapshot, meta: &Keyspace) -> Result<Vec<Mark>, Error> {
    let marks = snapshot.get(meta, [MARKS]).map_err(|e| fault::translate(path, &e))?;
    let Some(marks) = marks else { return Ok(Vec::new()) };
    let unreadable = || Error::Damaged {
        path: path.display().to_string(),
        detail: "the marks of the levels do not read".into(),
    };
    read_marks(&marks).ok_or_else(unreadable)
}

/// Checks every chain of the ledger.
fn check_ledger<'a>(
    path: &Path,
    snapshot: &Snapshot,
    db: &Database,
    meta: &Keyspace,
    keyspaces: impl Iterator<Item = &'a Keyspace>,
    head: &Head,
) -> Result<Touched, Gap> {
    let touched = Touched::load(snapshot, meta)?;
    touched.check(snapshot, META, meta, head.written)?;
    for keyspace in keyspaces {
        match touched.check(snapshot, keyspace.name(), keyspace, head.written) {
            // A table with a broken block, of windows that are packed: they are in tables, which do not roll back, and
            // all else of them can be served.
            Err(Gap::Engine(e)) if is_packed(keyspace.name()) && fault::is_damage(path, &e) => {
                let name = keyspace.name();
                tracing::error!(store = %path.display(), %name, error = ?e, "the ledger of packed windows does not read");
            }
            checked => checked?,
        }
    }
    for name in touched.names() {
        if !db.keyspace_exists(name) {
            return Err(Gap::Epochs(format!("keyspace {name} is missing")));
        }
    }
    if touched.last(META) != head.written {
        return Err(Gap::Epochs(format!("the checkpoint is not that of write {}", head.written)));
    }
    Ok(touched)
}

fn is_packed(keyspace: &str) -> bool {
    keyspace.starts_with("pack-") || keyspace.starts_with("late-")
}
