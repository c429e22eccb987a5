//! Each row of the tables of flow semantics, sections 1.2 and 1.3: text in, text out.
//!
//! ```text
//! own pod a-1 owner=a ip=10.0.0.5 t=0..20      (as in `check`)
//! ? 12 10.0.0.5:8080 sends @10.9.0.1           who is it at second 12?
//! ```

use expect_test::{Expect, expect};
use portolan_model::{Ip, Proto, ScopeId};

use super::*;
use crate::check::{at, gap, gone, own};

const SECOND: Nanos = 1_000_000_000;

struct Asked {
    directory: Directory,
    answers: String,
}

fn check(script: &str, expected: &Expect) {
    let links = [
        ScopeLink { scope: "lab".into(), next: vec!["vpc/1".into()] },
        ScopeLink { scope: "vpc/1".into(), next: vec!["vpc/2".into()] },
    ];
    let mut asked = Asked { directory: Directory::new("", &links), answers: String::new() };
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        match line.split_once(' ').expect("a word and more") {
            ("own", rest) => asked.directory.tell(own(rest)),
            ("gone", rest) => asked.directory.tell(gone(rest)),
            ("gap", rest) => asked.directory.tell(gap(rest)),
            ("?", rest) => asked.ask(rest),
            other => panic!("unknown line {other:?}"),
        }
    }
    expected.assert_eq(&asked.answers);
}

impl Asked {
    fn ask(&mut self, rest: &str) {
        self.directory.settle();
        let words: Vec<&str> = rest.split_whitespace().collect();
        let (from, until) = words[0].split_once("..").unwrap_or((words[0], words[0]));
        let (ip, port) = words[1].rsplit_once(':').unwrap_or((words[1], "0"));
        let value = |mark: char| words[2..].iter().find_map(|w| w.strip_prefix(mark));
        let node = value('@').map_or(Ip::NONE, |w| w.parse().unwrap());
        let look = Lookup {
            scope: ScopeId::of(value('#').unwrap_or("lab")),
            ip: ip.trim_matches(['[', ']']).parse().unwrap(),
            port: port.parse().unwrap(),
            proto: if words.contains(&"udp") { Proto::UDP } else { Proto::TCP },
            at: at(from),
            until: at(until),
            sends: words.contains(&"sends"),
            tolerance: 2 * SECOND,
            seen_on: [node, Ip::NONE],
            peer: value('^').map_or(Ip::NONE, |w| w.parse().unwrap()),
        };
        let found = self.directory.find(self.directory.index_of(look.scope, look.ip), &look);
        let name = |idx: &OwnerIdx| self.directory.owner(*idx).entity.to_string();
        let answer = match &found {
            Found::One(owner, resolution) => format!("{} {}", name(owner), resolution.as_str()),
            Found::Many(owners) => owners.iter().map(name).collect::<Vec<_>>().join(" | "),
            Found::Builtin(what) => what.as_str().to_owned(),
            Found::Nobody => "nobody".to_owned(),
        };
        self.answers.extend([rest, ": ", &answer, "\n"]);
    }
}

