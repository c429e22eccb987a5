//! What the fleet promises, checked from outside: through the decoders of the line.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect;
use portolan_model::{
    Entity, Flags, FlowColumns, FlowRow, Ip, Nanos, OwnerEvent, OwnerKind, OwnerRecord, Phase,
    ScopeId,
};
use portolan_proto::{FlowDecoder, FlowEncoding, OwnerEncoding, decode_owners};

use super::Fleet;
use crate::cluster::{MS, SECOND};
use crate::spec::{Features, FleetSpec, SpecError, Topology};
use crate::truth::{Truth, TruthEdge};
use crate::wire::{Message, Topic};

mod oracle;
use oracle::Oracle;

const START: Nanos = 1_795_420_800 * SECOND;
const LIMIT: usize = 1 << 20;

/// Everything that a fleet published in `secs` seconds, closed at the end.
fn run(spec: FleetSpec, secs: u64) -> (Vec<Message>, Truth) {
    let mut fleet = Fleet::try_new(spec, START).unwrap();
    let mut messages = fleet.ownership();
    for step in 1..=10 {
        messages.extend(fleet.tick(START + secs * SECOND * step / 10));
    }
    messages.extend(fleet.close(START + secs * SECOND));
    (messages, fleet.truth())
}

/// Decodes as the line does; a refusal fails the test.
fn flows(messages: &[Message]) -> Vec<FlowRow> {
    let mut decoder = FlowDecoder::new(LIMIT);
    let mut rows = FlowColumns::default();
    for message in messages.iter().filter(|message| message.topic == Topic::Flows) {
        let taken = decoder.decode(
            FlowEncoding::NetobservPb,
            ScopeId::default(),
            START,
            &message.payload,
            &mut rows,
            &mut |refused| panic!("refused: {refused:?}"),
        );
        assert_eq!(taken, message.records as usize);
    }
    rows.rows().collect()
}

fn events(messages: &[Message]) -> Vec<OwnerEvent> {
    let mut events = Vec::new();
    for message in messages.iter().filter(|message| message.topic == Topic::Ownership) {
        let encoding = OwnerEncoding::PortolanPb;
        let (said, refused) = decode_owners(encoding, "s", START, LIMIT, &message.payload);
        assert_eq!((said.len(), refused.len()), (1, 0), "{refused:?}");
        events.extend(said);
    }
    events
}

/// Lives of pods as a reader of the ownership messages knows them: address, from, to.
fn lives(events: &[OwnerEvent]) -> Vec<(Ip, Nanos, Nanos, String)> {
    let mut pods = BTreeMap::<String, (OwnerRecord, Nanos)>::new();
    for event in events {
        match event {
            OwnerEvent::Upsert(record) if record.kind == OwnerKind::Pod => {
                let to = record.valid.to;
                pods.insert(record.uid.to_string(), ((**record).clone(), to));
            }
            OwnerEvent::Delete { uid, at, .. } => pods.get_mut(&**uid).unwrap().1 = *at,
            _ => {}
        }
    }
    let lives = pods.into_values();
    lives.map(|(it, to)| (it.ips[0], it.valid.from, to, it.owner_name.to_string())).collect()
}

fn sum(truth: &Truth) -> (u64, u64) {
    let connections = truth.collapsed.iter().map(|e| e.connections).sum();
    (connections, truth.collapsed.iter().map(|e| e.bytes_sent + e.bytes_received).sum())
}

#[test]
fn same_seed_gives_the_same_bytes_however_time_is_cut() {
    let whole = {
        let mut fleet = Fleet::try_new(FleetSpec::hard(3), START).unwrap();
        fleet.tick(START + 5 * SECOND)
    };
    let mut fleet = Fleet::try_new(FleetSpec::hard(3), START).unwrap();
    let mut parts = Vec::new();
    for at in (0..=5_000).step_by(7).chain([5_000]) {
        parts.extend(fleet.tick(START + at * MS));
    }
    assert!(whole.len() > 5_000, "{}", whole.len());
    assert_eq!(whole, parts);
    let (other, _) = run(FleetSpec::hard(4), 5);
    assert_ne!(whole[..100], other[..100]);
}

