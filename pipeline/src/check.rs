//! Text in, text out: the whole line as its tests read it.
//!
//! ```text
//! own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
//! own service api ip=172.30.0.7 ports=tcp/80 to=10.0.0.2:8080
//! flow 3 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1
//! barrier
//! ```
//!
//! Times are seconds after second 1,000,000 of the epoch.

use std::collections::BTreeMap;
use std::fmt::Write;

use portolan_model::{
    Backend, Barrier, Counters, DeclaredPort, EdgeKey, Entity, EntityId, EpochCommit, Flags,
    FlowBatch, FlowRow, Ip, Measure, Nanos, NodePort, Orientation, Oriented, OwnerEvent, OwnerKind,
    OwnerRecord, PLAIN, PartitionId, PathKey, Phase, Proto, Resolution, ScopeId, Socket, ValidTime,
    Xlat,
};

use crate::{Line, LineConfig, Restored};

pub(crate) const T0: u64 = 1_000_000;
const SCOPE: &str = "lab";

/// The line, and the sum of all that it committed.
pub(crate) struct Lab {
    pub(crate) line: Line,
    pub(crate) epoch: u64,
    pub(crate) edges: BTreeMap<EdgeKey, Counters>,
    pub(crate) paths: BTreeMap<PathKey, Counters>,
    pub(crate) names: BTreeMap<EntityId, Entity>,
    pub(crate) commits: Vec<EpochCommit>,
    newest: Nanos,
}

/// What the script comes to, as text.
pub(crate) fn check(script: &str, expected: &expect_test::Expect) {
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(script);
    expected.assert_eq(&lab.render());
}

impl Lab {
    pub(crate) fn new(config: &LineConfig) -> Self {
        Self {
            line: Line::new(config, &Restored::default()),
            epoch: 0,
            edges: BTreeMap::new(),
            paths: BTreeMap::new(),
            names: BTreeMap::new(),
            commits: Vec::new(),
            newest: 0,
        }
    }

    /// Runs the lines of a script and ends the last epoch.
    pub(crate) fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("own", rest) => self.line.owners(vec![own(rest)]),
                ("gone", rest) => self.line.owners(vec![gone(rest)]),
                ("gap", rest) => self.line.owners(vec![gap(rest)]),
                ("flow", rest) => self.flow(flow(rest)),
                ("barrier", _) => self.barrier(),
                other => panic!("unknown line {other:?}"),
            }
        }
        self.barrier();
    }

    pub(crate) fn flow(&mut self, row: FlowRow) {
        self.newest = self.newest.max(row.end);
        let flows = [row].into_iter().collect();
        self.line.flows(FlowBatch { partition: PartitionId(0), first_offset: 0, flows });
    }

    pub(crate) fn barrier(&mut self) {
        self.epoch += 1;
        let barrier = barrier(self.epoch, self.newest);
        let commit = self.line.barrier(barrier).expect("no rebuild");
        for delta in &commit.edges {
            self.edges.entry(delta.key).or_default().add(&delta.counters);
        }
        for delta in &commit.paths {
            self.paths.entry(delta.key.clone()).or_default().add(&delta.counters);
        }
        self.names.extend(commit.entities.iter().cloned());
        self.commits.push(commit);
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let name = |id: EntityId| self.names.get(&id).map_or("?".to_owned(), |e| format!("{e}"));
        for (key, counters) in self.edges.iter().filter(|(_, c)| !c.is_zero()) {
            let t = i64::from(key.window.0) - T0 as i64;
            let _ = write!(text, "t={t} {} ", name(key.client));
            let arrow = if key.direction == portolan_model::Direction::Known { "->" } else { "--" };
            let _ = write!(text, "{arrow} {} {}/{}:", name(key.server), key.proto, key.port);
            sums(&mut text, counters);
        }
        for (key, counters) in self.paths.iter().filter(|(_, c)| !c.is_zero()) {
            let t = i64::from(key.window.0) - T0 as i64;
            let via: Vec<String> = key.via.iter().map(|h| format!(" via {}", name(*h))).collect();
            let _ = write!(
                text,
                "t={t} {} {} {} => {}{} {}/{}:",
                key.kind.as_str(),
                key.evidence.as_str(),
                name(key.client),
                name(key.server),
                via.concat(),
                key.proto,
                key.port
            );
            sums(&mut text, counters);
        }
        let mut tallies: BTreeMap<String, i64> = BTreeMap::new();
        for (name, by) in self.commits.iter().flat_map(|c| &c.tallies) {
            *tallies.entry(name.to_string()).or_default() += by;
        }
        // How sure each end is has tests of its own: here it would be in all of them.
        for (name, by) in tallies.iter().filter(|(name, _)| !name.starts_with("resolved/")) {
            let _ = writeln!(text, "{name}={by}");
        }
        text
    }
}

