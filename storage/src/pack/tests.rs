use std::collections::BTreeMap;

use portolan_model::{CallDelta, EdgeDelta, PathDelta};
use proptest::prelude::*;

use super::columns::Columns;
use super::*;
use crate::row::{Row, Sum, tidy};

mod rows;
use rows::{any_call, any_edge, any_path};

const WINDOW: portolan_model::Window = portolan_model::Window(1_795_392_000);

fn add<R: Row>(sum: &mut Summer<R>, window: portolan_model::Window, packed: &[Packed]) {
    for part in packed {
        let head = Head::read(&part.head).unwrap();
        let slices = part.slices.iter().map(|s| unseal(s).unwrap());
        sum.add_packed(window, part.layer, &head, None, slices).unwrap();
    }
}

fn visited<R: Row>(sum: &Summer<R>) -> Vec<R> {
    let mut rows = Vec::new();
    sum.visit(WINDOW, &mut |row: &R| rows.push(row.clone()));
    rows
}

/// The rows added up one by one.
fn naive<R: Row>(windows: &[Vec<R>]) -> Vec<R> {
    let mut sums: BTreeMap<R::Key, R::Sums> = BTreeMap::new();
    for rows in windows {
        let mut window: BTreeMap<R::Key, R::Sums> = BTreeMap::new();
        for row in rows {
            let key = R::moved(row.key(), WINDOW);
            window.entry(key).or_insert_with(R::Sums::zero).merge(&row.sums());
        }
        for (key, sum) in window.into_iter().filter(|(_, sum)| !sum.is_zero()) {
            sums.entry(key).or_insert_with(R::Sums::zero).merge(&sum);
        }
    }
    sums.into_iter().filter(|(_, s)| !s.is_zero()).map(|(k, s)| R::new(k, s)).collect()
}

fn check<R: Row + PartialEq + std::fmt::Debug>(windows: &[Vec<R>]) -> Result<(), TestCaseError> {
    let mut total = Summer::<R>::new();
    for rows in windows {
        let mut one = Summer::<R>::new();
        one.add_rows(&tidy(rows));
        add(&mut total, WINDOW, &one.pack(WINDOW));
    }
    let expected = naive(windows);
    prop_assert_eq!(visited(&total), expected.clone());
    // And the sum can be packed in its turn.
    let mut again = Summer::<R>::new();
    add(&mut again, WINDOW, &total.pack(WINDOW));
    prop_assert_eq!(visited(&again), expected);
    Ok(())
}

proptest! {
    #[test]
    fn edges_packed_and_added_up_are_their_sum(windows in prop::collection::vec(prop::collection::vec(any_edge(), 0..40), 0..5)) {
        check::<EdgeDelta>(&windows)?;
    }

    #[test]
    fn paths_packed_and_added_up_are_their_sum(windows in prop::collection::vec(prop::collection::vec(any_path(), 0..20), 0..4)) {
        check::<PathDelta>(&windows)?;
    }

    #[test]
    fn calls_packed_and_added_up_are_their_sum(windows in prop::collection::vec(prop::collection::vec(any_call(), 0..20), 0..4)) {
        check::<CallDelta>(&windows)?;
    }

    #[test]
    fn column_comes_back_as_it_went(values in prop::collection::vec(prop_oneof![4 => 0_i64..50, 1 => any::<i64>()], 0..300)) {
        let mut bytes = Vec::new();
        column::put(&mut bytes, &values);
        let mut back = Vec::new();
        let mut at = &*bytes;
        prop_assert_eq!(column::take(&mut at, values.len(), &mut back), Some(()));
        prop_assert!(at.is_empty());
        prop_assert_eq!(back, values);
    }

    #[test]
    fn changed_byte_is_seen(rows in prop::collection::vec(any_edge(), 1..40), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut sum = Summer::<EdgeDelta>::new();
        sum.add_rows(&tidy(&rows));
        for mut part in sum.pack(WINDOW) {
            let place = at.index(part.slices[0].len());
            part.slices[0][place] ^= 1 << bit;
            prop_assert!(unseal(&part.slices[0]).is_none());
            let place = at.index(part.head.len());
            part.head[place] ^= 1 << bit;
            prop_assert!(Head::read(&part.head).is_none());
        }
    }

    #[test]
    fn any_bytes_are_a_part_or_nothing(body in prop::collection::vec(any::<u8>(), 0..200)) {
        // With a checksum that is right: what a forger, or another version, would write.
        let part = seal(&body);
        let mut sum = Summer::<CallDelta>::new();
        if let Some(head) = Head::read(&part) {
            let _ = sum.add_packed(WINDOW, 0, &head, None, std::iter::once(&*body));
        }
        let empty = super::parts::Contents { rows: 0, totals: [0; COUNTERS], ids: &[1, 2], slices: vec![], tails: &[&[0; 10]] };
        let head = Head::put(&empty);
        let head = Head::read(&head).unwrap();
        let _ = sum.add_packed(WINDOW, 0, &head, None, std::iter::once(&*body));
        if let Some(reverse) = Reverse::read(&part) {
            let _ = reverse.as_server(70);
        }
    }
}

#[test]
fn rows_of_one_entity_are_found_by_its_slices_alone() {
    let rows: Vec<EdgeDelta> = (0..5_000_u64).map(|n| rows::edge(n / 10, (n * 7) % 991)).collect();
    let mut sum = Summer::<EdgeDelta>::new();
    sum.add_rows(&tidy(&rows));
    let packed = &sum.pack(WINDOW)[0];
    let head = Head::read(&packed.head).unwrap();
    let reverse = Reverse::read(&packed.reverse).unwrap();
    assert_eq!((head.rows, head.slices()), (5_000, 5));
    for id in [0, 7, 99, 490, 990] {
        let code = head.code(id).unwrap();
        let mut wanted: Vec<usize> = head.as_client(code).collect();
        wanted.extend(reverse.as_server(code).unwrap());
        wanted.sort_unstable();
        wanted.dedup();
        let mut one = Summer::<EdgeDelta>::new();
        let slices = wanted.iter().map(|slice| unseal(&packed.slices[*slice]).unwrap());
        one.add_packed(WINDOW, 0, &head, Some(id), slices).unwrap();
        let has = |row: &&EdgeDelta| row.key.client.0 == id || row.key.server.0 == id;
        let mut expected: Vec<EdgeDelta> = rows.iter().filter(has).copied().collect();
        expected.sort_by_key(|row| row.key);
        assert_eq!(visited(&one), expected);
    }
    assert_eq!(head.code(5_000), None);
    assert_eq!(Columns::default().len(), 0);
}
