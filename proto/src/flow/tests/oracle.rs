//! The fast decoder against `prost`, on arbitrary records and on damaged bytes.
//!
//! The oracle is a `prost` message of the fields that are read, so that every other field is
//! unknown to both sides. Guaranteed for any bytes: the same verdict and the same row, but for
//! groups, which `prost` passes over and the fast decoder refuses.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

#[derive(Clone, PartialEq, Message)]
struct Read {
    #[prost(uint32, tag = "1")]
    eth_protocol: u32,
    #[prost(message, optional, tag = "3")]
    start: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    end: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    network: Option<ReadNetwork>,
    #[prost(message, optional, tag = "7")]
    transport: Option<pbflow::Transport>,
    #[prost(uint64, tag = "8")]
    bytes: u64,
    #[prost(uint64, tag = "9")]
    packets: u64,
    #[prost(bool, tag = "11")]
    duplicate: bool,
    #[prost(message, optional, tag = "12")]
    agent_ip: Option<pbflow::Ip>,
    #[prost(uint32, tag = "13")]
    flags: u32,
    #[prost(uint32, tag = "14")]
    icmp_type: u32,
    #[prost(uint64, tag = "16")]
    pkt_drop_bytes: u64,
    #[prost(uint64, tag = "17")]
    pkt_drop_packets: u64,
    #[prost(message, optional, tag = "24")]
    rtt: Option<Duration>,
    #[prost(message, optional, tag = "28")]
    xlat: Option<ReadXlat>,
    #[prost(uint32, tag = "29")]
    sampling: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ReadNetwork {
    #[prost(message, optional, tag = "1")]
    src_addr: Option<pbflow::Ip>,
    #[prost(message, optional, tag = "2")]
    dst_addr: Option<pbflow::Ip>,
}

#[derive(Clone, PartialEq, Message)]
struct ReadXlat {
    #[prost(message, optional, tag = "1")]
    src_addr: Option<pbflow::Ip>,
    #[prost(message, optional, tag = "2")]
    dst_addr: Option<pbflow::Ip>,
    #[prost(uint32, tag = "3")]
    src_port: u32,
    #[prost(uint32, tag = "4")]
    dst_port: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ReadMany {
    #[prost(bytes = "vec", repeated, tag = "1")]
    entries: Vec<Vec<u8>>,
}

/// An address as the rules see it: `Err` if there is one that cannot be read.
fn address(ip: Option<&pbflow::Ip>) -> Result<Ip, Reject> {
    let ip = match ip.and_then(|ip| ip.ip_family.as_ref()) {
        None => Ip::NONE,
        Some(pbflow::ip::IpFamily::Ipv4(v4)) => Ip::v4(*v4),
        Some(pbflow::ip::IpFamily::Ipv6(v6)) if v6.is_empty() => Ip::NONE,
        Some(pbflow::ip::IpFamily::Ipv6(v6)) => {
            Ip::v6(v6[..].try_into().map_err(|_| Reject::BadField)?)
        }
    };
    Ok(if ip.is_none() { Ip::NONE } else { ip })
}

fn nanos(seconds: i64, nanos: i32) -> Option<u64> {
    let all = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    u64::try_from(all).ok().filter(|_| seconds >= 0 && (0..1_000_000_000).contains(&nanos))
}

fn time(time: Option<&Timestamp>) -> Result<u64, Reject> {
    let time = time.ok_or(Reject::NoTime)?;
    nanos(time.seconds, time.nanos).filter(|at| *at != 0).ok_or(Reject::NoTime)
}

/// The rules again, from the specification, in wide arithmetic.
fn expected(read: &Read) -> Result<FlowRow, Reject> {
    if ![0, 2048, 34525].contains(&read.eth_protocol) {
        return Err(Reject::NotIp);
    }
    if read.duplicate {
        return Err(Reject::Derived);
    }
    let network = read.network.clone().unwrap_or_default();
    let transport = read.transport.unwrap_or_default();
    let xlat = read.xlat.clone().unwrap_or_default();
    let port = |port: u32| u16::try_from(port).map_err(|_| Reject::BadField);
    let byte = |byte: u32| u8::try_from(byte).map_err(|_| Reject::BadField);
    let mut row = FlowRow {
        scope: SCOPE,
        src: address(network.src_addr.as_ref())?,
        dst: address(network.dst_addr.as_ref())?,
        src_port: port(transport.src_port)?,
        dst_port: port(transport.dst_port)?,
        proto: Proto(byte(transport.protocol)?),
        bytes: read.bytes,
        packets: read.packets,
        flags: Flags((read.flags & 0xffff) as u16),
        agent: address(read.agent_ip.as_ref())?,
        sampling: read.sampling,
        drop_bytes: read.pkt_drop_bytes,
        drop_packets: read.pkt_drop_packets,
        icmp_type: byte(read.icmp_type)?,
        xlat: Some(Xlat {
            src: address(xlat.src_addr.as_ref())?,
            dst: address(xlat.dst_addr.as_ref())?,
            src_port: port(xlat.src_port)?,
            dst_port: port(xlat.dst_port)?,
        }),
        ..FlowRow::default()
    };
    if row.src == Ip::NONE || row.dst == Ip::NONE {
        return Err(Reject::NoAddress);
    }
    let counts = [row.bytes, row.packets, row.drop_bytes, row.drop_packets];
    if counts == [0; 4] && row.flags.0 == 0 {
        return Err(Reject::Empty);
    }
    row.start = time(read.start.as_ref())?;
    row.end = time(read.end.as_ref())?;
    if row.end < row.start {
        return Err(Reject::EndsBeforeStart);
    }
    if row.end > NOW + 3_600_000_000_000 {
        return Err(Reject::Future);
    }
    let rtt = read.rtt.unwrap_or_default();
    row.rtt = nanos(rtt.seconds, rtt.nanos).ok_or(Reject::Implausible)?;
    let factor = u128::from(row.sampling.max(1));
    if row.end - row.start > 86_400_000_000_000
        || row.rtt > 4_294_967_295_000
        || counts.iter().any(|count| u128::from(*count) * factor > 1 << 48)
    {
        return Err(Reject::Implausible);
    }
    if ![1, 58].contains(&row.proto.0) {
        row.icmp_type = 0;
    }
    row.xlat = row.xlat.filter(|xlat| xlat.src != Ip::NONE || xlat.dst != Ip::NONE);
    Ok(row)
}

/// Whether the fast decoder refused what `prost` passes over.
fn is_group(refused: &[(Reject, String)]) -> bool {
    matches!(refused, [(Reject::Undecodable, why)] if why.ends_with("wrong wire type"))
}

/// Compares both decoders on the bytes of one record. True if it was accepted.
pub(super) fn compare_record(bytes: &[u8]) -> bool {
    let (rows, refused) = decode(bytes);
    let reasons: Vec<_> = refused.iter().map(|(reason, _)| *reason).collect();
    match Read::decode(bytes) {
        Err(_) => assert_eq!((rows, reasons), (vec![], vec![Reject::Undecodable])),
        Ok(_) if is_group(&refused) => {}
        Ok(read) => match expected(&read) {
            Ok(row) => {
                assert_eq!((rows, reasons), (vec![row], vec![]));
                return true;
            }
            Err(reason) => assert_eq!((rows, reasons), (vec![], vec![reason])),
        },
    }
    false
}

/// Compares both decoders on a message of many records.
fn compare_records(bytes: &[u8]) {
    let (rows, refused) = decode(bytes);
    let whole = |refused: &[(Reject, String)]| matches!(refused, [(Reject::Undecodable, why)] if why.starts_with("records: "));
    match ReadMany::decode(bytes) {
        Err(_) => assert!(rows.is_empty() && whole(&refused), "{rows:?} {refused:?}"),
        Ok(_) if whole(&refused) && is_framed_with_group(&refused) => assert_eq!(rows, []),
        Ok(many) => {
            let one_by_one: Vec<_> =
                many.entries.iter().map(|entry| Read::decode(&entry[..])).collect();
            assert_eq!(rows.len() + refused.len(), one_by_one.len());
            let mut rows = rows.into_iter();
            let mut refused = refused.into_iter();
            for read in one_by_one {
                match read.map(|read| expected(&read)) {
                    Ok(Ok(row)) if rows.as_slice().first() == Some(&row) => {
                        rows.next();
                    }
                    Ok(Err(reason)) if refused.as_slice().first().map(|r| r.0) == Some(reason) => {
                        refused.next();
                    }
                    // Bytes that prost refuses, or a group that it passes over.
                    _ => assert_eq!(refused.next().map(|r| r.0), Some(Reject::Undecodable)),
                }
            }
        }
    }
}

fn is_framed_with_group(refused: &[(Reject, String)]) -> bool {
    refused.iter().any(|(_, why)| why.contains("wrong wire type"))
}

fn any_ip() -> impl Strategy<Value = Option<pbflow::Ip>> {
    let family = prop_oneof![
        8 => any::<u32>().prop_map(pbflow::ip::IpFamily::Ipv4),
        4 => any::<[u8; 16]>().prop_map(|v6| pbflow::ip::IpFamily::Ipv6(v6.to_vec())),
        1 => Just(pbflow::ip::IpFamily::Ipv4(0)),
        1 => vec(any::<u8>(), 0..20).prop_map(pbflow::ip::IpFamily::Ipv6),
    ];
    option::weighted(0.97, option::weighted(0.97, family))
        .prop_map(|ip| ip.map(|ip_family| pbflow::Ip { ip_family }))
}

fn any_time() -> impl Strategy<Value = Option<Timestamp>> {
    let seconds =
        prop_oneof![8 => NOW_SECS - 20..NOW_SECS, 1 => any::<i64>(), 1 => Just(NOW_SECS + 4_000)];
    let nanos = prop_oneof![8 => 0..1_000_000_000, 1 => any::<i32>()];
    option::weighted(0.97, (seconds, nanos))
        .prop_map(|time| time.map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

fn any_flags() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..0x800_u32, 2 => Just(0), 1 => any::<u32>(), 1 => Just(1 << 16)]
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..100_000_u64, 4 => Just(0), 1 => any::<u64>()]
}

prop_compose! {
    fn any_addresses()(
        network in option::weighted(0.98, (any_ip(), any_ip(), 0..64_u32)),
        transport in option::weighted(0.98, (0..70_000_u32, 0..65_536_u32, 0..260_u32)),
        agent_ip in any_ip(),
        xlat in option::of((any_ip(), any_ip(), 0..65_536_u32, 0..65_536_u32, any::<u32>())),
    ) -> pbflow::Record {
        pbflow::Record {
            network: network
                .map(|(src_addr, dst_addr, dscp)| pbflow::Network { src_addr, dst_addr, dscp }),
            transport: transport.map(|(src_port, dst_port, protocol)| {
                pbflow::Transport { src_port, dst_port, protocol }
            }),
            agent_ip,
            xlat: xlat.map(|(src_addr, dst_addr, src_port, dst_port, zone_id)| {
                pbflow::Xlat { src_addr, dst_addr, src_port, dst_port, zone_id }
            }),
            ..pbflow::Record::default()
        }
    }
}

prop_compose! {
    fn any_record()(
        record in any_addresses(),
        eth_protocol in prop_oneof![8 => Just(2048), 4 => Just(34525), 1 => any::<u32>()],
        (time_flow_start, time_flow_end) in (any_time(), any_time()),
        (bytes, packets) in (any_count(), any_count()),
        (pkt_drop_bytes, pkt_drop_packets) in (any_count(), any_count()),
        (flags, icmp_type, sampling) in (any_flags(), 0..300_u32, 0..100_u32),
        rtt in option::of((0..10_i64, any::<i32>())),
        duplicate in proptest::bool::weighted(0.02),
        dups in vec(("[a-z0-9]{0,12}", 0..2_i32, "[a-z]{0,3}"), 0..7),
        (interface, dns_name) in ("[a-z0-9]{0,8}", "[a-z.]{0,30}"),
    ) -> pbflow::Record {
        pbflow::Record {
            eth_protocol,
            time_flow_start,
            time_flow_end,
            bytes,
            packets,
            pkt_drop_bytes,
            pkt_drop_packets,
            flags,
            icmp_type,
            sampling,
            time_flow_rtt: rtt.map(|(seconds, nanos)| Duration { seconds, nanos }),
            duplicate,
            dup_list: dups.into_iter().map(|(interface, direction, udn)| {
                pbflow::DupMapEntry { interface, direction, udn }
            }).collect(),
            interface,
            dns_name,
            ..record
        }
    }
}

/// Damages bytes: flips bits, cuts, doubles a part.
fn damage(bytes: &mut Vec<u8>, flips: &[(usize, u8)], cut: Option<usize>, double: Option<usize>) {
    for (at, bit) in flips {
        let len = bytes.len();
        if len > 0 {
            bytes[at % len] ^= 1 << (bit % 8);
        }
    }
    if let Some(from) = double {
        bytes.extend_from_within(from % (bytes.len() + 1)..);
    }
    if let Some(cut) = cut {
        bytes.truncate(cut % (bytes.len() + 1));
    }
}

prop_compose! {
    fn any_damage()(
        flips in vec((any::<usize>(), any::<u8>()), 0..4),
        cut in option::weighted(0.3, any::<usize>()),
        double in option::weighted(0.3, any::<usize>()),
    ) -> (Vec<(usize, u8)>, Option<usize>, Option<usize>) {
        (flips, cut, double)
    }
}

fn first_field_is_an_entry(bytes: &[u8]) -> bool {
    crate::wire::Reader::new(bytes).key() == Ok(0x0a)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_record_is_read_as_prost_reads_it(record in any_record()) {
        let bytes = record.encode_to_vec();
        if !bytes.is_empty() {
            compare_record(&bytes);
        }
    }

    #[test]
    fn damaged_record_is_read_as_prost_reads_it(
        record in any_record(),
        (flips, cut, double) in any_damage(),
    ) {
        let mut bytes = record.encode_to_vec();
        damage(&mut bytes, &flips, cut, double);
        if !bytes.is_empty() && !first_field_is_an_entry(&bytes) {
            compare_record(&bytes);
        }
    }

    #[test]
    fn damaged_message_of_many_is_read_as_prost_reads_it(
        entries in vec(any_record(), 1..6),
        (flips, cut, double) in any_damage(),
    ) {
        let mut bytes = pbflow::Records { entries }.encode_to_vec();
        damage(&mut bytes, &flips, cut, double);
        if !bytes.is_empty() && first_field_is_an_entry(&bytes) {
            compare_records(&bytes);
        }
    }
}
