use std::collections::BTreeMap;

use portolan_model::{CallDelta, EdgeDelta, PathDelta};
use proptest::prelude::*;

use super::*;
use crate::codec::{take_signed, take_varint};
use crate::row::{Row, Sum, tidy};

mod rows;
use rows::{any_call, any_edge, any_path};

const WINDOW: portolan_model::Window = portolan_model::Window(1_795_392_000);

fn add<R: Row>(sum: &mut Summer<R>, packed: &[Packed]) {
    assert!(sum.add_packed(packed.iter().map(whole).collect(), None).is_empty());
}

/// Slices at hand.
type AtHand<'a> = std::vec::IntoIter<Result<&'a [u8], &'static str>>;

fn whole(part: &Packed) -> Opened<'_, AtHand<'_>> {
    unsealed(part, &part.slices.iter().collect::<Vec<_>>())
}

fn unsealed<'a>(part: &'a Packed, slices: &[&'a Vec<u8>]) -> Opened<'a, AtHand<'a>> {
    let slices: Vec<_> = slices.iter().map(|slice| Ok(unseal(slice).unwrap())).collect();
    let slices = slices.into_iter();
    Opened { window: WINDOW, layer: part.layer, head: Head::read(&part.head).unwrap(), slices }
}

fn visited<R: Row>(sum: &mut Summer<R>) -> Vec<R> {
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
    let mut packed = Vec::new();
    for rows in windows {
        let mut one = Summer::<R>::new();
        one.add_rows(&tidy(rows));
        packed.extend(one.pack(WINDOW));
        add(&mut total, &one.pack(WINDOW));
    }
    let expected = naive(windows);
    prop_assert_eq!(visited(&mut total), expected.clone());
    // Likewise if they are added together.
    let mut together = Summer::<R>::new();
    add(&mut together, &packed);
    prop_assert_eq!(visited(&mut together), expected.clone());
    // And the sum can be packed in its turn.
    let mut again = Summer::<R>::new();
    add(&mut again, &total.pack(WINDOW));
    prop_assert_eq!(visited(&mut again), expected);
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
        let column = column::Column::read(&mut at, values.len()).unwrap();
        prop_assert!(at.is_empty());
        column.unpack(&mut back);
        let within = |value: &i64| value.unsigned_abs() <= column.most && *value >= column.least;
        prop_assert!(back.iter().all(within) || values.is_empty());
        prop_assert_eq!(&back, &values);
        // Any third of it, without those between.
        let places: Vec<usize> = (0..values.len()).filter(|place| (place * 7 + values.len()) % 3 == 0).collect();
        let mut some = vec![7];
        column.pick(&places, &mut some);
        prop_assert_eq!(some, places.iter().map(|place| values[*place]).collect::<Vec<_>>());
        // And added to what is there, one behind the other or spread.
        let mut sums: Vec<i64> = (0..values.len() as i64).collect();
        column.add_to(&mut sums);
        let sum = |place: usize| (place as i64).wrapping_add(values[place]);
        prop_assert_eq!(&sums, &(0..values.len()).map(sum).collect::<Vec<_>>());
        let mut spread = vec![0; values.len() * 3];
        let slots: Vec<u32> = (0..values.len() as u32).map(|place| place * 3 + place % 2).collect();
        column.add_at(&slots, &mut spread);
        prop_assert_eq!(slots.iter().map(|slot| spread[*slot as usize]).collect::<Vec<_>>(), values.clone());
        prop_assert_eq!(spread.iter().fold(0_i64, |all, sum| all.wrapping_add(*sum)), values.iter().fold(0_i64, |all, value| all.wrapping_add(*value)));
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
        let mut add = |head| {
            let opened = Opened { window: WINDOW, layer: 0, head, slices: [Ok::<_, ()>(&*body)].into_iter() };
            let _ = sum.add_packed(vec![opened], None);
        };
        Head::read(&part).into_iter().for_each(&mut add);
        let empty = super::parts::Contents { rows: 0, totals: [0; COUNTERS], ids: &[1, 2], slices: vec![], tails: &[&[0; 10]] };
        let head = Head::put(&empty);
        add(Head::read(&head).unwrap());
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
        let slices: Vec<_> = wanted.iter().map(|slice| &packed.slices[*slice]).collect();
        assert!(one.add_packed(vec![unsealed(packed, &slices)], Some(id)).is_empty());
        let has = |row: &&EdgeDelta| row.key.client.0 == id || row.key.server.0 == id;
        let mut expected: Vec<EdgeDelta> = rows.iter().filter(has).copied().collect();
        expected.sort_by_key(|row| row.key);
        assert_eq!(visited(&mut one), expected);
    }
    assert_eq!(head.code(5_000), None);
}

