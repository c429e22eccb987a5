//! The fleet that a seed makes up: who owns which address when, who calls whom, and what the agents
//! say of it, in messages on partitions.
//!
//! Every connection is one of a few plain kinds, so that a fold which knows nothing of judgements
//! can say what it must come to.

use std::sync::Arc;

use portolan_model::{
    Backend, DeclaredPort, Flags, FlowRow, Ip, Nanos, OwnerEvent, OwnerKind, OwnerRecord, Proto,
    Reject, Role, ScopeId, ValidTime,
};

use crate::broker::{Log, Message, Payload, Topic};
use crate::dice::Dice;
use crate::scenario::Scenario;

mod connection;
pub(crate) mod metric;
pub(crate) mod trace;

pub(crate) const SCOPE: &str = "sim";
/// 2026-11-26T00:00:00Z: any time that is a multiple of a day will do.
pub(crate) const START: Nanos = 1_795_651_200 * SECOND;
pub(crate) const SECOND: Nanos = 1_000_000_000;
const MILLI: Nanos = 1_000_000;
/// Records arrive within this of their end: below any horizon that is drawn.
const DELAY: Nanos = 3 * SECOND;
/// Ports: the backends', the services', and that of what only a second hand reports.
pub(crate) const BACKEND_PORT: u16 = 8080;
pub(crate) const SERVICE_PORT: u16 = 80;
pub(crate) const SECOND_HAND_PORT: u16 = 9100;

/// A pod in one life.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) workload: Arc<str>,
    pub(crate) ip: Ip,
    pub(crate) node: Ip,
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
}

/// A service address in front of pods.
#[derive(Clone, Debug)]
pub(crate) struct Vip {
    pub(crate) name: Arc<str>,
    pub(crate) ip: Ip,
    pub(crate) pods: Vec<usize>,
}

/// The fleet. What is in it is true; what the agents say of it is in the logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) pods: Vec<Pod>,
    pub(crate) vips: Vec<Vip>,
    pub(crate) nodes: Vec<Ip>,
}

/// A message before it has an offset.
struct Draft {
    at: Nanos,
    log: usize,
    payload: Payload,
}

/// Makes up the fleet, and fills the logs with what is said of it.
pub(crate) fn fill(scenario: &Scenario, logs: &mut [Log], dice: &mut Dice) -> Fleet {
    let fleet = Fleet::new(scenario, dice);
    let mut drafts = Vec::new();
    owners(&fleet, scenario, logs, dice, &mut drafts);
    let of = |topic| (0..logs.len()).filter(|at| logs[*at].topic == topic).collect::<Vec<_>>();
    let (flows, spans, metrics) = (of(Topic::Flows), of(Topic::Spans), of(Topic::Metrics));
    for number in 0..scenario.connections {
        for (at, row) in connection::draw(&fleet, scenario, number, dice) {
            let open: Vec<usize> = flows.iter().copied().filter(|l| logs[*l].since <= at).collect();
            let log = *dice.pick(&open);
            drafts.push(Draft { at, log, payload: Payload::Flows(vec![row]) });
            // A late one cannot be told from its twin once its window is forgotten.
            let may_repeat = scenario.duplicates && row.role == Role::Unknown;
            if may_repeat && dice.one_in(12) {
                let again = at + dice.below(4 * SECOND);
                let log = *dice.pick(&open);
                drafts.push(Draft { at: again, log, payload: Payload::Flows(vec![row]) });
            }
        }
    }
    for number in 0..scenario.traces {
        for (at, said) in trace::draw(&fleet, scenario, number, dice) {
            for again in 0..=u64::from(scenario.duplicates && dice.one_in(12)) {
                let at = at + again * dice.below(4 * SECOND);
                let open: Vec<usize> =
                    spans.iter().copied().filter(|l| logs[*l].since <= at).collect();
                let log = *dice.pick(&open);
                drafts.push(Draft { at, log, payload: Payload::Spans(said.clone()) });
            }
        }
    }
    for number in 0..scenario.processes {
        for (at, point) in metric::draw(scenario, number, dice) {
            for again in 0..=u64::from(scenario.duplicates && dice.one_in(12)) {
                let at = at + again * dice.below(4 * SECOND);
                let log = *dice.pick(&metrics);
                drafts.push(Draft { at, log, payload: Payload::Metrics(vec![point.clone()]) });
            }
        }
    }
    let timed: Vec<usize> = flows.into_iter().chain(spans).chain(metrics).collect();
    for _ in 0..dice.below(4) {
        let log = *dice.pick(&timed);
        let at = logs[log].since.max(START) + dice.below(scenario.span / 2);
        let reason = *dice.pick(&[Reject::Undecodable, Reject::NotIp, Reject::TooLarge]);
        drafts.push(Draft { at, log, payload: Payload::Poison(reason) });
    }
    file(drafts, scenario, logs, dice);
    fleet
}

/// Gives every draft its offset. Neighbours may share a message, and some offsets hold nothing.
fn file(mut drafts: Vec<Draft>, scenario: &Scenario, logs: &mut [Log], dice: &mut Dice) {
    drafts.sort_by_key(|d| d.at);
    for draft in drafts {
        let messages = &mut logs[draft.log].messages;
        if let Some(last) = messages.last_mut()
            && dice.one_in(3)
            && draft.at <= last.at + SECOND / 2
            && join(&mut last.payload, &draft.payload)
        {
            last.at = draft.at;
            continue;
        }
        let gap = i64::from(scenario.holes && dice.one_in(10));
        let offset = messages.last().map_or(0, |m| m.offset + 1) + gap;
        messages.push(Message { offset, at: draft.at, payload: draft.payload });
    }
}

