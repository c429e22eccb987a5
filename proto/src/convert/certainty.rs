//! How sure an edge is, as a message.

use portolan_model::{Counters, Orientation, Oriented, Resolution};

use crate::v1;

/// How sure these sums are; nothing where there is no connection and no byte of whose certainty anything could
/// be said. A sum below zero shows as 0, as in [`super::counters_to_v1`].
pub fn certainty_to_v1(counters: &Counters) -> Option<v1::Certainty> {
    let oriented = Oriented::of(counters);
    let found = |resolution: Resolution| resolution.of(counters);
    if oriented.is_none() && Resolution::ALL.iter().all(|it| found(*it) == (0, 0)) {
        return None;
    }
    let number = |sum: i64| u64::try_from(sum).unwrap_or(0);
    let found_by = |of: fn((i64, i64)) -> i64| {
        let sum = |resolution| number(of(found(resolution)));
        v1::FoundBy {
            exact: sum(Resolution::Exact),
            outside: sum(Resolution::Outside),
            tolerant: sum(Resolution::Tolerant),
            early: sum(Resolution::Early),
            lingering: sum(Resolution::Lingering),
            ambiguous: sum(Resolution::Ambiguous),
            unresolved: sum(Resolution::Unresolved),
        }
    };
    let of = |class: Orientation| number(counters[class.measure()]);
    Some(v1::Certainty {
        bytes: Some(found_by(|(bytes, _)| bytes)),
        connections: Some(found_by(|(_, connections)| connections)),
        oriented: Some(v1::OrientedBy {
            socket: of(Orientation::Socket),
            handshake: of(Orientation::Handshake),
            tracked: of(Orientation::Tracked),
            declared: of(Orientation::Declared),
            learned: of(Orientation::Learned),
            well_known: of(Orientation::WellKnown),
            ephemeral: of(Orientation::Ephemeral),
            first: of(Orientation::First),
            none: of(Orientation::None),
        }),
        weakest: oriented.map_or("", |it| it.weakest.as_str()).to_owned(),
        confidence_least: oriented.map_or(0, |it| u32::from(it.least)),
        confidence_mean: oriented.map_or(0, |it| u32::from(it.mean)),
        partial: oriented.is_none_or(|it| !it.whole),
    })
}

#[cfg(test)]
mod tests {
    use portolan_model::{Certainty, Measure, Plain};

    use super::*;

    #[test]
    fn every_way_to_be_sure_has_a_field_of_its_name() {
        for orientation in Orientation::ALL.iter().copied() {
            for resolution in Resolution::ALL.iter().copied() {
                let mut plain = Plain::ZERO;
                plain[Measure::BytesReceived] = 700;
                plain[Measure::Connections] = 2;
                plain[Measure::ConnectionsActive] = 3;
                let confidence = orientation.confidence();
                let sums = plain.with(Certainty { resolution, orientation, confidence });
                let shown = certainty_to_v1(&sums).unwrap();
                assert_eq!(shown.weakest, orientation.as_str());
                assert_eq!((shown.confidence_least, shown.partial), (confidence.into(), false));
                assert_eq!(shown.confidence_mean, u32::from(confidence));
                let json = serde_json::to_value(shown).unwrap();
                assert_eq!(json["oriented"][orientation.as_str()], 3);
                assert_eq!(json["bytes"][resolution.as_str()], 700);
                assert_eq!(json["connections"][resolution.as_str()], 2);
                for of in ["bytes", "connections", "oriented"] {
                    let sums = json[of].as_object().unwrap().values();
                    assert_eq!(sums.filter(|sum| **sum != 0).count(), 1, "{of}");
                }
            }
        }
    }

    #[test]
    fn what_an_earlier_version_counted_is_said_to_be_partial() {
        let mut sums = Counters::ZERO;
        assert_eq!(certainty_to_v1(&sums), None);
        sums[Measure::BytesSent] = 9;
        sums[Measure::ConnectionsActive] = 1;
        let shown = certainty_to_v1(&sums).unwrap();
        assert_eq!((shown.weakest.as_str(), shown.partial), ("", true));
    }
}