#[test]
fn windows_of_many_slices_are_added_in_any_company() {
    // Each window lacks other rows, has one that only it has, and one with an entity that only it has.
    let window = |n: u64| -> Vec<EdgeDelta> {
        let there = |row: &u64| !(row * 31 + n * 7).is_multiple_of(10);
        let mut rows: Vec<_> =
            (0..4_000_u64).filter(there).map(|at| rows::edge(at / 10, at * 7 % 991)).collect();
        rows.push(rows::edge(n * 37, 5_000 + n));
        rows.push(rows::edge(3_000 - n, n));
        tidy(&rows).into_owned()
    };
    let windows: Vec<Vec<EdgeDelta>> = (0..12).map(window).collect();
    let expected = naive(&windows);
    let packed: Vec<Packed> = windows
        .iter()
        .flat_map(|rows| {
            let mut one = Summer::<EdgeDelta>::new();
            one.add_rows(rows);
            one.pack(WINDOW)
        })
        .collect();
    assert!(packed.iter().all(|part| part.slices.len() > 3));
    for company in [1, 2, 5, 12] {
        let mut sum = Summer::<EdgeDelta>::new();
        for some in packed.chunks(company) {
            add(&mut sum, some);
            // Rows that come in between, unpacked, and leave nothing.
            sum.add_rows(&[rows::edge(7, 77)]);
            let mut away = rows::edge(7, 77);
            away.counters = portolan_model::Counters::ZERO;
            away.counters.subtract(&rows::edge(7, 77).counters);
            sum.add_rows(&[away]);
        }
        let seen = visited(&mut sum);
        assert_eq!(seen.len(), expected.len(), "{company} at a time");
        assert!(
            seen.iter().zip(&expected).all(|(a, b)| a.key == b.key && a.counters == b.counters)
        );
    }
}

#[test]
fn sums_beyond_all_numbers_stay_at_the_greatest() {
    let mut row = rows::edge(1, 2);
    row.counters[portolan_model::Measure::BytesSent] = i64::MAX / 2;
    let mut one = Summer::<EdgeDelta>::new();
    one.add_rows(&[row]);
    let packed = one.pack(WINDOW).remove(0);
    let again = || whole(&packed);
    let mut sum = Summer::<EdgeDelta>::new();
    assert!(sum.add_packed(vec![again(), again(), again()], None).is_empty());
    assert!(sum.add_packed(vec![again()], None).is_empty());
    assert_eq!(visited(&mut sum)[0].counters[portolan_model::Measure::BytesSent], i64::MAX);
}

#[test]
fn parts_of_version_1_read_as_they_did() {
    let rows: Vec<EdgeDelta> = (1..2_000).map(|client| rows::edge(client, client % 7)).collect();
    let mut sum = Summer::<EdgeDelta>::new();
    sum.add_rows(&rows);
    let mut part = sum.pack(WINDOW).remove(0);
    // As that version wrote them: sixteen totals in the head; plain counters have no more.
    let body = unseal(&part.head).unwrap();
    let mut rest = body;
    for _ in 0..4 {
        take_varint(&mut rest).unwrap();
    }
    for _ in 0..16 {
        take_signed(&mut rest).unwrap();
    }
    let kept = body.len() - rest.len();
    assert!(rest[..COUNTERS - 16].iter().all(|byte| *byte == 0));
    let old = [&body[..kept], &rest[COUNTERS - 16..]].concat();
    part.head = seal(&old);
    part.head[0] = 1;
    for slice in &mut part.slices {
        slice[0] = 1;
    }
    let mut again = Summer::<EdgeDelta>::new();
    assert!(again.add_packed(vec![whole(&part)], None).is_empty());
    let mut found = Vec::new();
    again.visit(WINDOW, &mut |row| found.push(*row));
    assert_eq!(found, rows);
    part.head[0] = 3;
    assert!(Head::read(&part.head).is_none(), "a later version is not guessed at");
}

#[test]
fn first_and_last_events_are_exact_in_any_company_of_windows() {
    let at = |n: u32| portolan_model::Window(WINDOW.0 + n * 600);
    // All but one have the same edges; times are anywhere in the window, and some are not known.
    let window = |n: u32| -> Vec<EdgeDelta> {
        let mut rows: Vec<_> =
            (0..2_500_u64).map(|row| rows::edge(row / 10, row * 7 % 991)).collect();
        if n == 3 {
            rows.push(rows::edge(3_000, 3_001));
        }
        for (row, edge) in rows.iter_mut().enumerate() {
            let noise = (row as u64 * 7 + u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            edge.key.window = at(n);
            edge.first_ns = at(n).start() + noise % 300_000 * 1_000_000;
            edge.last_ns = edge.first_ns + noise % 250_001 * 1_000_000;
            if noise.is_multiple_of(50) {
                (edge.first_ns, edge.last_ns) = (portolan_model::Nanos::MAX, 0);
            }
        }
        tidy(&rows).into_owned()
    };
    let windows: Vec<Vec<EdgeDelta>> = (0..9).map(window).collect();
    let packed: Vec<Packed> = windows
        .iter()
        .zip(0..)
        .flat_map(|(rows, n)| {
            let mut one = Summer::<EdgeDelta>::new();
            one.add_rows(rows);
            one.pack(at(n))
        })
        .collect();
    for company in [1, 2, 4, 9] {
        let mut sum = Summer::<EdgeDelta>::new();
        let numbered: Vec<_> = packed.iter().zip(0..).collect();
        for some in numbered.chunks(company) {
            let opened = some.iter().map(|(part, n)| Opened { window: at(*n), ..whole(part) });
            assert!(sum.add_packed(opened.collect(), None).is_empty());
        }
        assert_eq!(visited(&mut sum), naive(&windows), "{company} at a time");
    }
}
