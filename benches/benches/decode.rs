//! Nanoseconds a flow from message bytes to columns, beside `prost` on the same bytes.
//!
//! `prost` only decodes into its own structs here; it would still have to be turned into columns.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portolan_model::{FlowColumns, Ip, Nanos, ScopeId};
use portolan_proto::pbflow::{
    DataLink, DupMapEntry, Network, Record, Records, Transport, Xlat, ip,
};
use portolan_proto::{FlowDecoder, FlowEncoding, pbflow};
use prost::Message;

/// Records a message: about 64 KiB of lean ones, which is what a producer batches.
const FLOWS: u32 = 1_000;
const NOW: Nanos = 1_795_435_200_000_000_000;
const NOW_SECS: i64 = 1_795_435_200;

/// What a record holds besides what every one has.
#[derive(Copy, Clone)]
enum Shape {
    /// Twelve fields, 57 bytes with IPv4: the floor that was measured before.
    Lean,
    /// All that an agent fills in: link addresses, agent, interfaces, RTT, translation, sampling.
    Full,
    /// The same with IPv6 addresses.
    FullV6,
}

#[expect(clippy::unnecessary_wraps, reason = "the fields of the message are optional")]
fn address(shape: Shape, number: u32) -> Option<pbflow::Ip> {
    let family = match shape {
        Shape::FullV6 => {
            let ip = Ip(0x2001_0db8 << 96 | u128::from(number));
            ip::IpFamily::Ipv6(ip.bytes().to_vec())
        }
        _ => ip::IpFamily::Ipv4(0x0a00_0000 | number),
    };
    Some(pbflow::Ip { ip_family: Some(family) })
}

fn record(shape: Shape, number: u32) -> Record {
    // Spread as a fleet is: many clients, few servers, counters of all sizes.
    let mixed = number.wrapping_mul(0x9e37_79b1);
    let at = |back: i64| {
        Some(prost_types::Timestamp {
            seconds: NOW_SECS - back,
            nanos: (mixed % 999_999_937) as i32,
        })
    };
    let lean = Record {
        eth_protocol: if matches!(shape, Shape::FullV6) { 34_525 } else { 2_048 },
        direction: (number % 2).cast_signed(),
        time_flow_start: at(6),
        time_flow_end: at(1),
        network: Some(Network {
            src_addr: address(shape, mixed % 4_096),
            dst_addr: address(shape, mixed % 97),
            dscp: 0,
        }),
        transport: Some(Transport {
            src_port: 32_768 + mixed % 28_000,
            dst_port: 80 + number % 3 * 4_000,
            protocol: 6,
        }),
        bytes: u64::from(mixed >> (number % 24)) + 40,
        packets: u64::from(mixed % 300) + 1,
        flags: 0x10,
        ..Record::default()
    };
    if matches!(shape, Shape::Lean) {
        return lean;
    }
    let interface = |name: &str, direction| DupMapEntry {
        interface: format!("{name}{}", mixed % 100_000_000),
        direction,
        udn: String::new(),
    };
    Record {
        data_link: Some(DataLink { src_mac: 0x0a58_0a80_0007, dst_mac: 0x0a58_0a80_0001 }),
        agent_ip: address(Shape::Full, mixed % 50),
        dup_list: vec![interface("v", 0), interface("br", 1)],
        time_flow_rtt: Some(prost_types::Duration { seconds: 0, nanos: 250_000 }),
        xlat: Some(Xlat::default()),
        sampling: 1,
        ..lean
    }
}

fn fast(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(u64::from(FLOWS)));
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(50);
    for (name, shape) in [("lean", Shape::Lean), ("full", Shape::Full), ("full-v6", Shape::FullV6)]
    {
        let entries: Vec<_> = (0..FLOWS).map(|number| record(shape, number)).collect();
        let singles: Vec<_> = entries.iter().map(Record::encode_to_vec).collect();
        let many = Records { entries }.encode_to_vec();
        let bytes = many.len() / FLOWS as usize;

        let mut out = FlowColumns::with_capacity(FLOWS as usize);
        let decode = |payload: &[u8], out: &mut FlowColumns| {
            let mut refuse = |why| panic!("{why:?}");
            let encoding = FlowEncoding::NetobservPb;
            let scope = ScopeId::default();
            FlowDecoder::default().decode(encoding, scope, NOW, payload, out, &mut refuse)
        };
        group.bench_function(BenchmarkId::new("portolan-many", format!("{name}-{bytes}B")), |b| {
            b.iter(|| {
                out.clear();
                decode(black_box(&many), &mut out)
            });
        });
        group.bench_function(BenchmarkId::new("prost-many", format!("{name}-{bytes}B")), |b| {
            b.iter(|| Records::decode(black_box(&many[..])));
        });
        group.bench_function(BenchmarkId::new("portolan-single", name), |b| {
            b.iter(|| {
                out.clear();
                for single in &singles {
                    decode(black_box(single), &mut out);
                }
            });
        });
        group.bench_function(BenchmarkId::new("prost-single", name), |b| {
            b.iter(|| {
                for single in &singles {
                    black_box(Record::decode(black_box(&single[..])).is_ok());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fast);
criterion_main!(benches);
