//! What every store promises. Each test runs on the store in memory and on the store on disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;

use portolan_model::{EpochCommit, Loss, Nanos, TimeRange, Window};
use portolan_storage::{CommitEpoch, Error, FjallStore, MemoryStore, Options, ReadStore};

#[path = "support/rows.rs"]
mod rows;
use rows::*;

/// A store, and how to close and open it again.
enum Store {
    Memory(MemoryStore),
    Disk(Option<Box<FjallStore>>, PathBuf, Options),
}

impl Store {
    fn writer(&mut self) -> &mut dyn CommitEpoch {
        match self {
            Self::Memory(store) => store,
            Self::Disk(store, ..) => store.as_deref_mut().unwrap(),
        }
    }

    fn commit(&mut self, commit: &EpochCommit) {
        self.writer().commit(commit).unwrap();
    }

    fn reader(&self) -> Arc<dyn ReadStore> {
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::Disk(store, ..) => store.as_ref().unwrap().reader(),
        }
    }

    fn reopen(&mut self) {
        if let Self::Disk(store, path, options) = self {
            drop(store.take());
            *store = Some(Box::new(FjallStore::open(path, LEN, options).unwrap()));
        }
    }
}

fn on_every_store(test: impl Fn(&mut Store)) {
    test(&mut Store::Memory(MemoryStore::new(LEN)));
    let uncached = Options { cached_rows: 0, ..Options::small() };
    for options in [Options::small(), uncached] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = FjallStore::open(&path, LEN, &options).unwrap();
        test(&mut Store::Disk(Some(Box::new(store)), path, options));
    }
}

fn range(from: Window, to: Window) -> TimeRange {
    TimeRange { from: from.start(), to: to.start() }
}

#[test]
fn changes_of_one_row_are_added_up_across_epochs() {
    on_every_store(|store| {
        let w = window(0);
        store.commit(&commit(1, vec![edge(w, 1, 2, 3)]));
        let mut late = edge(w, 1, 2, 4);
        late.first_ns = w.start() + 1;
        late.last_ns = w.start() + 7;
        store.commit(&commit(2, vec![late]));
        let mut sum = edge(w, 1, 2, 7);
        sum.first_ns = w.start() + 1;
        sum.last_ns = w.start() + 9;
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [sum]);
        store.reopen();
        store.commit(&commit(3, vec![less(w, 1, 2, 2)]));
        sum.counters = sums(5, 500);
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [sum]);
    });
}

#[test]
fn row_that_adds_up_to_nothing_is_gone_and_begins_anew() {
    on_every_store(|store| {
        let w = window(0);
        store.commit(&commit(1, vec![edge(w, 1, 2, 3), edge(w, 1, 3, 1)]));
        store.commit(&commit(2, vec![less(w, 1, 2, 3), less(w, 1, 4, 0)]));
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [edge(w, 1, 3, 1)]);
        let mut again = edge(w, 1, 2, 1);
        again.first_ns = w.start() + 8;
        store.commit(&commit(3, vec![again]));
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [again, edge(w, 1, 3, 1)]);
    });
}

#[test]
fn retraction_may_come_before_what_it_takes_away() {
    on_every_store(|store| {
        let w = window(0);
        store.commit(&commit(1, vec![less(w, 1, 2, 3)]));
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [less(w, 1, 2, 3)]);
        store.reopen();
        store.commit(&commit(2, vec![edge(w, 1, 2, 3)]));
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), []);
    });
}

#[test]
fn rows_come_in_the_order_of_keys_and_only_from_windows_in_the_range() {
    on_every_store(|store| {
        // Across six-hour spans, with rows of one window in several commits.
        let windows = [window(2_161), window(1), window(0), window(2_160), window(9_000)];
        for (at, w) in windows.into_iter().enumerate() {
            let rows = vec![edge(w, 2, 1, 1), edge(w, 1, 256, 1), edge(w, 1, 2, 1)];
            let paths =
                vec![path(w, 1, &[7, 8], 2, 1), path(w, 1, &[9], 2, 1), path(w, 1, &[], 2, 1)];
            store.commit(&EpochCommit { paths, ..commit(at as u64 + 1, rows) });
        }
        let reader = store.reader();
        let all = edges(&*reader, TimeRange::ALL);
        assert_eq!(all.len(), 15);
        assert!(all.is_sorted_by(|a, b| a.key < b.key));
        let all = paths(&*reader, TimeRange::ALL);
        assert_eq!(all.len(), 15);
        assert!(all.is_sorted_by(|a, b| a.key < b.key));

        let seen = |range| {
            let mut windows: Vec<Window> =
                edges(&*reader, range).iter().map(|e| e.key.window).collect();
            windows.dedup();
            windows
        };
        assert_eq!(seen(range(window(1), window(2_161))), [window(1), window(2_160)]);
        // A range that only touches a window gets all of it.
        let inside = TimeRange { from: window(1).start() + 9_999_999_999, to: window(2).start() };
        assert_eq!(seen(inside), [window(1)]);
        let one_more = TimeRange { from: window(1).start(), to: window(2_160).start() + 1 };
        assert_eq!(seen(one_more), [window(1), window(2_160)]);
        assert_eq!(seen(range(window(2), window(2))), []);
        assert_eq!(seen(TimeRange { from: 5, to: 0 }), []);
        assert_eq!(reader.span().unwrap(), Some((window(0), window(9_000))));
    });
}

