//! The store of a simulated process, and what becomes of its files when the process or the machine
//! dies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use portolan_model::{
    CallDelta, EdgeDelta, EpochCommit, Nanos, OwnerRecord, PathDelta, TimeRange, Window, WindowLen,
};
use portolan_pipeline::{LineConfig, Restored, is_named_by_spans, stranger, unjudged};
use portolan_storage::{
    Checkpoint, CommitEpoch, Error, FjallStore, LevelOptions, MemoryStore, OnDamage, Options, Plan,
    ReadStore, Select, Span, good_copy, open_or_recover,
};

use crate::dice::Dice;
use crate::oracle::{untimed, untimed_call};
use crate::scenario::Disk;

mod rot;

/// See the module.
pub(crate) struct Store {
    len: WindowLen,
    engine: Engine,
    /// Epochs and, on disk, how long the journal was after each.
    marks: Vec<(u64, u64)>,
    /// The last epoch that was handed to the disk.
    synced: u64,
}

/// What a level holds of a window, where it says that it lacks nothing of it.
pub(crate) struct Held {
    pub(crate) edges: Option<Vec<EdgeDelta>>,
    pub(crate) calls: Option<Vec<CallDelta>>,
}

enum Engine {
    /// The store, and every commit in it.
    Memory(MemoryStore, Vec<EpochCommit>),
    Disk {
        folder: tempfile::TempDir,
        open: Option<Box<FjallStore>>,
    },
}

// === impl Store ===

impl Store {
    pub(crate) fn new(disk: Disk, len: WindowLen) -> Result<Self, Error> {
        let engine = match disk {
            Disk::Memory => Engine::Memory(MemoryStore::new(len), Vec::new()),
            Disk::Fjall => {
                // Memory, where there is a disk made of it: what is tested is not the disk.
                let shm = Path::new("/dev/shm");
                let folder =
                    if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
                let folder = folder.map_err(|e| Error::Io(Box::new(e)))?;
                Engine::Disk { folder, open: None }
            }
        };
        let mut store = Self { len, engine, marks: Vec::new(), synced: 0 };
        store.open()?;
        Ok(store)
    }

    fn path(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("store")
    }

    /// Opens it, as a process does that starts. Says whether it had to be recovered.
    pub(crate) fn open(&mut self) -> Result<bool, Error> {
        let Engine::Disk { folder, open } = &mut self.engine else { return Ok(false) };
        if open.is_some() {
            return Ok(false);
        }
        let options = options(self.len);
        let (store, recovery) =
            open_or_recover(&Self::path(folder), self.len, &options, OnDamage::Recover, 1)?;
        *open = Some(Box::new(store));
        let epoch = self.read().checkpoint()?.epoch;
        self.marks.retain(|(e, _)| *e <= epoch);
        self.synced = self.synced.min(epoch);
        Ok(recovery.is_some())
    }