#[test]
fn every_record_is_one_that_the_line_takes() {
    for per_message in [1, 50] {
        let spec = FleetSpec { records_per_message: per_message, ..FleetSpec::hard(1) };
        let (messages, _) = run(spec, 5);
        assert!(flows(&messages).len() > 5_000);
        assert!(events(&messages).len() > 50);
        for message in messages.iter().filter(|message| message.topic == Topic::Flows) {
            assert_eq!(message.partition_key.len(), 32);
        }
    }
}

#[test]
fn rate_is_about_what_was_asked_for() {
    for spec in [FleetSpec::demo(1), FleetSpec::random(1, 100, 5_000)] {
        let (asked, secs) = (u64::from(spec.flows_per_sec), 40);
        let (messages, _) = run(FleetSpec { records_per_message: 500, ..spec }, secs);
        let got = messages.iter().filter(|m| m.topic == Topic::Flows).map(|m| u64::from(m.records));
        let got = got.sum::<u64>() / secs;
        // Pools take a while to fill, and the jobs are away half of the time.
        assert!((asked * 3 / 4..asked * 5 / 4).contains(&got), "{got} for {asked}");
    }
}

#[test]
fn truth_counts_each_connection_once_and_all_its_bytes() {
    let (messages, truth) = run(FleetSpec::hard(11), 40);
    let events = events(&messages);
    assert!(lives(&events).len() > 35, "churn makes new pods");
    let counted = Oracle::new(&events).count(&flows(&messages));
    let (connections, bytes) = sum(&truth);
    assert_eq!(counted.bytes, bytes);
    assert_eq!(counted.connections.len() as u64, connections);
    assert!(counted.openings > connections, "unanswered connections repeat their SYN");
}

#[test]
fn both_agents_report_the_same_of_a_connection() {
    let (messages, _) = run(FleetSpec::hard(12), 40);
    let mut slices = BTreeSet::new();
    let mut sums = BTreeMap::<_, BTreeMap<Ip, (u64, u16)>>::new();
    for row in flows(&messages) {
        let tuple = (row.src, row.src_port, row.dst, row.dst_port);
        if slices.insert((row.agent, tuple, row.start)) {
            let sum = sums.entry(tuple).or_default().entry(row.agent).or_default();
            *sum = (sum.0 + row.bytes, sum.1 | row.flags.0);
        }
    }
    let twice: Vec<_> = sums.values().filter(|agents| agents.len() > 1).collect();
    assert!(twice.len() > 5_000, "{}", twice.len());
    for agents in twice {
        let said: BTreeSet<_> = agents.values().collect();
        assert_eq!(said.len(), 1, "{agents:?}");
    }
}

#[test]
fn closed_fleet_ends_there_and_stays_silent() {
    let mut fleet = Fleet::try_new(FleetSpec::hard(13), START).unwrap();
    let now = START + 10 * SECOND;
    fleet.tick(now);
    let last = fleet.close(now);
    // The slowest answer to the last packet takes 20 ms, and the clocks err by 20 ms.
    let rows = flows(&last);
    assert!(rows.iter().any(|row| row.flags.closes()));
    assert!(rows.iter().all(|row| row.end <= now + 41 * MS), "{rows:?}");
    assert!(fleet.tick(now + 60 * SECOND).is_empty());
}