#[test]
fn times_beyond_the_last_window_are_in_no_window() {
    on_every_store(|store| {
        let last = LEN.window(Nanos::MAX);
        store.commit(&commit(1, vec![edge(last, 1, 2, 1)]));
        let reader = store.reader();
        assert_eq!(edges(&*reader, TimeRange::ALL).len(), 1);
        let beyond = TimeRange { from: Nanos::MAX - 1, to: Nanos::MAX };
        assert_eq!(edges(&*reader, beyond), []);
        assert_eq!(reader.span().unwrap(), Some((last, last)));
    });
}

#[test]
fn unsorted_rows_with_repeats_are_one_row_each() {
    on_every_store(|store| {
        let w = window(0);
        let mess = vec![edge(w, 2, 1, 1), edge(w, 1, 2, 1), edge(w, 2, 1, 5), less(w, 1, 2, 1)];
        store.commit(&commit(1, mess));
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [edge(w, 2, 1, 6)]);
    });
}

#[test]
fn epoch_that_is_not_the_next_one_is_refused_and_changes_nothing() {
    on_every_store(|store| {
        let w = window(0);
        store.commit(&commit(1, vec![edge(w, 1, 2, 3)]));
        for epoch in [0, 1, 3] {
            let refused = store.writer().commit(&commit(epoch, vec![edge(w, 1, 2, 3)]));
            assert!(
                matches!(refused, Err(Error::OutOfOrder { last: 1, got }) if got == epoch),
                "epoch {epoch}: {refused:?}"
            );
        }
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [edge(w, 1, 2, 3)]);
        assert_eq!(store.reader().checkpoint().unwrap().epoch, 1);
    });
}

#[test]
fn partition_that_a_commit_does_not_name_keeps_its_position() {
    on_every_store(|store| {
        let positions = vec![position(0, 10), position(1, 20), position(2, 30)];
        store.commit(&EpochCommit { positions, ..commit(1, vec![]) });
        store.reopen();
        let positions = vec![position(1, 21), position(-1, 5)];
        store.commit(&EpochCommit { positions, ..commit(2, vec![]) });
        let expected = [position(-1, 5), position(0, 10), position(1, 21), position(2, 30)];
        assert_eq!(store.reader().checkpoint().unwrap().positions, expected);
        store.reopen();
        let checkpoint = store.reader().checkpoint().unwrap();
        assert_eq!(checkpoint.positions, expected);
        assert_eq!((checkpoint.epoch, checkpoint.clock, checkpoint.watermark), (2, 2_000, 1_800));
    });
}

#[test]
fn agents_are_those_of_the_last_epoch_that_told_of_any() {
    on_every_store(|store| {
        let agent = |n: u128| (portolan_model::Ip(n), n as u64 * 60);
        let told = |agents: &[_]| Some(std::sync::Arc::from(agents));
        store.commit(&EpochCommit { agents: told(&[agent(1), agent(2)]), ..commit(1, vec![]) });
        store.commit(&EpochCommit { agents: told(&[agent(2), agent(3)]), ..commit(2, vec![]) });
        let port = |server, port| portolan_model::LearnedPort {
            server: portolan_model::EntityId(server),
            proto: portolan_model::Proto::UDP,
            port,
            until: 1_800_000_000_000_000_000,
            confidence: 120 + server as u8 % 70,
        };
        let learned = [port(1, 50_051), port(u64::MAX, 9)];
        let learned_here = Some(std::sync::Arc::from(learned));
        store.commit(&EpochCommit { agents: None, learned: learned_here, ..commit(3, vec![]) });
        store.reopen();
        let checkpoint = store.reader().checkpoint().unwrap();
        assert_eq!(*checkpoint.agents, [agent(2), agent(3)]);
        assert_eq!(*checkpoint.learned, learned);
    });
}