    pub(crate) fn read(&self) -> Box<dyn ReadStore + '_> {
        match &self.engine {
            Engine::Memory(store, _) => Box::new(store.clone()),
            Engine::Disk { open, .. } => {
                let store = open.as_ref().expect("a process that runs has its store open");
                Box::new(store.fjall_reader())
            }
        }
    }

    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, Error> {
        self.read().checkpoint()
    }

    pub(crate) fn owners(&self) -> Result<Vec<OwnerRecord>, Error> {
        let mut owners = Vec::new();
        self.read().owners(&mut |owner| owners.push(owner))?;
        Ok(owners)
    }

    /// What a line that goes on is told, but for owners.
    pub(crate) fn restored(
        &self,
        line: &LineConfig,
        checkpoint: &Checkpoint,
    ) -> Result<Restored, Error> {
        let store = self.read();
        let mut restored = Restored {
            folded: checkpoint.folded,
            agents: checkpoint.agents.to_vec(),
            learned: checkpoint.learned.to_vec(),
            watermark: checkpoint.watermark,
            ..Restored::default()
        };
        store.entities(&mut |_, entity| {
            restored.strangers.extend(stranger(entity));
            if is_named_by_spans(entity.kind) {
                restored.named.push((**entity).clone());
            }
        });
        store.health(&mut |row| restored.health.push(*row))?;
        store.traces(&mut |row| restored.traces.push(row.clone()))?;
        let range = TimeRange { from: unjudged(line, checkpoint.watermark), to: Nanos::MAX };
        store.calls(range, &mut |row| restored.calls.push(row.clone()))?;
        Ok(restored)
    }

    pub(crate) fn edges(&self) -> Result<Vec<EdgeDelta>, Error> {
        let mut rows = Vec::new();
        self.read().edges(TimeRange::ALL, &mut |row| rows.push(*row))?;
        Ok(rows)
    }

    pub(crate) fn paths(&self) -> Result<Vec<PathDelta>, Error> {
        let mut rows = Vec::new();
        self.read().paths(TimeRange::ALL, &mut |row| rows.push(row.clone()))?;
        Ok(rows)
    }

    pub(crate) fn calls(&self) -> Result<Vec<CallDelta>, Error> {
        let mut rows = Vec::new();
        self.read().calls(TimeRange::ALL, &mut |row| rows.push(row.clone()))?;
        Ok(rows)
    }

    /// What is sealed of each level above the base windows: their length, first and end.
    pub(crate) fn levels(&self) -> Vec<(WindowLen, Window, Window)> {
        let store = self.read();
        let levels = store.history().levels();
        levels.iter().skip(1).map(|level| (level.len, level.first, level.sealed)).collect()
    }

    /// The edges and the calls of one window of a level, as that level alone says; nothing if it says that it lacks
    /// something of one.
    pub(crate) fn window(&self, len: WindowLen, window: Window) -> Result<Held, Error> {
        let range = TimeRange { from: window.start(), to: window.end(len) };
        let plan = Plan { spans: vec![Span { len, range }] };
        let (mut edges, mut calls) = (Vec::new(), Vec::new());
        let store = self.read();
        let history = store.history();
        let select = Select::default();
        let answer = history.edges(&plan, &select, &mut |row| edges.push(untimed(row)))?;
        let edges = answer.is_whole().then_some(edges);
        let answer = history.calls(&plan, &select, &mut |row| calls.push(untimed_call(row)))?;
        let calls = answer.is_whole().then_some(calls);
        Ok(Held { edges, calls })
    }

    /// The base windows that answers about edges, about paths and about calls name as unreadable.
    pub(crate) fn unreadable(&self) -> Result<[BTreeSet<Window>; 3], Error> {
        let (store, len) = (self.read(), self.len);
        let history = store.history();
        let Some(range) = history.extent()? else { return Ok(Default::default()) };
        // Ends of windows, also where the last one has none.
        let range = TimeRange { from: len.window(range.from).start(), ..range };
        let plan = Plan { spans: vec![Span { len, range }] };
        let select = Select::default();
        let windows = |ranges: Vec<TimeRange>| -> BTreeSet<Window> {
            let each = |range: TimeRange| {
                std::iter::successors(Some(len.window(range.from)), move |at| Some(at.next(len)))
                    .take_while(move |at| at.start() < range.to)
            };
            ranges.into_iter().flat_map(each).collect()
        };
        let edges = history.edges(&plan, &select, &mut |_| {})?.unreadable;
        let paths = history.paths(&plan, &select, &mut |_| {})?.unreadable;
        let calls = history.calls(&plan, &select, &mut |_| {})?.unreadable;
        Ok([windows(edges), windows(paths), windows(calls)])
    }

    pub(crate) fn commit(&mut self, commit: &EpochCommit) -> Result<(), Error> {
        match &mut self.engine {
            Engine::Memory(store, all) => {
                store.commit(commit)?;
                all.push(commit.clone());
            }
            Engine::Disk { open, .. } => {
                open.as_mut().expect("it is open").commit(commit)?;
            }
        }
        let length = self.journal_length();
        self.marks.push((commit.epoch, length));
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        if let Engine::Disk { open: Some(store), .. } = &mut self.engine {
            store.sync()?;
        }
        self.synced = self.marks.last().map_or(self.synced, |(epoch, _)| *epoch);
        Ok(())
    }

    /// Keeps a copy that a damaged store goes on from.
    pub(crate) fn copy(&mut self) -> Result<(), Error> {
        if let Engine::Disk { folder, open: Some(store) } = &mut self.engine {
            let to = good_copy(&Self::path(folder));
            store.copy_to(&to)?;
        }
        Ok(())
    }

    /// The process is gone, and its files are as the operating system has them.
    pub(crate) fn kill(&mut self) {
        if let Engine::Disk { open, .. } = &mut self.engine {
            *open = None;
        }
    }

    /// The machine is gone: of what was not synced, any beginning may be left, and the write in
    /// hand may be torn. The store may come back at any epoch from the synced one to the last.
    pub(crate) fn lose_power(&mut self, dice: &mut Dice) -> Result<(), Error> {
        self.kill();
        let unsynced = self.marks.iter().filter(|(epoch, _)| *epoch > self.synced).count();
        match &mut self.engine {
            Engine::Memory(store, all) => {
                let lost = dice.below(unsynced as u64 + 1) as usize;
                all.truncate(all.len() - lost);
                let mut anew = MemoryStore::new(self.len);
                for commit in &*all {
                    anew.commit(commit)?;
                }
                *store = anew;
                let last = all.last().map_or(0, |c| c.epoch);
                self.marks.retain(|(epoch, _)| *epoch <= last);
            }
            Engine::Disk { folder, .. } => {
                let before = self.marks.len() - unsynced;
                let safe = before.checked_sub(1).map(|at| self.marks[at].1);
                if let (Some(safe), Some((_, last))) = (safe, self.marks.last()) {
                    let cut = dice.between(safe, (*last).max(safe));
                    tear(&Self::path(folder), cut).map_err(|e| Error::Io(Box::new(e)))?;
                }
            }
        }
        Ok(())
    }

    /// A bit flips somewhere in what was written to the journal. Says whether it did.
    pub(crate) fn damage(&mut self, dice: &mut Dice) -> Result<bool, Error> {
        self.kill();
        let Engine::Disk { folder, .. } = &self.engine else { return Ok(false) };
        let Some((_, last)) = self.marks.last() else { return Ok(false) };
        let path = Self::path(folder);
        let at = dice.below((*last).max(1));
        flip(&path, at, 1 << dice.below(8)).map_err(|e| Error::Io(Box::new(e)))
    }

    /// A bit flips somewhere in what is packed. Says where, if anything is.
    pub(crate) fn rot(&mut self, dice: &mut Dice) -> Result<Option<String>, Error> {
        self.kill();
        let Engine::Disk { folder, .. } = &self.engine else { return Ok(None) };
        let path = Self::path(folder);
        let found = rot::flip(&path, dice).map_err(|e| Error::Io(Box::new(e)))?;
        // Whatever was written before is on the disk, in whichever journal.
        let length = used(&path, 0).unwrap_or(0);
        for mark in &mut self.marks {
            mark.1 = length;
        }
        self.synced = self.marks.last().map_or(self.synced, |(epoch, _)| *epoch);
        Ok(found)
    }

    fn journal_length(&self) -> u64 {
        let Engine::Disk { folder, .. } = &self.engine else { return 0 };
        let from = self.marks.last().map_or(0, |(_, length)| *length);
        used(&Self::path(folder), from).unwrap_or(0)
    }
}

