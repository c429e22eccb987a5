//! `portolan store export`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use portolan_model::{Layer, TimeRange, Window};
use portolan_storage::{
    Error, FjallStore, History, Level, Plan, ReadCheckpoint as _, ReadHistory as _, Select, Span,
};

use super::columns::{MARK, VERSION, schema};
use super::rows::Rows;
use super::{bar, open};
use crate::cli::{ExportArgs, RangeArgs};
use crate::exit::Silent;
use crate::output;

/// Rows of a group: some 60 columns of them are held in memory, 100 MB.
const GROUP_ROWS: usize = 100_000;

/// `portolan store export`.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let out = &args.out;
    let target = |problem: String| Error::Target { path: out.display().to_string(), problem };
    if out.try_exists().unwrap_or(false) && !args.force {
        return Err(target("it exists; --force writes over it".into()).into());
    }
    let store = open(&args.at_rest.store)?;
    let history = store.history();
    let level = level(&*history, args)?;
    let range = range(&*history, &args.range)?;
    let layers: Vec<Layer> = Layer::ALL
        .iter()
        .copied()
        .filter(|layer| args.layer.is_empty() || args.layer.iter().any(|l| l == layer.as_str()))
        .collect();
    // What is there under its name is whole.
    let part = partial(out);
    let file = File::create(&part).map_err(|e| target(e.kind().to_string()))?;
    let written = Export { store: &store, history: &*history, level, layers: &layers }
        .write(file, range)
        .and_then(|written| {
            std::fs::rename(&part, out).map_err(|e| target(e.kind().to_string()))?;
            Ok(written)
        });
    let Written { rows, windows, lacking } = written.inspect_err(|_| {
        let _ = std::fs::remove_file(&part);
    })?;
    let bytes = std::fs::metadata(out).map_or(0, |meta| meta.len());
    output::say(&format!(
        "{} rows of {} windows of {} s to {}: {}",
        output::count(rows),
        output::count(windows),
        level.len.secs(),
        out.display(),
        output::bytes(bytes)
    ))?;
    if lacking.is_empty() {
        return Ok(());
    }
    for range in &lacking {
        let at = output::time((range.from / 1_000) as i64);
        output::say(&format!(
            "LACKING    the window of {at} does not read, and is not in the file"
        ))?;
    }
    Err(Silent.into())
}

fn partial(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    out.with_file_name(name)
}

/// The level that is asked for.
fn level(history: &dyn History, args: &ExportArgs) -> anyhow::Result<Level> {
    let levels = history.levels();
    let found = match args.level {
        None => levels.first(),
        Some(wanted) => levels.iter().find(|level| u64::from(level.len.secs()) == wanted.as_secs()),
    };
    found.copied().with_context(|| {
        let secs: Vec<_> = levels.iter().map(|level| format!("{}s", level.len.secs())).collect();
        format!("--level: the store has windows of {}", secs.join(", "))
    })
}

/// What is there of the range that is asked for.
fn range(history: &dyn History, args: &RangeArgs) -> anyhow::Result<TimeRange> {
    let Some(all) = history.extent()? else { bail!("there is nothing in the store") };
    let nanos = |us: i64| us.max(0) as u64 * 1_000;
    let from = args.from.map_or(all.from, |at| nanos(at.unix_us())).max(all.from);
    let to = args.to.map_or(all.to, |at| nanos(at.unix_us())).min(all.to);
    if from >= to {
        let (first, last) =
            (output::time((all.from / 1_000) as i64), output::time((all.to / 1_000) as i64));
        bail!("--from, --to: there is nothing then; the store holds {first} to {last}");
    }
    Ok(TimeRange { from, to })
}

/// What came of an export.
struct Written {
    rows: u64,
    windows: u64,
    lacking: Vec<TimeRange>,
}

/// What is exported.
struct Export<'a> {
    store: &'a FjallStore,
    history: &'a dyn History,
    level: Level,
    layers: &'a [Layer],
}

// === impl Export ===

impl Export<'_> {
    fn write(&self, file: File, range: TimeRange) -> anyhow::Result<Written> {
        let len = self.level.len;
        let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
        let metadata = vec![
            pair(MARK, VERSION.into()),
            pair("portolan.window_secs", len.secs().to_string()),
            pair("portolan.epoch", self.store.checkpoint()?.epoch.to_string()),
        ];
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("portolan {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(metadata))
            .build();
        let mut file = SerializedFileWriter::new(file, schema()?, Arc::new(properties))?;
        let mut rows = Rows::new(self.store, len);
        let mut written = Written { rows: 0, windows: 0, lacking: Vec::new() };
        let first = len.window(range.from).max(self.level.first);
        let last = len.window(range.to - 1).min(Window(self.level.end.0.saturating_sub(1)));
        let bar = bar("{wide_bar} {pos}/{len} windows, {eta} left");
        bar.set_length(u64::from(last.0.saturating_sub(first.0) / len.secs()) + 1);
        let mut window = first;
        while window <= last {
            let before = written.rows;
            self.window(window, &mut rows, &mut written)?;
            written.windows += u64::from(written.rows > before);
            if rows.len() >= GROUP_ROWS {
                rows.flush(&mut file)?;
            }
            bar.inc(1);
            let next = window.next(len);
            if next <= window {
                break;
            }
            window = next;
        }
        rows.flush(&mut file)?;
        let mut inner = file.into_inner()?;
        std::io::Write::flush(&mut inner)?;
        inner.sync_all()?;
        bar.finish_and_clear();
        Ok(written)
    }

    /// Puts the rows of one window.
    fn window(
        &self,
        window: Window,
        to: &mut Rows<'_>,
        written: &mut Written,
    ) -> anyhow::Result<()> {
        let len = self.level.len;
        let range = TimeRange { from: window.start(), to: window.end(len) };
        let plan = Plan { spans: vec![Span { len, range }] };
        let (select, mut failed) = (Select::default(), None);
        let mut put = |layer: Layer, put: &mut dyn FnMut() -> anyhow::Result<()>| {
            if failed.is_none() && self.layers.contains(&layer) {
                failed = put().err();
                written.rows += 1;
            }
        };
        let mut answers = vec![
            self.history
                .edges(&plan, &select, &mut |row| put(row.key.layer, &mut || to.edge(row)))?,
            self.history
                .paths(&plan, &select, &mut |row| put(row.key.layer, &mut || to.path(row)))?,
        ];
        answers.push(self.history.calls(&plan, &select, &mut |row| {
            put(row.key.source.layer(), &mut || to.calls(row));
        })?);
        if let Some(failed) = failed {
            return Err(failed);
        }
        if answers.iter().any(|answer| !answer.is_whole()) {
            written.lacking.push(range);
        }
        Ok(())
    }
}
