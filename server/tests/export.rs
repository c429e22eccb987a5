//! Rows as files: what is exported and imported is the same graph, and readers that are not ours find it in the file.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portolan_model::{
    CallDelta, CallKey, CallMeasure, CallProtocol, CallSource, Counters, Direction, EdgeDelta,
    EdgeKey, Entity, EntityId, EntityKind, EpochCommit, Evidence, HopClass, Layer, Measure,
    PathDelta, PathKey, PathKind, Proto, TimeRange, Window, WindowLen,
};
use portolan_storage::{
    CommitEpoch as _, FjallStore, LevelOptions, Options, Plan, ReadEdges as _, ReadHistory as _,
    Select, Span,
};

/// 2026-11-23T00:00:00Z.
const T0: u32 = 1_795_392_000;

const EPOCHS: u64 = 200;

fn window(n: u64) -> Window {
    Window(T0 + n as u32 * 10)
}

fn entities() -> Vec<Entity> {
    let quoted = Entity::new(EntityKind::External, "", "a \"quoted\", name\nof two lines ☃");
    vec![
        Entity::new(EntityKind::Workload, "shop", "web"),
        Entity {
            detail: "StatefulSet".into(),
            ..Entity::new(EntityKind::Workload, "shop", "cart")
        },
        Entity { environment: "eu".into(), ..quoted },
        Entity::new(EntityKind::Hop(HopClass::LoadBalancer), "edge", "front"),
        Entity::new(EntityKind::Hop(HopClass::ClusterIp), "shop", "cart"),
        Entity::new(EntityKind::Operation, "shop/cart", "GET /cart/{id}"),
    ]
}

/// A change of every kind of row in the n-th window, and late ones in an earlier window.
fn nth(n: u64) -> EpochCommit {
    let all = entities();
    let id = |at: usize| all[at].id();
    let mut edges = Vec::new();
    let mut edge = |of: u64, client: usize, server: usize, direction: Direction| {
        let mut counters = Counters::ZERO;
        for (at, measure) in (0_i64..).zip(Measure::ALL) {
            counters[measure] = at * at + n as i64 % 7 + 1;
        }
        let start = window(of).start();
        edges.push(EdgeDelta {
            key: EdgeKey {
                window: window(of),
                layer: Layer::Network,
                client: id(client),
                server: id(server),
                proto: if n.is_multiple_of(3) { Proto(17) } else { Proto::TCP },
                port: 8_000 + (n % 5) as u16,
                direction,
            },
            counters,
            first_ns: start + n,
            last_ns: start + 5_000_000_001 + n,
        });
    };
    edge(n, 0, 1, Direction::Known);
    edge(n, 2, 0, Direction::Unknown);
    if n > 50 {
        edge(n - 50, 0, 1, Direction::Known);
    }
    edges.sort_by_key(|row| row.key);
    let mut counters = Counters::ZERO;
    counters[Measure::Flows] = 2;
    let path = PathDelta {
        key: PathKey {
            window: window(n),
            layer: Layer::Network,
            client: id(2),
            server: id(1),
            proto: Proto::TCP,
            front_port: 443,
            port: 8_443,
            via: [id(3), id(4)].into_iter().take((n % 3) as usize).collect(),
            kind: if n.is_multiple_of(3) { PathKind::Leg } else { PathKind::Moved },
            evidence: Evidence::Rewrite,
        },
        counters,
        first_ns: window(n).start() + 1,
        last_ns: window(n).start() + 2,
    };
    let call = |source: CallSource, operation: EntityId| {
        let protocol = CallProtocol::Http;
        let (client, server, window) = (id(0), id(1), window(n));
        let mut call =
            CallDelta::new(CallKey { window, client, server, source, protocol, operation });
        for (at, measure) in (0_i64..).zip(CallMeasure::ALL) {
            call.counters[measure] = 1_000 + at;
        }
        for of in 0..n % 4 {
            call.client.record(1_000_000 + of * 777_777, 2);
            call.gap.record(of, 1);
        }
        // As a correction leaves it.
        call.server.record(3_000_000, -1);
        (call.first_ns, call.last_ns) = (window.start() + 7, window.start() + 8);
        call
    };
    EpochCommit {
        epoch: n,
        clock: window(n).start(),
        watermark: window(n).start(),
        edges,
        paths: vec![path],
        calls: vec![
            call(CallSource::RpcServer, EntityId::NONE),
            call(CallSource::TracePair, id(5)),
        ],
        entities: if n == 1 { all.iter().map(|e| (e.id(), e.clone())).collect() } else { vec![] },
        folded: window(n.saturating_sub(12)),
        ..EpochCommit::default()
    }
}

