//! The shape of the workspace, held: who may depend on whom, which licences come in, how long a
//! file gets. A new dependency between crates is a change to this file, and so a visible one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use self::architecture::licence;

mod architecture {
    pub(crate) mod licence;
}

/// Every crate, and all crates of the workspace that it is built from. `model` knows nobody;
/// `pipeline` never sees `storage`; `api` never sees `actors`.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("allocator", &[]),
    ("model", &[]),
    ("pipeline", &["model"]),
    ("storage", &["model"]),
    ("proto", &["model"]),
    ("graph", &["model"]),
    ("fleet", &["model", "proto"]),
    ("actors", &["model", "pipeline", "proto", "storage"]),
    ("api", &["graph", "model", "proto", "storage"]),
    ("discover", &["model"]),
    ("receive", &["model", "proto", "storage"]),
    (
        "server",
        &[
            "allocator",
            "actors",
            "api",
            "discover",
            "fleet",
            "graph",
            "model",
            "pipeline",
            "proto",
            "receive",
            "storage",
        ],
    ),
    (
        "benches",
        &[
            "allocator",
            "actors",
            "api",
            "e2e",
            "fleet",
            "graph",
            "model",
            "pipeline",
            "proto",
            "storage",
        ],
    ),
    ("e2e", &["proto"]),
    ("fuzz", &["model", "proto"]),
    ("sim", &["model", "pipeline", "storage"]),
];

/// Libraries that stay behind one door: the only crates that may name them.
const BEHIND_ONE_DOOR: &[(&str, &[&str])] = &[
    ("actix", &["actors"]),
    ("actix-rt", &["actors"]),
    ("rdkafka", &["actors", "benches", "e2e"]),
    // The simulation breaks what is stored, behind the back of the store.
    ("fjall", &["sim", "storage"]),
    ("k8s-openapi", &["discover"]),
    ("kube", &["discover"]),
    ("libmimalloc-sys", &["allocator"]),
    ("lsm-tree", &["storage"]),
    ("mimalloc", &["allocator"]),
    ("tonic", &["api", "benches", "e2e", "proto", "receive", "server"]),
    ("parquet", &["server"]),
    ("tonic-health", &["api"]),
    ("tonic-reflection", &["api"]),
    ("tonic-web", &["api"]),
];

/// What the pure stages and their nouns must not be able to reach.
const PURE: &[&str] = &["graph", "model", "pipeline"];
const IMPURE: &[&str] = &[
    "actix",
    "anyhow",
    "axum",
    "fjall",
    "futures",
    "metrics",
    "prost",
    "rand",
    "rand_chacha",
    "rdkafka",
    "serde",
    "serde_json",
    "tokio",
    "tonic",
    "tracing",
];

/// By habit a file is under 250 lines.
const LONGEST_FILE: usize = 500;
const LONGEST_ARCHITECTURE: usize = 400;

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("server lies in the workspace").to_owned()
}

/// `portolan-model` is `model`.
fn noun(package: &str) -> Option<&str> {
    package.strip_prefix("portolan-")
}

fn members(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    let packages = metadata.workspace_packages();
    packages.into_iter().map(|p| (noun(&p.name).expect("portolan-<noun>"), p)).collect()
}

/// Names of what a package is built from. Its tests may use more.
fn built_from(package: &Package) -> BTreeSet<&str> {
    let dependencies = package.dependencies.iter();
    dependencies
        .filter(|d| d.kind != DependencyKind::Development)
        .map(|d| d.name.as_str())
        .collect()
}

#[test]
fn crates_depend_on_one_another_as_drawn() {
    let metadata = metadata();
    let found: BTreeMap<_, BTreeSet<_>> = members(&metadata)
        .into_iter()
        .map(|(name, p)| (name, built_from(p).into_iter().filter_map(noun).collect()))
        .collect();
    let drawn: BTreeMap<_, BTreeSet<_>> =
        MAY_DEPEND_ON.iter().map(|(name, all)| (*name, all.iter().copied().collect())).collect();
    assert_eq!(found, drawn);
}

#[test]
fn engines_stay_behind_one_door() {
    let metadata = metadata();
    let members = members(&metadata);
    for (library, doors) in BEHIND_ONE_DOOR {
        for (name, package) in &members {
            let named = package.dependencies.iter().any(|d| d.name == *library);
            assert!(!named || doors.contains(name), "{name} names {library}");
        }
        let real = metadata.packages.iter().any(|p| p.name == *library);
        assert!(real, "{library} is not in the build any more: take it off the list");
    }
}

#[test]
fn pure_crates_reach_neither_clock_nor_wire() {
    let metadata = metadata();
    let members = members(&metadata);
    for name in PURE {
        let named = built_from(members[name]);
        let reached: Vec<_> = IMPURE.iter().filter(|library| named.contains(**library)).collect();
        assert!(reached.is_empty(), "{name} names {reached:?}");
    }
}

#[test]
fn every_licence_is_permissive() {
    let policy: toml::Table =
        toml::from_str(&std::fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap();
    let allowed: BTreeSet<_> = policy["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|licence| licence.as_str().unwrap())
        .collect();
    let metadata = metadata();
    let refused: Vec<_> = metadata
        .packages
        .iter()
        .filter(|p| !p.license.as_deref().is_some_and(|l| licence::permits(l, &allowed)))
        .map(|p| format!("{} {}: {:?}", p.name, p.version, p.license))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(metadata.packages.len() > 100, "the dependencies are really there");
}

#[test]
fn everything_comes_from_the_registry_or_from_here() {
    for package in metadata().packages {
        let from = package.source.map_or_else(|| "here".to_owned(), |source| source.repr);
        let known = from == "here" || from.starts_with("registry+https://github.com/rust-lang/");
        assert!(known, "{} comes from {from}", package.name);
    }
}

#[test]
fn no_source_file_is_too_long() {
    let mut files = Vec::new();
    for package in metadata().workspace_packages() {
        sources(package.manifest_path.parent().unwrap().as_std_path(), &mut files);
    }
    let too_long: Vec<_> = files
        .iter()
        .map(|file| (lines(file), file))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .collect();
    assert!(too_long.is_empty(), "over {LONGEST_FILE} lines: {too_long:#?}");
    assert!(files.len() > 30, "the sources are really there");
}

#[test]
fn modules_are_files_beside_their_folders() {
    let mut files = Vec::new();
    for package in metadata().workspace_packages() {
        sources(package.manifest_path.parent().unwrap().as_std_path(), &mut files);
    }
    let old: Vec<_> = files.iter().filter(|file| file.ends_with("mod.rs")).collect();
    assert!(old.is_empty(), "foo.rs beside foo/, never mod.rs: {old:?}");
}

#[test]
fn architecture_stays_short_enough_to_be_read() {
    let document = root().join("docs/ARCHITECTURE.md");
    let length = lines(&document);
    assert!((1..LONGEST_ARCHITECTURE).contains(&length), "docs/ARCHITECTURE.md has {length} lines");
}

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

/// All `.rs` below a folder; what is generated lies in the target directory, and is not ours.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