/// Levels of six and of thirty base windows: some of both are sealed in a run of minutes.
fn options(base: WindowLen) -> Options {
    let level = |by: u32| LevelOptions { secs: base.secs() * by, retention_secs: 0 };
    Options { levels: vec![level(6), level(30)], late_rows: 2, ..Options::small() }
}

/// The one journal of a small store. Its room is allocated ahead, and is zero where nothing is.
fn journal(store: &Path) -> std::io::Result<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(store)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "jnl") {
            found.push(path);
        }
    }
    found.sort();
    found.pop().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
}

/// Bytes of the journal that are in use; at least `from` are.
fn used(store: &Path, from: u64) -> std::io::Result<u64> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(journal(store)?)?;
    let mut end = from;
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = file.read_at(&mut chunk, end)?;
        match chunk[..read].iter().rposition(|b| *b != 0) {
            Some(at) => end += at as u64 + 1,
            None => return Ok(end),
        }
    }
}

/// What lies behind `at` never reached the disk.
fn tear(store: &Path, at: u64) -> std::io::Result<()> {
    let path = journal(store)?;
    let length = std::fs::metadata(&path)?.len();
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(at)?;
    file.set_len(length)
}

fn flip(store: &Path, at: u64, bit: u8) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let path = journal(store)?;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    // The marks may be those of a journal that is not the newest any more.
    if at >= file.metadata()?.len() {
        return Ok(false);
    }
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= bit;
    file.write_all_at(&byte, at)?;
    Ok(true)
}