fn options() -> Options {
    let level = |secs| LevelOptions { secs, retention_secs: 0 };
    Options { levels: vec![level(60), level(600)], ..Options::small() }
}

/// A store, and the folder that it is in.
fn stored() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut store = FjallStore::open(&path, WindowLen::BASE, &options()).unwrap();
    for n in 1..=EPOCHS {
        store.commit(&nth(n)).unwrap();
    }
    (dir, path)
}

fn portolan(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.env_remove("PORTOLAN__STORE__PATH").args(args).output().unwrap()
}

fn done(args: &[&str]) -> String {
    let out = portolan(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn refused(args: &[&str]) -> String {
    let out = portolan(args);
    assert!(!out.status.success(), "{args:?}");
    String::from_utf8(out.stderr).unwrap()
}

type All = (Vec<EdgeDelta>, Vec<PathDelta>, Vec<CallDelta>, Vec<(EntityId, Entity)>);

/// All of a store.
fn all(store: &FjallStore) -> All {
    let mut all = All::default();
    store.edges(TimeRange::ALL, &mut |row| all.0.push(*row)).unwrap();
    store.paths(TimeRange::ALL, &mut |row| all.1.push(row.clone())).unwrap();
    store.calls(TimeRange::ALL, &mut |row| all.2.push(row.clone())).unwrap();
    store.entities(&mut |id, entity| all.3.push((id, Entity::clone(entity))));
    all
}

fn opened(path: &Path) -> FjallStore {
    FjallStore::open_stored(path, &Options::small()).unwrap()
}

#[test]
fn import_of_an_export_is_the_same_graph_at_every_level() {
    let (dir, path) = stored();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, copy) = (at("all.parquet"), at("copy"));
    let store = path.to_str().unwrap();
    done(&["store", "export", "--store", store, "-o", &file]);
    let said = done(&["store", "import", &file, "--store", &copy]);
    assert!(said.contains("rows of 200 windows of 10 s"), "{said}");
    done(&["store", "verify", &copy]);
    let (before, after) = (opened(&path), opened(Path::new(&copy)));
    assert_eq!(all(&before), all(&after));
    let ten = WindowLen::try_new(600).unwrap();
    let range = TimeRange { from: ten.window(window(0).start()).start(), to: window(180).start() };
    for secs in [60, 600] {
        let len = WindowLen::try_new(secs).unwrap();
        let plan = Plan { spans: vec![Span { len, range }] };
        let sums = |store: &FjallStore| {
            let mut rows = Vec::new();
            let select = Select::default();
            let history = store.history();
            history.calls(&plan, &select, &mut |row| rows.push(row.clone())).unwrap();
            rows
        };
        assert!(!sums(&before).is_empty());
        assert_eq!(sums(&before), sums(&after), "level of {secs} s");
    }
    drop((before, after));

    // The same again, in two parts of time, and of layers.
    let (one, two, three, parts) = (at("1.parquet"), at("2.parquet"), at("3.parquet"), at("parts"));
    let half = "2026-11-23T00:10:00Z";
    done(&["store", "export", "--store", store, "--to", half, "-o", &one]);
    let network = ["--layer", "network"];
    let rest = ["--layer", "ipc", "--layer", "trace"];
    let from = ["store", "export", "--store", store, "--from", half, "-o"];
    done(&[&from[..], &[&two], &network].concat());
    done(&[&from[..], &[&three], &rest].concat());
    done(&["store", "import", &two, &one, &three, "--store", &parts]);
    assert_eq!(all(&opened(Path::new(&parts))), all(&opened(&path)));
    let said = refused(&["store", "import", &one, &file, "--store", &at("twice")]);
    assert!(said.contains("they would count twice"), "{said}");
    assert!(!dir.path().join("twice").exists());
}

#[test]
fn coarse_level_becomes_a_store_of_such_windows() {
    let (dir, path) = stored();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let store = path.to_str().unwrap();
    let (file, copy) = (at("minutes.parquet"), at("minutes"));
    done(&["store", "export", "--store", store, "--level", "1m", "-o", &file]);
    done(&["store", "import", &file, "--store", &copy]);
    let (before, after) = (opened(&path), opened(Path::new(&copy)));
    let len = WindowLen::try_new(60).unwrap();
    let range = TimeRange { from: window(0).start(), to: window(120).start() };
    let plan = Plan { spans: vec![Span { len, range }] };
    let sums = |store: &FjallStore| {
        let mut rows = Vec::new();
        let history = store.history();
        history.edges(&plan, &Select::default(), &mut |row| rows.push(*row)).unwrap();
        rows
    };
    assert_eq!(sums(&before), sums(&after));
    assert!(!sums(&after).is_empty());
    assert_eq!(after.history().levels()[0].len, len);
}

#[test]
fn what_cannot_be_done_is_said_and_leaves_nothing_behind() {
    let (dir, path) = stored();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let store = path.to_str().unwrap();
    let file = at("file.parquet");
    let export = ["store", "export", "--store", store, "-o", &file];
    let said = refused(&[&export[..], &["--level", "7s"]].concat());
    assert!(said.contains("--level: the store has windows of 10s, 60s, 600s"), "{said}");
    let said = refused(&[&export[..], &["--from", "2027-01-01T00:00:00Z"]].concat());
    assert!(said.contains("the store holds 2026-11-23T00:00:00Z to"), "{said}");
    done(&export);
    let said = refused(&export);
    assert!(said.contains("it exists; --force writes over it"), "{said}");
    done(&[&export[..], &["--force"]].concat());
    let said = refused(&["store", "import", &file, "--store", store]);
    assert!(said.contains("it exists and is not empty"), "{said}");
    let text = at("text");
    std::fs::write(&text, "no columns here").unwrap();
    let said = refused(&["store", "import", &text, "--store", &at("new")]);
    assert!(said.contains("is not a Parquet file"), "{said}");
    let mut names: Vec<_> =
        dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["file.parquet", "store", "text"]);
}