impl Lab {
    /// What a tally came to.
    pub(crate) fn tally(&self, name: &str) -> i64 {
        let all = self.commits.iter().flat_map(|commit| &commit.tallies);
        all.filter(|(of, _)| **of == *name).map(|(_, by)| by).sum()
    }

    /// How sure each edge is: by how its less sure end was found (bytes and connections opened), and by
    /// what told its direction (connections, least and mean confidence).
    pub(crate) fn certainty(&self) -> String {
        let mut text = String::new();
        let name = |id: EntityId| self.names.get(&id).map_or("?".to_owned(), |e| format!("{e}"));
        for (key, counters) in self.edges.iter().filter(|(_, c)| !c.is_zero()) {
            let t = i64::from(key.window.0) - T0 as i64;
            let _ = write!(text, "t={t} {} {}:", name(key.client), name(key.server));
            for found in Resolution::ALL {
                let (bytes, connections) = found.of(counters);
                if (bytes, connections) != (0, 0) {
                    let _ = write!(text, " {}={bytes}/{connections}", found.as_str());
                }
            }
            for class in Orientation::ALL.iter().filter(|class| counters[class.measure()] != 0) {
                let _ = write!(text, " {}={}", class.as_str(), counters[class.measure()]);
            }
            if let Some(Oriented { least, mean, .. }) = Oriented::of(counters) {
                let _ = write!(text, " least={least} mean={mean}");
            }
            text.push('\n');
        }
        text
    }
}

pub(crate) fn barrier(epoch: u64, watermark: Nanos) -> Barrier {
    Barrier {
        generation: 1,
        epoch,
        clock: watermark,
        watermark,
        positions: Vec::new(),
        losses: Vec::new(),
        rejects: Vec::new(),
        accepted: 0,
        rebuild: false,
        folded: portolan_model::Window(0),
        tallies: Vec::new(),
    }
}

/// The plain sums, which say what there is. How sure it is, [`Check::certainty`] tells.
fn sums(text: &mut String, counters: &Counters) {
    for measure in Measure::ALL.into_iter().take(PLAIN) {
        let short = match measure {
            Measure::Connections => "conns",
            Measure::ConnectionsFailed => "failed",
            Measure::ConnectionsActive => "active",
            Measure::BytesSent => "sent",
            Measure::BytesReceived => "received",
            Measure::FlowsSeenTwice => "twice",
            Measure::PacketsSent | Measure::PacketsReceived => continue,
            other => other.as_str(),
        };
        if counters[measure] != 0 {
            let _ = write!(text, " {short}={}", counters[measure]);
        }
    }
    text.push('\n');
}

pub(crate) fn at(text: &str) -> Nanos {
    let secs: f64 = text.parse().unwrap_or_else(|_| panic!("time {text:?}"));
    T0 * 1_000_000_000 + (secs * 1e3).round() as u64 * 1_000_000
}

fn words(rest: &str) -> (Vec<&str>, BTreeMap<&str, &str>) {
    let (named, plain): (Vec<&str>, Vec<&str>) =
        rest.split_whitespace().partition(|w| w.contains('='));
    (plain, named.into_iter().filter_map(|w| w.split_once('=')).collect())
}

pub(crate) fn own(rest: &str) -> OwnerEvent {
    let (plain, named) = words(rest);
    let kind = match plain[0] {
        "pod" => OwnerKind::Pod,
        "node" => OwnerKind::Node,
        "service" => OwnerKind::Service,
        "lb" => OwnerKind::LoadBalancer,
        "external" => OwnerKind::External,
        "host" => OwnerKind::Host,
        "name" => OwnerKind::DnsName,
        other => panic!("kind {other:?}"),
    };
    let get = |key: &str| named.get(key).copied().unwrap_or("");
    let list = |key: &str| get(key).split(',').filter(|w| !w.is_empty()).collect::<Vec<_>>();
    let (from, to) = get("t").split_once("..").unwrap_or(("", ""));
    let from = if from.is_empty() { 0 } else { at(from) };
    let valid =
        if to.is_empty() { ValidTime::since(from) } else { ValidTime::between(from, at(to)) };
    let mut valid = valid;
    if let Some((lo, hi)) = get("maybe").split_once("..") {
        valid.from_lo = if lo.is_empty() { valid.from } else { at(lo) };
        valid.to_hi = if hi.is_empty() { valid.to } else { at(hi) };
    }
    let ports = list("ports").into_iter().map(declared);
    let backends = list("to").into_iter().map(|w| {
        let socket = socket(w);
        let proto = if get("proto") == "udp" { Proto::UDP } else { Proto::TCP };
        Backend { front_port: 0, proto, ip: socket.ip, port: socket.port }
    });
    let uid = if get("uid").is_empty() { plain[1] } else { get("uid") };
    OwnerEvent::Upsert(Box::new(OwnerRecord {
        scope: scope(get("scope")).into(),
        uid: uid.into(),
        kind,
        environment: "".into(),
        namespace: get("ns").into(),
        name: plain[1].into(),
        owner_name: get("owner").into(),
        owner_kind: "".into(),
        node: if get("node").is_empty() { Ip::NONE } else { get("node").parse().unwrap() },
        host_network: plain.contains(&"host"),
        phase: Phase::Running,
        ips: list("ip").into_iter().map(|w| w.parse().unwrap()).collect(),
        cidrs: list("cidr")
            .into_iter()
            .map(|w| {
                let (ip, bits) = w.split_once('/').unwrap();
                (ip.parse().unwrap(), bits.parse().unwrap())
            })
            .collect(),
        ports: ports.collect(),
        backends: backends.collect(),
        node_ports: list("nodeports")
            .into_iter()
            .map(|w| {
                let (proto, ports) = w.split_once('/').unwrap();
                let (node_port, port) = ports.split_once(':').unwrap();
                NodePort {
                    proto: Proto::parse(proto).unwrap(),
                    node_port: node_port.parse().unwrap(),
                    port: port.parse().unwrap(),
                }
            })
            .collect(),
        host_ports: list("hostports").into_iter().map(declared).collect(),
        observer: get("observer").parse().unwrap_or(Ip::NONE),
        valid,
        observed_at: from,
    }))
}

