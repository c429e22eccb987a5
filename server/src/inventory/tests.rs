use portolan_model::{OwnerRecord, WindowLen};
use portolan_storage::{LocalLimits, LocalTopics, MemoryStore};

use super::*;

struct World {
    dir: tempfile::TempDir,
    store: MemoryStore,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: MemoryStore::new(WindowLen::BASE) }
    }

    /// Writes the file; every version has another length, so that it shows.
    fn write(&self, text: &str) {
        std::fs::write(self.dir.path().join("inventory.yaml"), text).unwrap();
    }

    fn start(&self) -> Inventories {
        let settings = InventoryFile {
            name: "main".into(),
            path: self.dir.path().join("inventory.yaml"),
            encoding: None,
            scope: "default".into(),
        };
        let checkpoint = Checkpoint::default();
        let dir = self.dir.path().join("local");
        let logs = LocalTopics::open(&dir, &[TOPIC], LocalLimits::default(), &checkpoint).unwrap();
        let log = Arc::clone(&logs.all()[0]);
        Inventories::start(&[settings], log, &self.store, &checkpoint).unwrap()
    }
}

/// All that the log holds.
fn told(inventories: &Inventories) -> Vec<OwnerEvent> {
    let records = inventories.log.read(0, READ_BYTES).unwrap().records;
    let decode = |payload: &[u8], stamp| {
        let (events, refused) =
            decode_owners(OwnerEncoding::PortolanPb, "", stamp, payload.len(), payload);
        assert!(refused.is_empty(), "{refused:?}");
        events
    };
    records.iter().flat_map(|r| decode(&r.payload, r.stamp)).collect()
}

fn trouble(inventories: &Inventories) -> Option<String> {
    let file = &inventories.files[0];
    file.trouble.clone().or_else(|| file.fault.clone())
}

fn uids(inventories: &Inventories) -> Vec<String> {
    let uid = |event: &OwnerEvent| match event {
        OwnerEvent::Upsert(owner) => format!("+{}", owner.uid),
        OwnerEvent::Delete { uid, .. } => format!("-{uid}"),
        OwnerEvent::Heartbeat { .. } | OwnerEvent::Gap { .. } => {
            unreachable!("an inventory is not watched")
        }
    };
    told(inventories).iter().map(uid).collect()
}

const ONE: &str = "- {id: a, name: db, ips: 10.0.0.1}\n";
const TWO: &str = "- {id: a, name: db, ips: 10.0.0.1}\n- {id: b, name: web, ips: 10.0.0.2}\n";

#[test]
fn a_changed_file_is_taken_once_it_has_been_still_for_a_look() {
    let world = World::new();
    world.write(ONE);
    let mut inventories = world.start();
    assert_eq!(uids(&inventories), ["+inventory/main/a"]);
    world.write(TWO);
    inventories.look();
    assert_eq!(uids(&inventories).len(), 1, "it may still be being written");
    inventories.look();
    assert_eq!(uids(&inventories), ["+inventory/main/a", "+inventory/main/b"]);
    world.write("");
    (0..5).for_each(|_| inventories.look());
    assert_eq!(uids(&inventories)[2..], ["-inventory/main/a", "-inventory/main/b"]);
}

#[test]
fn a_version_that_does_not_read_keeps_the_one_before_and_says_so() {
    let world = World::new();
    world.write(TWO);
    let mut inventories = world.start();
    world.write(
        "- {id: a, name: db, ips: 10.0.0.1}\n- {id: b, nmae: web, ips: 10.0.0.2}\n# wrong\n",
    );
    (0..3).for_each(|_| inventories.look());
    let why = trouble(&inventories).unwrap();
    assert!(why.contains("entry 2 (b): \"nmae\" is no field"), "{why}");
    assert!(why.ends_with("its 2 owners stay as they were"), "{why}");
    assert_eq!(uids(&inventories).len(), 2);
    std::fs::remove_file(world.dir.path().join("inventory.yaml")).unwrap();
    inventories.look();
    assert!(trouble(&inventories).unwrap().contains("No such file"));
    assert_eq!(uids(&inventories).len(), 2);
    world.write(ONE);
    (0..3).for_each(|_| inventories.look());
    assert_eq!(trouble(&inventories), None);
    assert_eq!(uids(&inventories)[2..], ["-inventory/main/b"]);
}

#[test]
fn a_restart_tells_only_what_changed_whether_the_store_or_only_the_log_has_the_rest() {
    let world = World::new();
    world.write(ONE);
    drop(world.start());
    world.write(TWO);
    let inventories = world.start();
    assert_eq!(uids(&inventories), ["+inventory/main/a", "+inventory/main/b"]);
    let owner = |event: &OwnerEvent| match event {
        OwnerEvent::Upsert(owner) => Some(OwnerRecord::clone(owner)),
        _ => None,
    };
    let owners: Vec<_> = told(&inventories).iter().filter_map(owner).collect();
    drop(inventories);
    // Now the store has them, and the log is gone.
    let commit = portolan_model::EpochCommit { epoch: 1, owners, ..Default::default() };
    let mut store = world.store.clone();
    portolan_storage::CommitEpoch::commit(&mut store, &commit).unwrap();
    std::fs::remove_dir_all(world.dir.path().join("local")).unwrap();
    assert!(uids(&world.start()).is_empty());
    world.write(ONE);
    assert_eq!(uids(&world.start()), ["-inventory/main/b"]);
}

#[test]
fn a_file_that_is_missing_at_the_start_is_waited_for() {
    let world = World::new();
    let mut inventories = world.start();
    assert!(trouble(&inventories).is_some());
    world.write(ONE);
    (0..2).for_each(|_| inventories.look());
    assert_eq!((trouble(&inventories), uids(&inventories).len()), (None, 1));
}