/// A Python that has a reader of Parquet: the one that is named, that of the cache which `make test` fills, or the
/// machine's own.
fn python(module: &str) -> Option<PathBuf> {
    let named = std::env::var_os("PORTOLAN_TEST_PYTHON").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let cached = cache.map(|cache| cache.join("portolan/python/bin/python"));
    [named, cached, Some("python3".into())].into_iter().flatten().find(|python| {
        let has = Command::new(python).args(["-c", &format!("import {module}")]).output();
        has.is_ok_and(|out| out.status.success())
    })
}

/// What the readers are asked: numbers that only a right reading of every kind of column gives.
fn expected(store: &FjallStore) -> serde_json::Value {
    let (edges, paths, calls, _) = all(store);
    let sum = |measure: Measure| edges.iter().map(|row| row.counters[measure]).sum::<i64>();
    let buckets = calls.iter().flat_map(|row| row.client.buckets());
    serde_json::json!({
        "edges": edges.len(),
        "paths": paths.len(),
        "calls": calls.len(),
        "bytes_sent": sum(Measure::BytesSent),
        "windows": EPOCHS,
        "first_event": edges.iter().map(|row| row.first_ns).min(),
        "hops": paths.iter().map(|row| row.key.via.len()).sum::<usize>(),
        "latencies": buckets.map(|(_, count)| count).sum::<i64>(),
        "quoted": entities()[2].name.to_string(),
        "client_id": entities()[2].id().0,
        "raw": calls.iter().map(|row| row.counters[CallMeasure::Raw]).sum::<i64>(),
    })
}

const DUCKDB: &str = r#"
import duckdb, json, sys
f = sys.argv[1]
one = lambda q: duckdb.sql(q.replace("$f", "read_parquet('" + f + "')")).fetchall()[0][0]
print(json.dumps({
  "edges": one("select count(*) from $f where row = 'edge'"),
  "paths": one("select count(*) from $f where row = 'path'"),
  "calls": one("select count(*) from $f where row = 'call'"),
  "bytes_sent": int(one("select sum(bytes_sent) from $f where row = 'edge'")),
  "windows": one("select count(distinct window_start) from $f"),
  "first_event": one("select epoch_ns(min(first_event)) from $f where row = 'edge'"),
  "hops": int(one("select sum(len(via)) from $f")),
  "latencies": int(one("select sum(b.count) from (select unnest(client_latency) as b from $f)")),
  "quoted": one("select any_value(client_name) from $f where client_kind = 'external'"),
  "client_id": one("select any_value(client_id) from $f where client_kind = 'external'"),
  "raw": int(one("select sum(raw) from $f")),
}))
"#;

