use portolan_model::{Certainty, Orientation, Plain, Resolution};
use proptest::prelude::*;

use super::*;

fn sums() -> impl Strategy<Value = Sums> {
    let counter = prop_oneof![3 => Just(0_i64), 2 => -300_i64..300, 1 => any::<i64>()];
    let counters = proptest::collection::vec(counter, MEASURES);
    let time = prop_oneof![Just(0_u64), Just(u64::MAX), any::<u64>()];
    (counters, time.clone(), time).prop_map(|(counters, first_ns, last_ns)| Sums {
        counters: Counters::from_array(std::array::from_fn(|at| counters[at])),
        first_ns,
        last_ns,
    })
}

proptest! {
    #[test]
    fn sums_come_back_as_they_went(sums in sums(), window in any::<u32>()) {
        let mut bytes = Vec::new();
        put_sums(&mut bytes, Window(window), &sums);
        prop_assert!(bytes.len() <= 6 + (MEASURES + 2) * 10);
        let mut at = &*bytes;
        prop_assert_eq!(take_sums(&mut at, Window(window)), Some(sums));
        prop_assert!(at.is_empty());
        // Cut anywhere, they are not mistaken for others.
        for cut in 0..bytes.len() {
            prop_assert_eq!(take_sums(&mut &bytes[..cut], Window(window)), None);
        }
    }

    #[test]
    fn any_bytes_are_sums_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        take_sums(&mut &*bytes, Window(60));
    }

    #[test]
    fn numbers_come_back_as_they_went(value in any::<i64>()) {
        let mut bytes = Vec::new();
        put_signed(&mut bytes, value);
        prop_assert_eq!(take_signed(&mut &*bytes), Some(value));
    }
}

#[test]
fn usual_row_takes_few_bytes() {
    let mut counters = [0; MEASURES];
    // Flows, connections, bytes and packets each way: a busy edge in ten seconds.
    for (place, sum) in [(0, 40), (1, 12), (4, 90_000), (5, 700_000), (6, 300), (7, 500)] {
        counters[place] = sum;
    }
    let window = Window(1_795_392_000);
    let sums = Sums {
        counters: Counters::from_array(counters),
        first_ns: window.start() + 1_234_567,
        last_ns: window.start() + 9_876_543_210,
    };
    let mut bytes = Vec::new();
    put_sums(&mut bytes, window, &sums);
    assert_eq!(bytes.len(), 23);
}

#[test]
fn bytes_of_format_1_are_these() {
    let mut counters = [0; MEASURES];
    (counters[0], counters[4], counters[15]) = (1, -2, 300);
    let window = Window(10);
    let sums = Sums {
        counters: Counters::from_array(counters),
        first_ns: window.start() + 1,
        last_ns: window.start() - 1,
    };
    let mut bytes = Vec::new();
    put_sums(&mut bytes, window, &sums);
    assert_eq!(bytes, [0xc7, 0x80, 0x08, 0x02, 0x03, 0xd8, 0x04, 0x02, 0x01]);
}

#[test]
fn how_sure_a_row_is_costs_a_byte_where_all_of_it_is_alike() {
    let window = Window(10);
    let bytes = |sums: &Counters| {
        let mut bytes = Vec::new();
        put_sums(&mut bytes, window, &Sums { counters: *sums, ..Sums::ZERO });
        assert_eq!(take_sums(&mut &*bytes, window).unwrap().counters, *sums);
        bytes.len()
    };
    let mut plain = Plain::ZERO;
    plain[Measure::BytesSent] = 90_000;
    plain[Measure::ConnectionsActive] = 12;
    plain[Measure::FlowsSeenTwice] = 30;
    let mut old = Counters::ZERO;
    old[Measure::BytesSent] = 90_000;
    old[Measure::ConnectionsActive] = 12;
    old[Measure::FlowsSeenTwice] = 30;
    for orientation in [Orientation::Handshake, Orientation::Declared, Orientation::Socket] {
        let confidence = orientation.confidence();
        let resolution = Resolution::Exact;
        let mut sums = Counters::ZERO;
        sums.add_plain(&plain, Certainty { resolution, orientation, confidence });
        assert_eq!(bytes(&sums), bytes(&old) + 1, "{orientation:?}");
    }
}

#[test]
fn counter_of_a_later_version_is_refused() {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, 1 << (FLAGS + MEASURES as u32));
    put_signed(&mut bytes, 1);
    assert_eq!(take_sums(&mut &*bytes, Window(0)), None);
}

#[test]
fn overlong_number_is_refused() {
    assert_eq!(take_varint(&mut &[0xff; 11][..]), None);
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(take_varint(&mut &most[..]), Some(u64::MAX));
    let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(take_varint(&mut &over[..]), None);
}

#[test]
fn length_beyond_the_bytes_is_refused() {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, u64::MAX);
    assert_eq!(take_str(&mut &*bytes), None);
}