#[test]
fn claim_holds_for_sure_then_within_tolerance_then_for_who_speaks_early_or_is_still_dialled() {
    check(
        "own pod a-1 owner=a ip=10.0.0.5 t=0..20
         own pod b-1 owner=b ip=10.0.0.5 t=60..90
         ? 0 10.0.0.5:80
         ? 19.9 10.0.0.5:80
         ? 21 10.0.0.5:80
         ? 23 10.0.0.5:80
         ? 45 10.0.0.5:80 sends
         ? 25 10.0.0.5:80 sends
         ? 59 10.0.0.5:80
         ? 209 10.0.0.5:80
         ? 211 10.0.0.5:80",
        &expect![[r#"
            0 10.0.0.5:80: a exact
            19.9 10.0.0.5:80: a exact
            21 10.0.0.5:80: a tolerant
            23 10.0.0.5:80: a lingering
            45 10.0.0.5:80 sends: b early
            25 10.0.0.5:80 sends: nobody
            59 10.0.0.5:80: b tolerant
            209 10.0.0.5:80: b lingering
            211 10.0.0.5:80: nobody
        "#]],
    );
}

#[test]
fn clock_of_the_owners_own_node_is_no_nearer_to_that_of_ownership() {
    check(
        "own pod a-1 owner=a ip=10.0.0.5 node=10.9.0.1 t=0..20
         own pod b-1 owner=b ip=10.0.0.5 node=10.9.0.1 t=24..
         ? 21.9 10.0.0.5:80 sends @10.9.0.1
         ? 22.1 10.0.0.5:80 sends @10.9.0.1",
        &expect![[r#"
            21.9 10.0.0.5:80 sends @10.9.0.1: a tolerant
            22.1 10.0.0.5:80 sends @10.9.0.1: b tolerant
        "#]],
    );
}

#[test]
fn in_a_gap_of_the_watch_nobody_is_early_and_nobody_lingers() {
    let script = "own pod a-1 owner=a ip=10.0.0.5 t=0..
         own pod b-1 owner=b ip=10.0.0.6 t=0..20
         own pod c-1 owner=c ip=10.0.0.6 t=60..
         own pod d-1 owner=d ip=10.0.0.7 t=0..30 maybe=..60
         own pod e-1 owner=e ip=10.0.0.7 t=50..";
    let asked = "? 40 10.0.0.5:80
         ? 21 10.0.0.6:80
         ? 40 10.0.0.6:80 sends
         ? 40 10.0.0.6:80
         ? 57 10.0.0.6:80 sends
         ? 40 10.0.0.7:80
         ? 49 10.0.0.7:80
         ? 51 10.0.0.7:80
         ? 61 10.0.0.6:80";
    check(
        &format!("{script}\n gap 30..55\n{asked}"),
        &expect![[r#"
            40 10.0.0.5:80: a exact
            21 10.0.0.6:80: b tolerant
            40 10.0.0.6:80 sends: nobody
            40 10.0.0.6:80: nobody
            57 10.0.0.6:80 sends: c early
            40 10.0.0.7:80: d tolerant
            49 10.0.0.7:80: d | e
            51 10.0.0.7:80: e exact
            61 10.0.0.6:80: c exact
        "#]],
    );
}

#[test]
fn gaps_are_kept_with_the_owners_of_their_scope_until_they_expire() {
    let told = ["50..55", "30..40", "30..45", "30..35", "44..52"];
    let mut directory = Directory::new("", &[]);
    for text in told {
        directory.tell(gap(text));
    }
    let kept = directory.settle().owners;
    let mut again = Directory::new("", &[]);
    for record in kept.into_iter().rev() {
        again.tell(OwnerEvent::Upsert(record.into()));
    }
    for directory in [&mut directory, &mut again] {
        let scope = ScopeId::of("lab");
        let covered = |when: &str| directory.gaps.covers(scope, at(when), 0);
        assert_eq!(
            ["29.9", "30", "48", "54.9", "55"].map(covered),
            [false, true, true, true, false]
        );
        assert_eq!(directory.last_seen(scope, at("55")), at("30"));
        assert_eq!(directory.last_seen(scope, at("56")), at("56"));
    }
    let gone = again.expire(at("5000"));
    let from: Vec<Nanos> = gone.iter().map(|key| key.from).collect();
    assert_eq!(from, [at("30"), at("44"), at("50")]);
    assert!(gone.iter().all(|key| key.uid.is_empty() && &*key.scope == "lab"));
    assert!(!again.gaps.covers(ScopeId::of("lab"), at("48"), 0));
}

#[test]
fn kinds_of_claim_stand_in_their_order() {
    check(
        "own node n1 ip=10.9.0.1
         own pod agent owner=agent host ip=10.9.0.1 node=10.9.0.1 ports=tcp/9100
         own service api ip=172.30.0.7 ports=tcp/80 nodeports=tcp/30080:80
         own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1 ports=tcp/8080 hostports=tcp/18080
         own external office cidr=10.0.0.0/8
         own external lab cidr=10.9.0.0/16
         ? 5 10.9.0.1:9100
         ? 5 10.9.0.1:30080
         ? 5 10.9.0.1:18080
         ? 5 10.9.0.1:22
         ? 5 10.9.0.1
         ? 5 172.30.0.7:80
         ? 5 172.30.0.7:81
         ? 5 10.0.0.1:30080
         ? 5 10.9.7.7:1
         ? 5 10.7.7.7:1",
        &expect![[r#"
            5 10.9.0.1:9100: agent exact
            5 10.9.0.1:30080: api exact
            5 10.9.0.1:18080: web exact
            5 10.9.0.1:22: n1 exact
            5 10.9.0.1: n1 exact
            5 172.30.0.7:80: api exact
            5 172.30.0.7:81: nobody
            5 10.0.0.1:30080: web exact
            5 10.9.7.7:1: lab exact
            5 10.7.7.7:1: office exact
        "#]],
    );
}

#[test]
fn older_open_claim_ends_where_the_next_owner_begins_and_its_late_delete_touches_nobody() {
    check(
        "own pod a-1 owner=a ip=10.0.0.5 t=0..
         own pod b-1 owner=b ip=10.0.0.5 t=10..
         ? 9 10.0.0.5:80
         ? 10 10.0.0.5:80
         gone a-1 30
         ? 31 10.0.0.5:80
         own pod c-1 owner=c ip=10.0.0.5 t=5..
         ? 4 10.0.0.5:80
         ? 6 10.0.0.5:80
         ? 11 10.0.0.5:80",
        &expect![[r#"
            9 10.0.0.5:80: a exact
            10 10.0.0.5:80: b exact
            31 10.0.0.5:80: b exact
            4 10.0.0.5:80: a exact
            6 10.0.0.5:80: c exact
            11 10.0.0.5:80: b exact
        "#]],
    );
}

#[test]
fn possible_tail_of_one_and_possible_start_of_the_next_leave_both_as_candidates() {
    check(
        "own pod a-1 owner=a ip=10.0.0.5 node=10.9.0.1 t=0..20 maybe=..100
         own pod b-1 owner=b ip=10.0.0.5 node=10.9.0.2 t=100.. maybe=10..
         ? 19 10.0.0.5:80
         ? 60 10.0.0.5:80
         ? 60 10.0.0.5:80 @10.9.0.2",
        &expect![[r#"
            19 10.0.0.5:80: a exact
            60 10.0.0.5:80: a | b
            60 10.0.0.5:80 @10.9.0.2: b tolerant
        "#]],
    );
}

#[test]
fn what_an_owner_possibly_had_begins_at_the_earliest_where_the_one_before_surely_ended() {
    check(
        "own pod a-1 owner=a ip=10.0.0.5 t=0..20
         own pod b-1 owner=b ip=10.0.0.5 t=40.. maybe=5..
         ? 18 10.0.0.5:80
         ? 25 10.0.0.5:80",
        &expect![[r#"
            18 10.0.0.5:80: a exact
            25 10.0.0.5:80: b tolerant
        "#]],
    );
}

#[test]
fn owner_that_comes_back_under_its_uid_can_end_again() {
    check(
        "own host db ip=10.0.0.5 t=0..
         gone db 10
         own host db ip=10.0.0.5 t=300..
         gone db 310
         ? 5 10.0.0.5:80
         ? 305 10.0.0.5:80
         ? 900 10.0.0.5:80",
        &expect![[r#"
            5 10.0.0.5:80: db exact
            305 10.0.0.5:80: db exact
            900 10.0.0.5:80: nobody
        "#]],
    );
}

#[test]
fn linked_scopes_are_asked_in_order_and_public_ones_for_public_addresses_only() {
    check(
        "own host rds scope=vpc/1 ip=10.0.0.5 t=0..
         own host far scope=vpc/2 ip=10.0.0.6 t=0..
         own host other scope=vpc/3 ip=10.0.0.7 t=0..
         own external saas scope=public ip=203.0.113.9 t=0..
         own external wrong scope=public ip=10.0.0.8 t=0..
         ? 5 10.0.0.5:80
         ? 5 10.0.0.6:80
         ? 5 10.0.0.7:80
         ? 5 203.0.113.9:80
         ? 5 203.0.113.9:80 #vpc/3
         ? 5 10.0.0.8:80
         ? 5 10.0.0.5:80 #vpc/2",
        &expect![[r#"
            5 10.0.0.5:80: rds exact
            5 10.0.0.6:80: far exact
            5 10.0.0.7:80: nobody
            5 203.0.113.9:80: saas exact
            5 203.0.113.9:80 #vpc/3: saas exact
            5 10.0.0.8:80: nobody
            5 10.0.0.5:80 #vpc/2: nobody
        "#]],
    );
}

#[test]
fn name_is_the_one_that_the_same_client_resolved_last() {
    check(
        "own name a.example ip=198.51.100.7 observer=10.0.0.1 t=0..10
         own name b.example ip=198.51.100.7 observer=10.0.0.1 t=30..40
         own name c.example ip=198.51.100.7 observer=10.0.0.2 t=30..40
         ? 20 198.51.100.7:443 ^10.0.0.1
         ? 35 198.51.100.7:443 ^10.0.0.1
         ? 35 198.51.100.7:443 ^10.0.0.2
         ? 35 198.51.100.7:443 ^10.0.0.3
         ? 10 198.51.100.7:443 ^10.0.0.3
         ? 100 198.51.100.7:443 ^10.0.0.1",
        &expect![[r#"
            20 198.51.100.7:443 ^10.0.0.1: a.example exact
            35 198.51.100.7:443 ^10.0.0.1: b.example exact
            35 198.51.100.7:443 ^10.0.0.2: c.example exact
            35 198.51.100.7:443 ^10.0.0.3: a.example | b.example | c.example
            10 198.51.100.7:443 ^10.0.0.3: a.example tolerant
            100 198.51.100.7:443 ^10.0.0.1: nobody
        "#]],
    );
}

#[test]
fn addresses_that_mean_the_same_everywhere_need_no_claim_but_yield_to_one() {
    check(
        "own host proxy ip=169.254.169.254 t=100..
         ? 5 169.254.169.254:80
         ? 105 169.254.169.254:80
         ? 5 224.0.0.251:5353
         ? 5 224.0.0.251:5353 sends
         ? 5 255.255.255.255:67
         ? 5 127.0.0.1:80
         ? 5 [::1]:0",
        &expect![[r#"
            5 169.254.169.254:80: metadata
            105 169.254.169.254:80: proxy exact
            5 224.0.0.251:5353: multicast
            5 224.0.0.251:5353 sends: nobody
            5 255.255.255.255:67: broadcast
            5 127.0.0.1:80: loopback
            5 [::1]:0: loopback
        "#]],
    );
}

#[test]
fn what_lasts_over_a_change_of_owner_is_the_one_who_had_it_longer() {
    check(
        "own pod a-1 owner=a ip=10.0.0.5 t=0..20
         own pod b-1 owner=b ip=10.0.0.5 t=20..
         ? 18..21 10.0.0.5:53 udp
         ? 19..22 10.0.0.5:53 udp
         ? 18..22 10.0.0.5:53 udp
         ? 5..9 10.0.0.5:53 udp",
        &expect![[r#"
            18..21 10.0.0.5:53 udp: a tolerant
            19..22 10.0.0.5:53 udp: b tolerant
            18..22 10.0.0.5:53 udp: a tolerant
            5..9 10.0.0.5:53 udp: a exact
        "#]],
    );
}

#[test]
fn old_versions_leave_but_the_last_claim_on_an_address_stays() {
    let mut directory = Directory::new("", &[]);
    for text in [
        "pod a-1 owner=a ip=10.0.0.5 t=0..20",
        "pod b-1 owner=b ip=10.0.0.5 t=20..40",
        "pod c-1 owner=c ip=10.0.0.6 t=20..40",
    ] {
        directory.tell(own(text));
    }
    directory.settle();
    let gone = directory.expire(at("5000"));
    assert_eq!(gone.iter().map(|key| &*key.uid).collect::<Vec<_>>(), ["a-1"]);
    assert_eq!(directory.versions(), 2);
    directory.tell(own("pod d-1 owner=d ip=10.0.0.7 t=5000.."));
    directory.settle();
    let index = directory.index_of(ScopeId::of("lab"), "10.0.0.5".parse().unwrap());
    assert_eq!(directory.at(index.unwrap()).claims.len(), 1);
}

#[test]
fn record_is_kept_as_it_was_told() {
    let mut directory = Directory::new("prod", &[]);
    let told = [
        "pod web-1 owner=web ns=shop ip=10.0.0.1 node=10.9.0.1 ports=tcp/80 hostports=tcp/81 t=1..9",
        "node n1 ip=10.9.0.1 t=1..",
        "service api ip=172.30.0.7 ports=tcp/80 nodeports=tcp/30080:80 to=10.0.0.1:80 t=2..",
        "name a.example ip=198.51.100.7 observer=10.0.0.1 t=3..",
        "external office cidr=10.0.0.0/8 t=4..",
    ];
    let mut expected = Vec::new();
    for text in told {
        let OwnerEvent::Upsert(record) = own(text) else { panic!("not an upsert") };
        expected.push((*record).clone());
        directory.tell(OwnerEvent::Upsert(record));
    }
    expected.sort_unstable();
    assert_eq!(directory.settle().owners, expected);
    // Said once more, it is no news.
    directory.tell(own(told[0]));
    assert_eq!(directory.settle().owners, []);
}

#[test]
fn how_far_a_scope_was_told_is_kept_with_its_owners() {
    let mut directory = Directory::new("", &[]);
    directory.tell(OwnerEvent::Heartbeat { scope: "lab".into(), watermark: 7 });
    directory.tell(OwnerEvent::Heartbeat { scope: "lab".into(), watermark: 5 });
    let kept = directory.settle().owners;
    let mut again = Directory::new("", &[]);
    for record in kept {
        again.tell(OwnerEvent::Upsert(record.into()));
    }
    assert_eq!(again.told_until(ScopeId::of("lab")), Some(7));
    assert_eq!(again.told_until(ScopeId::of("other")), None);
}