const PYARROW: &str = r#"
import json, sys
import pyarrow.parquet as pq, pyarrow.compute as pc
t = pq.read_table(sys.argv[1])
of = lambda row: t.filter(pc.equal(t["row"], row))
edges, paths, calls = of("edge"), of("path"), of("call")
names = t.select(["client_kind", "client_name", "client_id"])
outside = names.filter(pc.equal(t["client_kind"], "external")).slice(0, 1).to_pylist()[0]
print(json.dumps({
  "edges": edges.num_rows,
  "paths": paths.num_rows,
  "calls": calls.num_rows,
  "bytes_sent": pc.sum(edges["bytes_sent"]).as_py(),
  "windows": len(pc.unique(t["window_start"])),
  "first_event": pc.min(edges["first_event"]).value,
  "hops": sum(len(via) for via in t["via"].to_pylist()),
  "latencies": sum(b["count"] for row in calls["client_latency"].to_pylist() for b in row),
  "quoted": outside["client_name"],
  "client_id": outside["client_id"],
  "raw": pc.sum(calls["raw"]).as_py(),
}))
"#;

#[test]
fn readers_that_are_not_ours_find_the_same_in_the_file() {
    let (dir, path) = stored();
    let file = dir.path().join("all.parquet");
    let file = file.to_str().unwrap();
    done(&["store", "export", "--store", path.to_str().unwrap(), "-o", file]);
    let expected = expected(&opened(&path));
    for (module, script) in [("duckdb", DUCKDB), ("pyarrow", PYARROW)] {
        let Some(python) = python(module) else {
            eprintln!("skipped: no python here has {module}");
            continue;
        };
        let out = Command::new(python).args(["-c", script, file]).output().unwrap();
        assert!(out.status.success(), "{module}: {}", String::from_utf8_lossy(&out.stderr));
        let found: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(found, expected, "{module}");
        eprintln!("read by {module}");
    }
}

#[test]
fn what_another_program_wrote_again_is_imported_just_as_well() {
    let Some(python) = python("duckdb") else {
        eprintln!("skipped: no python here has duckdb");
        return;
    };
    let (dir, path) = stored();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, again, copy) = (at("all.parquet"), at("again.parquet"), at("copy"));
    done(&["store", "export", "--store", path.to_str().unwrap(), "-o", &file]);
    // In another order, and without our metadata.
    let script = "import duckdb, sys; duckdb.sql(\"copy (select * from read_parquet('\" + sys.argv[1] + \"') \
        order by hash(window_start, row)) to '\" + sys.argv[2] + \"' (format parquet)\")";
    let out = Command::new(python).args(["-c", script, &file, &again]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    done(&["store", "import", &again, "--store", &copy]);
    assert_eq!(all(&opened(Path::new(&copy))), all(&opened(&path)));
}

/// The table in the documentation has every column, in the order of the file.
#[test]
fn document_lists_every_column_as_the_file_has_it() {
    let (dir, path) = stored();
    let file = dir.path().join("all.parquet");
    done(&["store", "export", "--store", path.to_str().unwrap(), "-o", file.to_str().unwrap()]);
    let reader = std::fs::File::open(&file).unwrap();
    let reader = parquet::file::reader::SerializedFileReader::new(reader).unwrap();
    let metadata = parquet::file::reader::FileReader::metadata(&reader).file_metadata().clone();
    let columns: Vec<_> =
        metadata.schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md");
    let document = std::fs::read_to_string(document).unwrap();
    let (_, export) = document.split_once("## Exports").unwrap();
    let export = export.split("\n## ").next().unwrap();
    let rows = export.lines().filter(|line| line.starts_with("| `"));
    let mut listed = Vec::new();
    for row in rows {
        let names = row.split('|').nth(1).unwrap();
        listed.extend(names.split('`').skip(1).step_by(2).map(ToOwned::to_owned));
    }
    assert_eq!(listed, columns);
}
