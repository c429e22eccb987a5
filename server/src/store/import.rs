//! `portolan store import`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use portolan_model::{Entity, EntityId, EpochCommit, Window, WindowLen};
use portolan_storage::{
    CommitEpoch as _, Error, FjallStore, IMPORTED, LevelOptions, Options, ReadHistory as _,
    prepare_directory,
};

use super::bar;
use super::columns::{Kind, MARK, VERSION, columns};
use super::read::{Parsed, Reader};
use crate::cli::ImportArgs;
use crate::output;

/// Rows of an epoch.
const EPOCH_ROWS: usize = 100_000;

/// Windows that are this far behind the newest are packed. Files are in the order of time.
const PACK_BEHIND_NS: u64 = 600_000_000_000;

/// The store leaves windows open for half a minute after the line has forgotten them.
const PACK_LAG_NS: u64 = 30_000_000_000;

/// `portolan store import`.
pub(super) fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let to = &args.store;
    prepare_directory(to)?;
    // A store that is there under its name has all.
    let part = with_suffix(to, ".importing");
    if part.try_exists().unwrap_or(false) {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    let done = import(&args.files, &part).and_then(|imported| {
        // It is empty, and gives way.
        fs::remove_dir(to).and_then(|()| fs::rename(&part, to)).map_err(|e| Error::Target {
            path: to.display().to_string(),
            problem: e.kind().to_string(),
        })?;
        Ok(imported)
    });
    let Imported { rows, windows, len, .. } = done.inspect_err(|_| {
        let _ = fs::remove_dir_all(&part);
        let _ = fs::remove_dir(to);
    })?;
    output::say(&format!(
        "{} rows of {} windows of {} s in {}",
        output::count(rows),
        output::count(windows.len() as u64),
        len.secs(),
        to.display()
    ))
    .map_err(Into::into)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// A store in the making.
struct Imported {
    store: FjallStore,
    len: WindowLen,
    next: EpochCommit,
    known: BTreeSet<EntityId>,
    rows: u64,
    windows: BTreeSet<Window>,
}

fn import(files: &[PathBuf], to: &Path) -> anyhow::Result<Imported> {
    let mut imported: Option<Imported> = None;
    // Which file has the rows of a kind and layer of a window: two would count them twice.
    let mut told: HashMap<(Window, &'static str, &'static str), usize> = HashMap::new();
    let mut total = 0;
    let bar = bar("{wide_bar} {pos}/{len} rows, {eta} left");
    for (number, path) in files.iter().enumerate() {
        let of = || path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot read {}", of()))?;
        let file = SerializedFileReader::new(file)
            .with_context(|| format!("{} is not a Parquet file", of()))?;
        total += file.metadata().file_metadata().num_rows().max(0) as u64;
        bar.set_length(total);
        let schema = projection(&file).with_context(of)?;
        let reader = Reader::new(&schema);
        for row in RowIter::from_file(Some(schema), &file)? {
            let row = row.with_context(of)?;
            let parsed =
                reader.read(&row).with_context(|| format!("{}, row {}", of(), bar.position()))?;
            let place = (parsed.window, parsed.row, parsed.layer);
            let first = *told.entry(place).or_insert(number);
            ensure!(
                first == number,
                "{} and {} both have the {}s of {} that begin at {}: they would count twice",
                files[first].display(),
                of(),
                parsed.row,
                parsed.layer,
                output::time(i64::from(parsed.window.0) * 1_000_000)
            );
            let into = match &mut imported {
                Some(into) => into,
                None => imported.insert(Imported::begin(to, parsed.len)?),
            };
            ensure!(
                into.len == parsed.len,
                "{}: windows of {} s do not go into a store of {} s",
                of(),
                parsed.len.secs(),
                into.len.secs()
            );
            into.put(parsed)?;
            bar.inc(1);
        }
    }
    let Some(mut imported) = imported else { bail!("there are no rows in what was given") };
    imported.finish()?;
    bar.finish_and_clear();
    Ok(imported)
}

/// Our columns, as the file has them.
fn projection(file: &SerializedFileReader<File>) -> anyhow::Result<Type> {
    let metadata = file.metadata().file_metadata();
    let pairs = metadata.key_value_metadata().map_or(&[][..], Vec::as_slice);
    let version = pairs.iter().find(|pair| pair.key == MARK).and_then(|pair| pair.value.as_deref());
    if let Some(version) = version.filter(|version| *version != VERSION) {
        bail!("it is an export of version {version}, this one reads {VERSION}");
    }
    let there: BTreeMap<&str, _> =
        metadata.schema().get_fields().iter().map(|field| (field.name(), field)).collect();
    let mut fields = Vec::new();
    for column in columns() {
        let Some(field) = there.get(&*column.name) else {
            bail!("it has no column {}: is it from `portolan store export`?", column.name);
        };
        let list = matches!(column.kind, Kind::Buckets | Kind::Entities);
        ensure!(list == field.is_group(), "column {} is of another type", column.name);
        fields.push((*field).clone());
    }
    let name = metadata.schema().name().to_owned();
    Ok(Type::group_type_builder(&name).with_fields(fields).build()?)
}

// === impl Imported ===

impl Imported {
    fn begin(to: &Path, len: WindowLen) -> anyhow::Result<Self> {
        let kept = LevelOptions::DEFAULT.iter().map(|l| LevelOptions { retention_secs: 0, ..*l });
        let levels = kept.filter(|level| level.secs > len.secs()).collect();
        let options = Options { levels, ..Options::default() };
        let store = FjallStore::open(to, len, &options)?;
        Ok(Self {
            store,
            len,
            next: EpochCommit::default(),
            known: BTreeSet::new(),
            rows: 0,
            windows: BTreeSet::new(),
        })
    }

    fn put(&mut self, parsed: Parsed) -> anyhow::Result<()> {
        self.windows.insert(parsed.window);
        self.rows += 1;
        for entity in parsed.entities {
            self.name(entity);
        }
        self.next.edges.extend(parsed.edge);
        self.next.paths.extend(parsed.path);
        self.next.calls.extend(parsed.call);
        let held = self.next.edges.len() + self.next.paths.len() + self.next.calls.len();
        if held >= EPOCH_ROWS { self.commit(held) } else { Ok(()) }
    }

    fn name(&mut self, entity: Entity) {
        let id = entity.id();
        if self.known.insert(id) {
            self.next.entities.push((id, entity));
        }
    }

    fn commit(&mut self, rows: usize) -> anyhow::Result<()> {
        let mut commit = std::mem::take(&mut self.next);
        let newest = self.windows.last().map_or(Window(0), |window| window.next(self.len));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        commit.epoch = self.store.history().checkpoint().epoch + 1;
        commit.clock = now.as_nanos() as u64;
        commit.watermark = newest.start();
        // What is this far behind can be packed; should more of it come all the same, it counts as late.
        let behind = newest.start().saturating_sub(PACK_BEHIND_NS);
        commit.folded = commit.folded.max(self.len.window(behind));
        commit.tallies = vec![(IMPORTED.into(), rows as i64)];
        self.store.commit(&commit)?;
        Ok(())
    }

    /// Commits what is left, and packs all of it.
    fn finish(&mut self) -> anyhow::Result<()> {
        let held = self.next.edges.len() + self.next.paths.len() + self.next.calls.len();
        self.commit(held)?;
        let newest = self.windows.last().map_or(Window(0), |window| window.next(self.len));
        let folded = self.len.window(newest.start() + PACK_LAG_NS);
        let sealed = |store: &FjallStore| -> Vec<Window> {
            store.history().levels().iter().map(|level| level.sealed).collect()
        };
        loop {
            let before = sealed(&self.store);
            // Nothing more comes of these windows, and what comes after them is not late.
            self.next.folded = folded;
            self.commit(0)?;
            if sealed(&self.store) == before {
                break;
            }
        }
        self.store.sync()?;
        Ok(())
    }
}