#[test]
fn tallies_add_up_by_name_and_folded_never_moves_back() {
    on_every_store(|store| {
        let tallies = vec![("accepted".into(), 5), ("rejected/late".into(), 1)];
        store.commit(&EpochCommit { tallies, folded: window(3), ..commit(1, vec![]) });
        store.reopen();
        let tallies = vec![("accepted".into(), 7), ("lost".into(), 2)];
        store.commit(&EpochCommit { tallies, folded: window(1), ..commit(2, vec![]) });
        store.reopen();
        let checkpoint = store.reader().checkpoint().unwrap();
        let expected = [("accepted".into(), 12), ("lost".into(), 2), ("rejected/late".into(), 1)];
        assert_eq!(checkpoint.tallies, expected);
        assert_eq!(checkpoint.folded, window(3));
    });
}

#[test]
fn newest_thousand_losses_are_remembered_in_their_order() {
    on_every_store(|store| {
        let loss = |n: i64| Loss { partition: partition(0), from: n, to: n + 1, at: 7 };
        for epoch in 0..3 {
            let losses = (epoch * 600..(epoch + 1) * 600).map(loss).collect();
            store.commit(&EpochCommit { losses, ..commit(epoch as u64 + 1, vec![]) });
            if epoch == 1 {
                store.reopen();
            }
        }
        let expected: Vec<Loss> = (800..1_800).map(loss).collect();
        assert_eq!(store.reader().checkpoint().unwrap().losses, expected);
        store.reopen();
        assert_eq!(store.reader().checkpoint().unwrap().losses, expected);
    });
}

#[test]
fn expired_windows_are_gone_for_good_and_what_comes_for_them_is_counted() {
    on_every_store(|store| {
        let (old, edge_of, new) = (window(0), window(2_500), window(2_501));
        let rows = vec![edge(old, 1, 2, 1), edge(edge_of, 1, 2, 1), edge(new, 1, 2, 1)];
        let paths_in = vec![path(old, 1, &[5], 2, 1), path(new, 1, &[5], 2, 1)];
        store.commit(&EpochCommit { paths: paths_in, ..commit(1, rows) });
        let late = vec![edge(old, 1, 2, 1), edge(new, 1, 2, 1)];
        store.commit(&EpochCommit { expire_before: new, ..commit(2, late) });
        for _ in 0..2 {
            let reader = store.reader();
            assert_eq!(edges(&*reader, TimeRange::ALL), [edge(new, 1, 2, 2)]);
            assert_eq!(paths(&*reader, TimeRange::ALL), [path(new, 1, &[5], 2, 1)]);
            assert_eq!(reader.span().unwrap(), Some((new, new)));
            assert_eq!(reader.checkpoint().unwrap().tallies, [("expired/rows".into(), 1)]);
            drop(reader);
            store.reopen();
        }
        // A longer retention later does not bring them back.
        store.commit(&EpochCommit {
            expire_before: Window(0),
            ..commit(3, vec![edge(edge_of, 1, 2, 1)])
        });
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [edge(new, 1, 2, 2)]);
    });
}

#[test]
fn owner_is_kept_by_scope_uid_and_start_and_replaced_by_the_same() {
    on_every_store(|store| {
        let (first, second) = (owner("u1", 100), owner("u1", 200));
        let other = owner(&"long ".repeat(400), 100);
        let twin = owner(&format!("{}x", "long ".repeat(400)), 100);
        let owners_in = vec![first.clone(), second.clone(), other.clone(), twin.clone()];
        store.commit(&EpochCommit { owners: owners_in, ..commit(1, vec![]) });
        let mut ended = first.clone();
        ended.valid = ended.valid.ended(150, 160);
        store.commit(&EpochCommit { owners: vec![ended.clone()], ..commit(2, vec![]) });
        store.reopen();
        let mut found = owners(&*store.reader());
        found.sort();
        let mut expected = vec![ended, second, other, twin];
        expected.sort();
        assert_eq!(found, expected);
    });
}

#[test]
fn entities_are_found_by_id_and_visited_in_order() {
    on_every_store(|store| {
        let named = vec![entity("web"), entity("db"), entity("cart\u{0}x")];
        store.commit(&EpochCommit { entities: named.clone(), ..commit(1, vec![]) });
        store.commit(&EpochCommit { entities: named[..1].to_vec(), ..commit(2, vec![]) });
        for _ in 0..2 {
            let reader = store.reader();
            for (id, entity) in &named {
                assert_eq!(reader.entity(*id).as_deref(), Some(entity));
            }
            assert_eq!(reader.entity(portolan_model::EntityId(1)), None);
            let mut ids = Vec::new();
            reader.entities(&mut |id, _| ids.push(id));
            assert_eq!(ids.len(), 3);
            assert!(ids.is_sorted());
            // A reader keeps the directory locked.
            drop(reader);
            store.reopen();
        }
    });
}

