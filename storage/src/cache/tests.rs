use std::cell::RefCell;
use std::collections::BTreeMap;

use portolan_model::{Counters, Direction, EdgeDelta, EdgeKey, EntityId, Layer, Measure, Proto};
use proptest::prelude::*;

use super::*;
use crate::codec::Sums;

/// A disk that counts how it is read.
#[derive(Default)]
struct Disk {
    rows: BTreeMap<EdgeKey, Sums>,
    gets: RefCell<usize>,
    scans: RefCell<usize>,
}

impl Source<EdgeDelta> for Disk {
    fn get(&self, key: &EdgeKey) -> Result<Option<Sums>, Error> {
        *self.gets.borrow_mut() += 1;
        Ok(self.rows.get(key).cloned())
    }

    fn window(&self, window: Window, row: &mut dyn FnMut(EdgeDelta)) -> Result<(), Error> {
        *self.scans.borrow_mut() += 1;
        for (key, sums) in self.rows.iter().filter(|(key, _)| key.window == window) {
            row(EdgeDelta::new(*key, sums.clone()));
        }
        Ok(())
    }
}

fn row(window: u32, client: u64, flows: i64) -> EdgeDelta {
    let mut counters = Counters::ZERO;
    counters[Measure::Flows] = flows;
    let key = EdgeKey {
        window: Window(window),
        layer: Layer::Network,
        client: EntityId(client),
        server: EntityId(1),
        proto: Proto::TCP,
        port: 80,
        direction: Direction::Known,
    };
    EdgeDelta { key, counters, first_ns: 1, last_ns: 2 }
}

fn write(cache: &mut RowCache<EdgeDelta>, disk: &mut Disk, changes: &[EdgeDelta]) {
    let window = changes[0].key.window;
    let mut outcomes = Vec::new();
    cache.merge(window, changes, disk, |key, outcome| outcomes.push((*key, outcome))).unwrap();
    for (key, outcome) in outcomes {
        match outcome {
            Outcome::Write(sums) => {
                disk.rows.insert(key, sums);
            }
            Outcome::Remove => assert!(disk.rows.remove(&key).is_some(), "removed what was there"),
            Outcome::Nothing => assert!(!disk.rows.contains_key(&key)),
        }
    }
    cache.trim();
}

fn crowd(window: u32, flows: i64) -> Vec<EdgeDelta> {
    (0..LOAD_FROM as u64).map(|client| row(window, client, flows)).collect()
}

#[test]
fn window_that_is_written_again_is_not_read_again() {
    let (mut cache, mut disk) = (RowCache::new(1_000), Disk::default());
    write(&mut cache, &mut disk, &crowd(10, 1));
    write(&mut cache, &mut disk, &crowd(10, 1));
    write(&mut cache, &mut disk, &[row(10, 7, 1), row(10, 9_999, 1)]);
    assert_eq!((*disk.scans.borrow(), *disk.gets.borrow()), (1, 0));
    assert_eq!(disk.rows[&row(10, 7, 0).key].counters[Measure::Flows], 3);
    assert_eq!(cache.len(), LOAD_FROM + 1);
}

#[test]
fn few_late_rows_do_not_load_their_window() {
    let (mut cache, mut disk) = (RowCache::new(1_000), Disk::default());
    write(&mut cache, &mut disk, &[row(10, 1, 1), row(10, 2, 1)]);
    assert_eq!((*disk.scans.borrow(), *disk.gets.borrow()), (0, 2));
    assert_eq!(cache.len(), 0);
}

#[test]
fn window_written_longest_ago_leaves_first() {
    let (mut cache, mut disk) = (RowCache::new(2 * LOAD_FROM), Disk::default());
    for window in [10, 20, 10, 30] {
        write(&mut cache, &mut disk, &crowd(window, 1));
    }
    assert_eq!(cache.len(), 2 * LOAD_FROM);
    write(&mut cache, &mut disk, &[row(10, 1, 1), row(30, 1, 1)][..1]);
    assert_eq!(*disk.gets.borrow(), 0, "10 stayed");
    write(&mut cache, &mut disk, &[row(20, 1, 1)]);
    assert_eq!(*disk.gets.borrow(), 1, "20 left");
    cache.expire(Window(30));
    assert_eq!(cache.len(), LOAD_FROM);
    cache.clear();
    assert_eq!(cache.len(), 0);
}

proptest! {
    #[test]
    fn cache_of_any_size_changes_no_sum(
        writes in proptest::collection::vec((0_u32..3, any::<bool>(), 0_u64..4, -2_i64..3), 1..20),
        max_rows in prop_oneof![Just(0_usize), Just(300), Just(10_000)],
    ) {
        let (mut cache, mut disk) = (RowCache::new(max_rows), Disk::default());
        let mut oracle: BTreeMap<EdgeKey, i64> = BTreeMap::new();
        for (window, whole, client, flows) in writes {
            let changes =
                if whole { crowd(window, flows) } else { vec![row(window, client, flows)] };
            for change in &changes {
                *oracle.entry(change.key).or_default() += flows;
            }
            write(&mut cache, &mut disk, &changes);
            let cached: usize = cache.windows.values().map(|w| w.rows.len()).sum();
            prop_assert_eq!(cache.len(), cached);
            prop_assert!(cached <= max_rows);
        }
        oracle.retain(|_, flows| *flows != 0);
        let found: BTreeMap<EdgeKey, i64> =
            disk.rows.iter().map(|(key, sums)| (*key, sums.counters[Measure::Flows])).collect();
        prop_assert_eq!(found, oracle);
    }
}
