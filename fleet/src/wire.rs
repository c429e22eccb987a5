//! Records and ownership as the bytes that go to Kafka.

use std::sync::Arc;

use portolan_model::{FlowRow, Ip, Nanos, OwnerEvent, OwnerRecord};
use portolan_proto::{pbflow, v1};
use prost::Message as _;

mod outbox;
pub(crate) use outbox::Outbox;

const NANOS: u64 = 1_000_000_000;
const ETH_IPV4: u32 = 2_048;
const ETH_IPV6: u32 = 34_525;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Flow records.
    Flows,
    /// Ownership records.
    Ownership,
    /// Spans. There are none unless [`crate::TelemetrySpec`] asks for them.
    Spans,
    /// IPC metrics, likewise.
    Metrics,
}

/// A message for Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: Topic,
    /// Key. Flows: the two addresses, 16 bytes each, in ascending order, so that both directions of
    /// a connection meet in one partition; with several records a message, 32 bytes that stand for
    /// a group of such pairs. Ownership: the uid. Spans: the node, so that the spans of a trace come
    /// by different partitions. Metrics: the pod.
    pub partition_key: Vec<u8>,
    /// `pbflow.Record`, `pbflow.Records`, `portolan.v1.OwnershipRecord`, or OTLP's
    /// `ExportTraceServiceRequest` and `ExportMetricsServiceRequest`.
    pub payload: Vec<u8>,
    /// Records inside.
    pub records: u32,
    /// Scope of its records: that of the topic it would be on. Empty for the default.
    pub scope: Arc<str>,
}

/// A record as an agent has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    pub(crate) row: FlowRow,
    /// The packets leave the node's interface, in place of entering it.
    pub(crate) egress: bool,
    /// Number of the interface, for its name.
    pub(crate) interface: u32,
}

// === impl Observed ===

impl Observed {
    /// The record as the agent sends it.
    pub(crate) fn record(&self) -> pbflow::Record {
        let row = &self.row;
        let v4 = row.src.as_v4().is_some();
        let direction = i32::from(self.egress);
        let interface = match self.interface {
            0 => "eth0".to_owned(),
            number => format!("veth{number:08x}"),
        };
        let xlat = row.xlat.map(|xlat| pbflow::Xlat {
            src_addr: Some(address(xlat.src)),
            dst_addr: Some(address(xlat.dst)),
            src_port: xlat.src_port.into(),
            dst_port: xlat.dst_port.into(),
            zone_id: 0,
        });
        pbflow::Record {
            eth_protocol: if v4 { ETH_IPV4 } else { ETH_IPV6 },
            direction,
            time_flow_start: Some(timestamp(row.start)),
            time_flow_end: Some(timestamp(row.end)),
            data_link: Some(pbflow::DataLink { src_mac: mac(row.src), dst_mac: mac(row.dst) }),
            network: Some(pbflow::Network {
                src_addr: Some(address(row.src)),
                dst_addr: Some(address(row.dst)),
                dscp: 0,
            }),
            transport: Some(pbflow::Transport {
                src_port: row.src_port.into(),
                dst_port: row.dst_port.into(),
                protocol: row.proto.0.into(),
            }),
            bytes: row.bytes,
            packets: row.packets,
            agent_ip: Some(address(row.agent)),
            flags: row.flags.0.into(),
            icmp_type: row.icmp_type.into(),
            pkt_drop_bytes: row.drop_bytes,
            pkt_drop_packets: row.drop_packets,
            time_flow_rtt: Some(prost_types::Duration {
                seconds: (row.rtt / NANOS) as i64,
                nanos: (row.rtt % NANOS) as i32,
            }),
            dup_list: vec![pbflow::DupMapEntry { interface, direction, udn: String::new() }],
            xlat,
            sampling: row.sampling,
            ..pbflow::Record::default()
        }
    }

    /// The key that an agent gives the record.
    pub(crate) fn key(&self) -> Vec<u8> {
        let low = self.row.src.min(self.row.dst);
        let high = self.row.src.max(self.row.dst);
        [low.bytes(), high.bytes()].concat()
    }
}

// === impl Message ===

impl Message {
    /// This version of this owner holds.
    pub(crate) fn owner(record: &OwnerRecord) -> Self {
        Self::ownership(&record.scope, &record.uid, &portolan_proto::encode_owner(record))
    }

    /// The owner is gone since `at`.
    pub(crate) fn gone(record: &OwnerRecord, at: Nanos) -> Self {
        let (scope, uid) = (record.scope.clone(), record.uid.clone());
        Self::event(&OwnerEvent::Delete { scope, uid, at, at_hi: at })
    }

    /// Anything that ownership says.
    pub(crate) fn event(event: &OwnerEvent) -> Self {
        let said = portolan_proto::encode_event(event);
        match event {
            OwnerEvent::Upsert(record) => Self::ownership(&record.scope, &record.uid, &said),
            OwnerEvent::Delete { scope, uid, .. } => Self::ownership(scope, uid, &said),
            OwnerEvent::Heartbeat { scope, .. } => Self::ownership(scope, "heartbeat", &said),
            // Each is a word of its own: compaction must not keep the last one only.
            OwnerEvent::Gap { scope, from, .. } => {
                Self::ownership(scope, &format!("gap-{from}"), &said)
            }
        }
    }

    /// Everything up to `watermark` has been said.
    pub(crate) fn heartbeat(scope: &str, watermark: Nanos) -> Self {
        Self::event(&OwnerEvent::Heartbeat { scope: scope.into(), watermark })
    }

    fn ownership(scope: &Arc<str>, key: &str, said: &v1::OwnershipRecord) -> Self {
        Self {
            topic: Topic::Ownership,
            partition_key: key.as_bytes().to_vec(),
            payload: said.encode_to_vec(),
            records: 1,
            scope: scope.clone(),
        }
    }
}

fn timestamp(at: Nanos) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: (at / NANOS) as i64, nanos: (at % NANOS) as i32 }
}

fn address(ip: Ip) -> pbflow::Ip {
    use pbflow::ip::IpFamily;
    let family = ip.as_v4().map_or_else(|| IpFamily::Ipv6(ip.bytes().to_vec()), IpFamily::Ipv4);
    pbflow::Ip { ip_family: Some(family) }
}

/// A locally administered address made from the last four bytes of the IP, as several network
/// plugins do (`0a:58` before the IPv4 address).
fn mac(ip: Ip) -> u64 {
    0x0A58_0000_0000 | (ip.0 as u64 & 0xFFFF_FFFF)
}
