//! The nouns of the model as messages of `portolan.v1`.

use portolan_model::{Counters, Entity, EntityKind, Measure, Nanos};

use crate::v1;

const NANOS_PER_MICRO: u64 = 1_000;

/// An entity, with its stable id.
pub fn entity_to_v1(entity: &Entity) -> v1::Entity {
    let hop_class = match entity.kind {
        EntityKind::Hop(class) => class.as_str(),
        _ => "",
    };
    v1::Entity {
        id: entity.id().to_string(),
        environment: entity.environment.to_string(),
        namespace: entity.namespace.to_string(),
        name: entity.name.to_string(),
        kind: entity.kind.as_str().to_owned(),
        detail: entity.detail.to_string(),
        hop_class: hop_class.to_owned(),
        ..v1::Entity::default()
    }
}

mod certainty;

pub use certainty::certainty_to_v1;

/// The plain sums of an edge; [`certainty_to_v1`] shows the others. A sum below zero, which only a retraction seen without what it retracts can
/// be, shows as 0.
pub fn counters_to_v1(counters: &Counters) -> v1::Counters {
    let sum = |measure: Measure| u64::try_from(counters[measure]).unwrap_or(0);
    v1::Counters {
        flows: sum(Measure::Flows),
        connections: sum(Measure::Connections),
        connections_failed: sum(Measure::ConnectionsFailed),
        connections_active: sum(Measure::ConnectionsActive),
        bytes_sent: sum(Measure::BytesSent),
        bytes_received: sum(Measure::BytesReceived),
        packets_sent: sum(Measure::PacketsSent),
        packets_received: sum(Measure::PacketsReceived),
        drop_bytes: sum(Measure::DropBytes),
        drop_packets: sum(Measure::DropPackets),
        rtt_count: sum(Measure::RttCount),
        rtt_sum_micros: sum(Measure::RttSumMicros),
        flows_seen_twice: sum(Measure::FlowsSeenTwice),
        bytes_inferred: sum(Measure::BytesInferred),
        flows_sampled: sum(Measure::FlowsSampled),
        connections_guessed: sum(Measure::ConnectionsGuessed),
    }
}

/// Microseconds since the epoch, cut. 64 bits of nanoseconds always fit.
pub const fn nanos_to_micros(at: Nanos) -> i64 {
    (at / NANOS_PER_MICRO) as i64
}

/// Nanoseconds since the epoch; times before it are the epoch, times past 2554 the end of time.
pub const fn micros_to_nanos(at: i64) -> Nanos {
    if at < 0 { 0 } else { (at as u64).saturating_mul(NANOS_PER_MICRO) }
}

#[cfg(test)]
mod tests {
    use portolan_model::{HopClass, MEASURES, PLAIN};

    use super::*;

    #[test]
    fn every_measure_keeps_its_name_and_value_on_the_wire() {
        let mut sums = [0; MEASURES];
        for (place, sum) in sums.iter_mut().enumerate() {
            *sum = place as i64 + 1;
        }
        let json = serde_json::to_value(counters_to_v1(&Counters::from_array(sums))).unwrap();
        for (place, measure) in Measure::ALL.iter().take(PLAIN).enumerate() {
            assert_eq!(json[measure.as_str()], place + 1, "{}", measure.as_str());
        }
    }

    #[test]
    fn sum_below_zero_shows_as_none() {
        let mut counters = Counters::ZERO;
        counters[Measure::BytesSent] = -1;
        assert_eq!(counters_to_v1(&counters).bytes_sent, 0);
    }

    #[test]
    fn only_hops_have_a_class() {
        let hop = Entity::new(EntityKind::Hop(HopClass::ClusterIp), "shop", "web");
        let hop = entity_to_v1(&hop);
        assert_eq!((hop.kind.as_str(), hop.hop_class.as_str()), ("hop", "cluster_ip"));
        let web = entity_to_v1(&Entity::new(EntityKind::Workload, "shop", "web"));
        assert_eq!((web.id.as_str(), web.hop_class.as_str()), ("abbe2a1a1d456a25", ""));
    }

    #[test]
    fn times_cross_both_ways() {
        assert_eq!(nanos_to_micros(1_795_420_225_376_947_123), 1_795_420_225_376_947);
        assert_eq!(micros_to_nanos(1_795_420_225_376_947), 1_795_420_225_376_947_000);
        assert_eq!(micros_to_nanos(-1), 0);
        assert_eq!(micros_to_nanos(i64::MAX), Nanos::MAX);
        assert!(nanos_to_micros(Nanos::MAX) > 0);
    }
}