fn declared(word: &str) -> DeclaredPort {
    let (proto, port) = word.split_once('/').unwrap();
    DeclaredPort { proto: Proto::parse(proto).unwrap(), port: port.parse().unwrap() }
}

pub(crate) fn gone(rest: &str) -> OwnerEvent {
    let (plain, _) = words(rest);
    let at = at(plain[1]);
    OwnerEvent::Delete { scope: SCOPE.into(), uid: plain[0].into(), at, at_hi: at }
}

pub(crate) fn gap(rest: &str) -> OwnerEvent {
    let (from, to) = rest.split_once("..").unwrap();
    OwnerEvent::Gap { scope: SCOPE.into(), from: at(from), to: at(to) }
}

fn socket(text: &str) -> Socket {
    let (ip, port) = text.rsplit_once(':').unwrap_or((text, "0"));
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    Socket::new(ip.parse().unwrap(), port.parse().unwrap())
}

fn scope(word: &str) -> &str {
    if word.is_empty() { SCOPE } else { word }
}

pub(crate) fn flow(rest: &str) -> FlowRow {
    let (plain, named) = words(rest);
    let (start, end) = plain[0].split_once("..").unwrap_or((plain[0], plain[0]));
    let (src, dst) = plain[1].split_once('>').unwrap();
    let (src, dst) = (socket(src), socket(dst));
    let mut row = FlowRow {
        scope: ScopeId::of(scope(named.get("scope").copied().unwrap_or_default())),
        src: src.ip,
        dst: dst.ip,
        src_port: src.port,
        dst_port: dst.port,
        proto: Proto::TCP,
        start: at(start),
        end: at(end),
        packets: 1,
        ..FlowRow::default()
    };
    for word in &plain[2..] {
        match *word {
            "udp" => row.proto = Proto::UDP,
            "icmp" => row.proto = Proto::ICMP,
            "cloud" => row.source = portolan_model::Source::CloudLog,
            "S" => row.flags.0 |= Flags::SYN,
            "SA" => row.flags.0 |= Flags::SYN_ACK,
            "F" => row.flags.0 |= Flags::FIN,
            "R" => row.flags.0 |= Flags::RST,
            "dialled" => row.role = portolan_model::Role::SourceDialled,
            "accepted" => row.role = portolan_model::Role::SourceAccepted,
            "original" => row.role = portolan_model::Role::Original,
            "proxy" => row.source = portolan_model::Source::Proxy,
            "router" => row.source = portolan_model::Source::Router,
            "events" => row.source = portolan_model::Source::Events,
            "reply" => row.role = portolan_model::Role::Reply,
            w if w.starts_with('@') => row.agent = w[1..].parse().unwrap(),
            w if w.ends_with('B') => row.bytes = w[..w.len() - 1].parse().unwrap(),
            other => panic!("word {other:?}"),
        }
    }
    if let Some(xlat) = named.get("xlat") {
        let (src, dst) = xlat.split_once('>').unwrap();
        let (src, dst) = (socket(src), socket(dst));
        let (src_port, dst_port) = (src.port, dst.port);
        row.xlat = Some(Xlat { src: src.ip, dst: dst.ip, src_port, dst_port });
    }
    if let Some(sample) = named.get("sample") {
        row.sampling = sample.parse().unwrap();
    }
    if let Some(drops) = named.get("drops") {
        row.drop_bytes = drops.parse().unwrap();
    }
    if let Some(icmp) = named.get("type") {
        row.icmp_type = icmp.parse().unwrap();
    }
    row
}