/// Puts the records of another message into one, if they are of a kind and few.
fn join(payload: &mut Payload, more: &Payload) -> bool {
    match (payload, more) {
        (Payload::Flows(rows), Payload::Flows(more)) if rows.len() < 4 => rows.extend(more),
        (Payload::Spans(spans), Payload::Spans(more)) if spans.len() < 4 => {
            spans.extend(more.iter().cloned());
        }
        (Payload::Metrics(points), Payload::Metrics(more)) if points.len() < 4 => {
            points.extend(more.iter().cloned());
        }
        _ => return false,
    }
    true
}

/// What is said of owners, and when.
fn owners(fleet: &Fleet, scenario: &Scenario, logs: &[Log], dice: &mut Dice, out: &mut Vec<Draft>) {
    let log =
        logs.iter().position(|l| l.topic == Topic::Owners).expect("there is a partition of owners");
    let mut say = |at: Nanos, event: OwnerEvent| {
        out.push(Draft { at, log, payload: Payload::Owners(vec![event]) });
    };
    for (number, ip) in fleet.nodes.iter().enumerate() {
        let name = format!("n{number}");
        say(START, upsert(record(OwnerKind::Node, &name, &name, *ip, Ip::NONE, START)));
    }
    for (number, pod) in fleet.pods.iter().enumerate() {
        // Ownership may come after the flows of its time, yet before their windows are forgotten.
        let lag = if scenario.late_owners { dice.below(5 * SECOND) } else { 0 };
        let uid = format!("p{number}");
        let mut owner = record(OwnerKind::Pod, &uid, &uid, pod.ip, pod.node, pod.from);
        owner.owner_name = pod.workload.clone();
        owner.ports = vec![DeclaredPort { proto: Proto::TCP, port: BACKEND_PORT }];
        say(pod.from.max(START) + lag, upsert(owner));
        if pod.to != Nanos::MAX {
            let scope = SCOPE.into();
            let uid = uid.as_str().into();
            say(pod.to + lag, OwnerEvent::Delete { scope, uid, at: pod.to, at_hi: pod.to });
        }
    }
    for vip in &fleet.vips {
        let mut owner =
            record(OwnerKind::Service, &vip.name, &vip.name, vip.ip, Ip::NONE, START - SECOND);
        owner.ports = vec![DeclaredPort { proto: Proto::TCP, port: SERVICE_PORT }];
        let pods = vip.pods.iter().map(|at| &fleet.pods[*at]);
        owner.backends = pods
            .map(|p| Backend { front_port: 0, proto: Proto::TCP, ip: p.ip, port: BACKEND_PORT })
            .collect();
        say(START, upsert(owner));
    }
}

fn upsert(record: OwnerRecord) -> OwnerEvent {
    OwnerEvent::Upsert(Box::new(record))
}

fn record(kind: OwnerKind, uid: &str, name: &str, ip: Ip, node: Ip, from: Nanos) -> OwnerRecord {
    OwnerRecord {
        name: name.into(),
        node,
        ips: vec![ip],
        ..OwnerRecord::blank(SCOPE, uid, kind, ValidTime::since(from))
    }
}

// === impl Fleet ===

impl Fleet {
    fn new(scenario: &Scenario, dice: &mut Dice) -> Self {
        let mut fleet = Self::default();
        let nodes = dice.between(1, 4) as u32;
        fleet.nodes = (0..nodes).map(|n| Ip::v4(0x0a09_0001 + n)).collect();
        let end = START + scenario.span;
        for workload in 0..dice.between(2, 6) as u32 {
            let name: Arc<str> = format!("w{workload}").into();
            let mut pods = Vec::new();
            for replica in 0..dice.between(1, 3) as u32 {
                let ip = Ip::v4(0x0a00_0000 + (workload << 8) + replica + 1);
                let node = *dice.pick(&fleet.nodes);
                let long =
                    Pod { workload: name.clone(), ip, node, from: START - SECOND, to: Nanos::MAX };
                if scenario.reused_addresses && dice.one_in(4) {
                    // The address goes to a pod of another workload.
                    let middle = START + scenario.span / 4 + dice.below(scenario.span / 2);
                    let heir: Arc<str> = format!("w{workload}-heir").into();
                    let node = *dice.pick(&fleet.nodes);
                    let from = (middle + 10 * SECOND).min(end);
                    fleet.pods.push(Pod { to: middle, ..long });
                    fleet.pods.push(Pod { workload: heir, ip, node, from, to: Nanos::MAX });
                } else {
                    pods.push(fleet.pods.len());
                    fleet.pods.push(long);
                }
            }
            if !pods.is_empty() && dice.one_in(2) {
                let ip = Ip::v4(0xac1e_0001 + workload);
                fleet.vips.push(Vip { name: format!("s{workload}").into(), ip, pods });
            }
        }
        fleet
    }

    /// Who owns an address at a time.
    pub(crate) fn owner(&self, ip: Ip, at: Nanos) -> Option<&Pod> {
        self.pods.iter().find(|p| p.ip == ip && p.from <= at && at < p.to)
    }
}

pub(crate) fn row(start: Nanos, end: Nanos, agent: Ip) -> FlowRow {
    FlowRow {
        scope: ScopeId::of(SCOPE),
        proto: Proto::TCP,
        start,
        end,
        agent,
        flags: Flags(0),
        ..FlowRow::default()
    }
}