#[test]
fn one_address_never_has_two_owners_at_one_instant() {
    let (messages, _) = run(FleetSpec::hard(5), 60);
    let mut lives = lives(&events(&messages));
    lives.sort();
    let mut reused = 0;
    let mut soon = 0;
    for pair in lives.windows(2) {
        let [(ip, _, to, owner), (next_ip, from, _, next_owner)] = pair else { unreachable!() };
        if ip != next_ip {
            continue;
        }
        assert!(to < from, "{ip}: {owner} until {to}, {next_owner} from {from}");
        reused += 1;
        soon += usize::from(from - to < 5 * SECOND && owner != next_owner);
    }
    assert!(reused >= 15 && soon >= 10, "{reused} reused, {soon} by another within 5 s");
}

#[test]
fn no_packet_lies_outside_the_life_of_its_pod() {
    let spec = FleetSpec::hard(6);
    let skew = u64::from(spec.features.skew_ms) * MS;
    let (messages, _) = run(spec, 40);
    let mut by_ip = BTreeMap::<Ip, Vec<(Nanos, Nanos)>>::new();
    for (ip, from, to, _) in lives(&events(&messages)) {
        by_ip.entry(ip).or_default().push((from, to));
    }
    for row in flows(&messages) {
        for lives in [row.src, row.dst].iter().filter_map(|ip| by_ip.get(ip)) {
            let inside = |(from, to): &(Nanos, Nanos)| {
                row.start + skew >= *from && row.end <= to.saturating_add(skew)
            };
            assert_eq!(lives.iter().filter(|life| inside(life)).count(), 1, "{row:?}");
        }
    }
}

#[test]
fn ownership_speaks_of_nothing_after_its_watermark() {
    let (messages, _) = run(FleetSpec::hard(8), 20);
    let mut watermark = 0;
    let mut beats = 0;
    let initial = |at: Nanos| at < START;
    for event in events(&messages) {
        let at = match event {
            OwnerEvent::Heartbeat { watermark: at, .. } => {
                assert!(at >= watermark);
                watermark = at;
                beats += 1;
                continue;
            }
            OwnerEvent::Delete { at, .. } | OwnerEvent::Gap { to: at, .. } => at,
            OwnerEvent::Upsert(record) if record.phase == Phase::Succeeded => record.valid.to,
            OwnerEvent::Upsert(record) => record.valid.from,
        };
        assert!(at >= watermark || initial(at), "said after {watermark}: {at}");
    }
    assert!(beats >= 20);
}

#[test]
fn late_and_repeated_records_stay_within_their_bounds() {
    let spec = FleetSpec { features: Features::hard(), ..FleetSpec::hard(9) };
    let mut fleet = Fleet::try_new(spec, START).unwrap();
    let (mut late, mut disordered, mut newest) = (0, 0, 0);
    let mut seen = BTreeMap::<_, u32>::new();
    for at in (100..30_000).step_by(100) {
        let now = START + at * MS;
        for row in flows(&fleet.tick(now)) {
            // An export interval, the bound of lateness, a repetition, the skew, a tick.
            assert!(row.end + (1_000 + 18_000 + 2_000 + 20 + 100) * MS >= now, "{row:?} at {now}");
            late += u32::from(row.end + 6 * SECOND < now);
            disordered += u32::from(row.end < newest);
            newest = newest.max(row.end);
            *seen
                .entry((row.agent, row.src, row.dst, row.src_port, row.dst_port, row.start))
                .or_default() += 1;
        }
    }
    let twice = seen.values().filter(|n| **n > 1).count();
    assert!(late > 50 && disordered > 500 && twice > 100, "{late} {disordered} {twice}");
}

#[test]
fn impossible_fleet_is_refused() {
    let spec = FleetSpec {
        topology: Topology::Random { services: 1_000 },
        nodes: 3,
        ..FleetSpec::demo(1)
    };
    let error = Fleet::try_new(spec, START).unwrap_err();
    assert!(matches!(error, SpecError::TooFewNodes { nodes: 3, .. }), "{error}");
}

#[test]
fn ten_thousand_services_can_be_simulated() {
    let spec = FleetSpec::random(1, 10_000, 50_000);
    let mut fleet = Fleet::try_new(spec, START).unwrap();
    let owners = fleet.owners().len();
    assert!(owners > 30_000, "{owners}");
    let records: u32 = fleet.tick(START + SECOND).iter().map(|m| m.records).sum();
    assert!(records > 10_000, "{records}");
}