#[test]
fn calls_add_up_with_their_histograms_expire_and_come_in_the_order_of_keys() {
    on_every_store(|store| {
        let (old, new) = (window(0), window(2_500));
        let first = vec![
            call(new, 2, 1, 7, 1),
            call(old, 1, 2, 7, 3),
            call(old, 1, 2, 0, 2),
            call(old, 1, 2, 7, 1),
        ];
        store.commit(&EpochCommit { calls: first, ..commit(1, vec![]) });
        let expected = [call(old, 1, 2, 0, 2), call(old, 1, 2, 7, 4), call(new, 2, 1, 7, 1)];
        assert_eq!(calls(&*store.reader(), TimeRange::ALL), expected);
        assert_eq!(calls(&*store.reader(), range(new, window(2_501))), expected[2..]);
        assert_eq!(store.reader().span().unwrap(), Some((old, new)));
        store.reopen();
        let second = vec![call(old, 1, 2, 0, -2), call(old, 1, 2, 7, -1)];
        store.commit(&EpochCommit { calls: second, ..commit(2, vec![]) });
        let expected = [call(old, 1, 2, 7, 3), call(new, 2, 1, 7, 1)];
        assert_eq!(calls(&*store.reader(), TimeRange::ALL), expected);
        // A row whose counters cancel out stays while a histogram holds something.
        let mut lopsided = call(new, 2, 1, 7, -1);
        lopsided.gap = portolan_model::Latency::default();
        store.commit(&EpochCommit { calls: vec![lopsided], ..commit(3, vec![]) });
        let left = calls(&*store.reader(), range(new, window(2_501)));
        assert!(left[0].counters.is_zero() && left[0].gap.count() == 1, "{left:?}");
        let third = EpochCommit { calls: vec![call(old, 1, 2, 7, 1)], ..commit(4, vec![]) };
        store.commit(&EpochCommit { expire_before: new, ..third });
        assert_eq!(calls(&*store.reader(), TimeRange::ALL), left);
        let tallies = store.reader().checkpoint().unwrap().tallies;
        assert_eq!(tallies, [("expired/rows".into(), 1)]);
    });
}

#[test]
fn reader_sees_one_whole_epoch_while_the_next_is_written() {
    on_every_store(|store| {
        // Every epoch puts its own number into two windows of different six-hour spans.
        let (a, b) = (window(0), window(5_000));
        let reader = store.reader();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let ordering = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut seen = 0;
                while !stop.load(ordering) {
                    let counts: Vec<i64> = edges(&*reader, TimeRange::ALL)
                        .iter()
                        .map(|e| e.counters[portolan_model::Measure::Flows])
                        .collect();
                    assert!(counts.windows(2).all(|c| c[0] == c[1]), "torn: {counts:?}");
                    assert!(matches!(counts.len(), 0 | 600), "torn: {} rows", counts.len());
                    seen = seen.max(counts.first().copied().unwrap_or(0));
                }
                seen
            });
            for epoch in 1..=30 {
                let mut rows: Vec<_> = (0..300).map(|n| edge(a, n, 1, 1)).collect();
                rows.extend((0..300).map(|n| edge(b, n, 1, 1)));
                store.commit(&commit(epoch, rows));
            }
            stop.store(true, ordering);
            assert!(watcher.join().unwrap() <= 30);
        });
        assert_eq!(edges(&*reader, TimeRange::ALL)[0].counters, sums(30, 3_000));
    });
}

#[test]
fn many_rows_in_a_window_add_up_as_few_do() {
    on_every_store(|store| {
        let w = window(0);
        let all = |flows| (0..1_000).map(|n| edge(w, n, n % 7, flows)).collect::<Vec<_>>();
        store.commit(&commit(1, all(2)));
        store.commit(&commit(2, vec![edge(w, 1, 1, 1)]));
        store.commit(&commit(3, all(-1)));
        store.reopen();
        store.commit(&commit(4, vec![edge(w, 1, 1, 1)]));
        let mut expected = all(1);
        expected[1] = edge(w, 1, 1, 3);
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), expected);
        store.commit(&commit(5, all(-1)));
        assert_eq!(edges(&*store.reader(), TimeRange::ALL), [edge(w, 1, 1, 2)]);
    });
}

#[test]
fn empty_store_has_nothing_and_says_so() {
    on_every_store(|store| {
        let reader = store.reader();
        assert_eq!(edges(&*reader, TimeRange { from: 0, to: Nanos::MAX }), []);
        assert_eq!(reader.span().unwrap(), None);
        assert_eq!(reader.checkpoint().unwrap(), portolan_storage::Checkpoint::default());
        assert_eq!(reader.window_len(), LEN);
    });
}