#[test]
fn one_call_through_a_service_looks_like_this() {
    // No faults, two nodes, both kinds of agents: the records of the first connection that crosses
    // the nodes through a service address.
    let features = Features { dns: false, ..Features::calm() };
    let spec = FleetSpec { nodes: 2, flows_per_sec: 20, features, ..FleetSpec::demo(2) };
    let (messages, _) = run(spec, 20);
    let rows = flows(&messages);
    let vip = |ip: Ip| ip.to_string().starts_with("172.30.");
    let first = rows.iter().filter(|row| vip(row.dst) && row.xlat.is_some()).find(|row| {
        rows.iter().any(|o| (o.src, o.src_port) == (row.src, row.src_port) && o.agent != row.agent)
    });
    let first = first.unwrap();
    let socket = (first.src, first.src_port);
    let text: String = rows
        .iter()
        .filter(|r| (r.src, r.src_port) == socket || (r.dst, r.dst_port) == socket)
        .map(line)
        .collect();
    expect![[r#"
        2505.72..2534.73 192.168.0.1: 10.128.1.4:39569>10.128.0.6:8080 11p 3668B syn fin-ack
        2505.72..2534.73 192.168.0.1: 10.128.0.6:8080>10.128.1.4:39569 11p 12443B syn-ack fin-ack
        2505.62..2534.64 192.168.0.2: 10.128.1.4:39569>172.30.0.12:80 11p 3668B syn fin-ack xlat>10.128.0.6:8080
        2505.62..2534.64 192.168.0.2: 10.128.1.4:39569>10.128.0.6:8080 11p 3668B syn fin-ack
        2505.81..2534.83 192.168.0.2: 10.128.0.6:8080>10.128.1.4:39569 11p 12443B syn-ack fin-ack
        2505.81..2534.83 192.168.0.2: 172.30.0.12:80>10.128.1.4:39569 11p 12443B syn-ack fin-ack
    "#]].assert_eq(&text);
}

#[test]
fn map_of_the_shop_is_this() {
    let (_, truth) = run(FleetSpec::demo(1), 30);
    let text: String = truth.collapsed.iter().map(edge).collect();
    expect![[r#"
        node-0 [node] -> payments/payments [workload] tcp:8443
        node-0 [node] -> shop/api [workload] tcp:8080
        node-0 [node] -> shop/web [workload] tcp:8080
        node-1 [node] -> payments/payments [workload] tcp:8443
        node-1 [node] -> shop/api [workload] tcp:8080
        node-1 [node] -> shop/web [workload] tcp:8080
        node-2 [node] -> shop/api [workload] tcp:8080
        node-2 [node] -> shop/web [workload] tcp:8080
        data/redis [workload] -> data/redis [workload] tcp:6379
        payments/payments [workload] -> card-gateway [external] tcp:443
        payments/payments [workload] -> kube-system/coredns [workload] udp:53 via kube-system/kube-dns
        payments/payments [workload] -> payments/ledger-db [database] tcp:5432
        shop/api [workload] -> kube-system/coredns [workload] udp:53 via kube-system/kube-dns
        shop/api [workload] -> shop/cart [workload] tcp:8081 via shop/cart
        shop/api [workload] -> shop/catalog [workload] tcp:8082 via shop/catalog
        shop/api [workload] -> shop/orders [workload] tcp:8083 via shop/orders
        shop/api [workload] -> shop/recommend [workload] tcp:50051 via shop/recommend
        shop/cart [workload] -> data/redis [workload] tcp:6379
        shop/catalog [workload] -> data/postgres [workload] tcp:5432 via data/postgres
        shop/catalog [workload] -> data/redis [workload] tcp:6379
        shop/mobile-bff [workload] -> shop/web [workload] tcp:8080 via edge-lb
        shop/orders [workload] -> data/postgres [workload] tcp:5432 via data/postgres
        shop/orders [workload] -> kube-system/coredns [workload] udp:53 via kube-system/kube-dns
        shop/orders [workload] -> payments/payments [workload] tcp:8443 via payments/payments
        shop/orders [workload] -> shop/notify [workload] tcp:8084 via shop/notify
        shop/recommend [workload] -> shop/catalog [workload] tcp:8082 via shop/catalog
        shop/report-job [workload] -> data/postgres [workload] tcp:5432 via data/postgres
        shop/warm-job [workload] -> data/redis [workload] tcp:6379
        shop/web [workload] -> kube-system/coredns [workload] udp:53 via kube-system/kube-dns
        shop/web [workload] -> shop/api [workload] tcp:8080 via shop/api
        shop/web [workload] -> shop/cart [workload] tcp:8081 via shop/cart
    "#]].assert_eq(&text);
    let hops = truth.raw.iter().filter(|e| e.client.kind.is_hop() || e.server.kind.is_hop());
    let text: String = hops.map(edge).collect();
    expect![[r#"
        edge-lb [hop] -> shop/web [workload] tcp:8080
        payments/payments [workload] -> kube-system/kube-dns [hop] udp:53
        shop/api [workload] -> kube-system/kube-dns [hop] udp:53
        shop/api [workload] -> shop/cart [hop] tcp:80
        shop/api [workload] -> shop/catalog [hop] tcp:80
        shop/api [workload] -> shop/orders [hop] tcp:80
        shop/api [workload] -> shop/recommend [hop] tcp:50051
        shop/catalog [workload] -> data/postgres [hop] tcp:5432
        shop/mobile-bff [workload] -> edge-lb [hop] tcp:80
        shop/orders [workload] -> data/postgres [hop] tcp:5432
        shop/orders [workload] -> kube-system/kube-dns [hop] udp:53
        shop/orders [workload] -> payments/payments [hop] tcp:443
        shop/orders [workload] -> shop/notify [hop] tcp:80
        shop/recommend [workload] -> shop/catalog [hop] tcp:80
        shop/report-job [workload] -> data/postgres [hop] tcp:5432
        shop/web [workload] -> kube-system/kube-dns [hop] udp:53
        shop/web [workload] -> shop/api [hop] tcp:80
        shop/web [workload] -> shop/cart [hop] tcp:80
    "#]]
    .assert_eq(&text);
}

/// An edge in a line, without its counts.
fn edge(edge: &TruthEdge) -> String {
    let name = |e: &Entity| format!("{e} [{}]", e.kind.as_str());
    let via = edge.via.iter().fold(String::new(), |text, hop| text + " via " + &hop.to_string());
    let (client, server) = (name(&edge.client), name(&edge.server));
    format!("{client} -> {server} {}:{}{via}\n", edge.proto, edge.port)
}

/// A record in a line: milliseconds since the start, agent, tuple, what it counts.
fn line(row: &FlowRow) -> String {
    let ms = |at: Nanos| (at - START) as f64 / MS as f64;
    let flags = [(Flags::SYN, " syn"), (Flags::SYN_ACK, " syn-ack"), (Flags::FIN_ACK, " fin-ack")];
    let flags = flags.iter().filter(|(bit, _)| row.flags.0 & bit != 0).map(|(_, name)| *name);
    let xlat = row.xlat.map_or(String::new(), |x| format!(" xlat>{}:{}", x.dst, x.dst_port));
    format!(
        "{:.2}..{:.2} {}: {}:{}>{}:{} {}p {}B{}{xlat}\n",
        ms(row.start),
        ms(row.end),
        row.agent,
        row.src,
        row.src_port,
        row.dst,
        row.dst_port,
        row.packets,
        row.bytes,
        flags.collect::<String>(),
    )
}
