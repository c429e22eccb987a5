use portolan_model::{Ip, OwnerKind, Proto, ValidTime};

use super::*;

const YAML: &str = r#"
# what no cluster knows
owners:
  - kind: database
    namespace: shop
    name: orders-db
    owner_kind: PostgreSQL
    ips: [10.1.0.4, "2001:db8::4"]
    ports: [5432]
  - kind: load_balancer
    id: edge
    name: edge-lb
    ips: 192.0.2.10
    ports: [443, udp/443]
    backends: ["443=10.0.0.9:8443", "udp/443=[2001:db8::9]:8443"]
    valid_from: 2026-11-23T00:00:00Z
    valid_from_lo: 2026-11-22T23:59:00Z
  - { kind: external, name: payments.example, cidrs: 198.51.100.0/24, scope: public }
"#;

const CSV: &str = "\
kind,id,namespace,name,owner_kind,ips,ports,backends,valid_from,valid_from_lo,cidrs,scope
# what no cluster knows
database,,shop,orders-db,PostgreSQL,10.1.0.4 2001:db8::4,5432,,,,,
load_balancer,edge,,edge-lb,,192.0.2.10,443; udp/443,443=10.0.0.9:8443 udp/443=[2001:db8::9]:8443,2026-11-23T00:00:00Z,2026-11-22T23:59:00Z,,
external,,,payments.example,,,,,,,198.51.100.0/24,public
";

const NOW: Nanos = 1_795_420_800_000_000_000;
const MINUTE: Nanos = 60_000_000_000;

fn read(encoding: InventoryEncoding, text: &str) -> Result<Vec<Entry>, String> {
    read_inventory(encoding, "default", NOW, text.as_bytes())
        .map_err(|faults| faults.iter().flat_map(|f| [f.to_string(), "\n".into()]).collect())
}

fn yaml(text: &str) -> Vec<Entry> {
    read(InventoryEncoding::Yaml, text).unwrap()
}

fn refused(encoding: InventoryEncoding, text: &str) -> String {
    read(encoding, text).unwrap_err()
}

#[test]
fn both_forms_say_the_same() {
    let entries = yaml(YAML);
    assert_eq!(entries, read(InventoryEncoding::Csv, CSV).unwrap());
    let [db, lb, saas] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((&*db.owner.uid, db.owner.kind), ("database//shop/orders-db", OwnerKind::Database));
    assert_eq!(db.owner.ips, ["10.1.0.4", "2001:db8::4"].map(|ip| ip.parse::<Ip>().unwrap()));
    assert_eq!((db.is_dated, db.owner.valid), (false, ValidTime::since(0)));
    assert_eq!((&*db.owner.scope, &*db.owner.owner_kind), ("default", "PostgreSQL"));
    assert_eq!((&*lb.owner.uid, lb.is_dated), ("edge", true));
    assert_eq!(lb.owner.valid.from - lb.owner.valid.from_lo, MINUTE);
    let ports: Vec<_> = lb.owner.ports.iter().map(|p| (p.proto, p.port)).collect();
    assert_eq!(ports, [(Proto::TCP, 443), (Proto::UDP, 443)]);
    let backends: Vec<_> =
        lb.owner.backends.iter().map(|b| (b.front_port, b.proto, b.ip, b.port)).collect();
    let (four, six) = ("10.0.0.9".parse().unwrap(), "2001:db8::9".parse().unwrap());
    assert_eq!(backends, [(443, Proto::TCP, four, 8443), (443, Proto::UDP, six, 8443)]);
    assert_eq!((&*saas.owner.scope, saas.owner.cidrs.len()), ("public", 1));
}

#[test]
fn a_list_alone_an_empty_file_and_json_are_inventories() {
    let one =
        yaml("- {name: a, kind: host, ips: 10.0.0.1, host_ports: 80, node_ports: '30080:80'}");
    assert_eq!(one[0].owner.node_ports[0].node_port, 30080);
    assert_eq!(
        one,
        yaml(
            r#"[{"name":"a","kind":"host","ips":["10.0.0.1"],
        "host_ports":[{"port":80}],"node_ports":[{"node_port":30080,"port":80}]}]"#
        )
    );
    assert!(yaml("").is_empty() && yaml("owners:").is_empty() && yaml("# none").is_empty());
    assert!(read(InventoryEncoding::Csv, "name,ips\n").unwrap().is_empty());
}

#[test]
fn every_fault_is_named_with_its_place_and_nothing_is_taken() {
    let text = refused(
        InventoryEncoding::Yaml,
        "- {name: a, ips: 10.0.0.1}\n- {name: b, ipz: 1}\n- {name: c}\n- {name: d, ips: 10.0.0}\n\
         - {name: a, ips: 10.0.0.2}\n- {name: e, ips: 10.0.0.3, ports: http}\n- 7\n",
    );
    assert_eq!(text, "entry 7: not a mapping of fields\n");
    let text = refused(
        InventoryEncoding::Csv,
        "name,ips,ports,valid_to\na,10.0.0.1,,\nb,,,\nc,10.0.0,,\na,10.0.0.2,,\nd,10.0.0.3,http,\n\
         e,10.0.0.4,,2026-11-23T00:00:00Z\n",
    );
    let faults: Vec<_> = text.lines().collect();
    assert_eq!(
        faults,
        [
            "line 3: it has neither ips nor cidrs, nor a node_ip",
            "line 4: ips: \"10.0.0\" is not an address",
            "line 5: \"pod///a\" is there twice, first at line 2: give each an id, or a valid_from",
            "line 6: ports: \"http\" does not read",
            "line 7: valid_to and valid_from_lo need a valid_from",
        ]
    );
    let yaml = |text: &str| refused(InventoryEncoding::Yaml, text);
    assert!(
        yaml("- {name: b, ipz: 1}").starts_with("entry 1 (b): \"ipz\" is no field; there are:")
    );
    assert!(yaml("a: [").starts_with("line 1: not YAML: "), "{}", yaml("a: ["));
    assert_eq!(yaml("3"), "file: not a list of entries\n");
    assert_eq!(yaml("{owners: [], more: 1}"), "file: not a list, nor owners with a list\n");
    let csv = |text: &str| refused(InventoryEncoding::Csv, text);
    assert!(csv("name,adress\n").starts_with("header: \"adress\" is no field"));
    assert_eq!(csv("name,name\n"), "header: \"name\" is there twice\n");
    assert!(csv("name,ips\na\n").starts_with("line 2: not CSV: "), "{}", csv("name,ips\na\n"));
}

#[test]
fn an_encoding_is_known_by_its_word_and_by_the_end_of_a_name() {
    for encoding in InventoryEncoding::ALL {
        assert_eq!(encoding.to_string().parse().as_ref(), Ok(encoding));
    }
    assert_eq!(InventoryEncoding::of_file("a/inv.yml"), Some(InventoryEncoding::Yaml));
    assert_eq!(InventoryEncoding::of_file("inv.csv"), Some(InventoryEncoding::Csv));
    assert_eq!(InventoryEncoding::of_file("inventory"), None);
}

fn at(minute: u64) -> Nanos {
    NOW + minute * MINUTE
}

fn when(changed: u64, read: u64) -> When {
    When { changed: at(changed), read: at(read) }
}

/// Events as text: what they say of whom, with times in minutes.
fn say(events: &[OwnerEvent]) -> Vec<String> {
    let minute = |t: Nanos| match t {
        0 => "ever".to_owned(),
        Nanos::MAX => "open".to_owned(),
        t => ((t - NOW) / MINUTE).to_string(),
    };
    let say = |event: &OwnerEvent| match event {
        OwnerEvent::Upsert(o) => {
            let valid = format!("{}..{}", minute(o.valid.from), minute(o.valid.to));
            format!("{} {} {valid}", o.uid, o.ips.first().copied().unwrap_or(Ip::NONE))
        }
        OwnerEvent::Delete { uid, at, at_hi, .. } => {
            format!("{uid} gone {}..{}", minute(*at), minute(*at_hi))
        }
        OwnerEvent::Heartbeat { .. } | OwnerEvent::Gap { .. } => "of a watch".to_owned(),
    };
    events.iter().map(say).collect()
}

fn hosts(of: &[(&str, &str)]) -> Vec<Entry> {
    let line = |(name, ip): &(&str, &str)| format!("- {{id: {name}, name: {name}, ips: {ip}}}\n");
    yaml(&of.iter().map(line).collect::<String>())
}

#[test]
fn the_first_version_holds_since_ever_and_the_next_since_the_file_changed() {
    let mut inventory = Inventory::new("main");
    let first = inventory.revise(hosts(&[("a", "10.0.0.1"), ("b", "10.0.0.2")]), when(0, 1));
    let first = say(&first);
    assert_eq!(
        first,
        ["inventory/main/a 10.0.0.1 ever..open", "inventory/main/b 10.0.0.2 ever..open"]
    );
    // b moved to the address of a, which is gone; c is new.
    let second = inventory.revise(hosts(&[("c", "10.0.0.3"), ("b", "10.0.0.1")]), when(5, 6));
    assert_eq!(
        say(&second),
        [
            "inventory/main/a gone 5..6",
            "inventory/main/b 10.0.0.1 5..open",
            "inventory/main/c 10.0.0.3 5..open"
        ]
    );
    let again = inventory.revise(hosts(&[("c", "10.0.0.3"), ("b", "10.0.0.1")]), when(7, 8));
    assert!(again.is_empty(), "{again:?}");
    let back = inventory.revise(hosts(&[("a", "10.0.0.1")]), when(9, 10));
    assert_eq!(
        say(&back),
        [
            "inventory/main/b gone 9..10",
            "inventory/main/c gone 9..10",
            "inventory/main/a 10.0.0.1 9..open"
        ]
    );
    assert_eq!(inventory.len(), 1);
}

#[test]
fn a_file_time_that_cannot_be_is_bounded_by_what_was_read() {
    let mut inventory = Inventory::new("main");
    inventory.revise(hosts(&[("a", "10.0.0.1")]), when(0, 10));
    let copied = inventory.revise(hosts(&[("a", "10.0.0.2")]), When { changed: 7, read: at(20) });
    assert_eq!(say(&copied), ["inventory/main/a 10.0.0.2 10..open"]);
    let ahead = inventory.revise(hosts(&[("a", "10.0.0.3")]), when(99, 30));
    assert_eq!(say(&ahead), ["inventory/main/a 10.0.0.3 30..open"]);
}

#[test]
fn what_was_told_before_a_restart_is_not_told_again() {
    let mut before = Inventory::new("main");
    let mut told = before.revise(hosts(&[("a", "10.0.0.1"), ("b", "10.0.0.2")]), when(0, 1));
    told.extend(before.revise(hosts(&[("a", "10.0.0.1")]), when(2, 3)));
    let mut after = Inventory::new("main");
    for event in &told {
        after.recall(event);
    }
    assert!(after.revise(hosts(&[("a", "10.0.0.1")]), when(4, 5)).is_empty());
    let back = after.revise(hosts(&[("a", "10.0.0.1"), ("b", "10.0.0.2")]), when(6, 7));
    assert_eq!(say(&back), ["inventory/main/b 10.0.0.2 6..open"]);
    // Owners of another inventory are none of its business.
    let mut other = Inventory::new("other");
    for event in &told {
        other.recall(event);
    }
    assert!(other.is_empty());
}

fn dated(of: &[(u64, &str)]) -> Vec<Entry> {
    let line = |(from, ip): &(u64, &str)| {
        format!("- {{id: a, name: a, ips: {ip}, valid_from: {}}}\n", at(*from) / 1_000_000_000)
    };
    yaml(&of.iter().map(line).collect::<String>())
}

#[test]
fn entries_with_times_keep_them_and_one_that_is_taken_back_ends_now() {
    let mut inventory = Inventory::new("main");
    let both = [(1, "10.0.0.1"), (5, "10.0.0.2")];
    let first = inventory.revise(dated(&both), when(10, 10));
    assert_eq!(
        say(&first),
        ["inventory/main/a 10.0.0.1 1..open", "inventory/main/a 10.0.0.2 5..open"]
    );
    assert!(inventory.revise(dated(&both), when(11, 11)).is_empty());
    let corrected = inventory.revise(dated(&[(1, "10.0.0.7"), (5, "10.0.0.2")]), when(12, 12));
    assert_eq!(say(&corrected), ["inventory/main/a 10.0.0.7 1..open"]);
    let taken_back = inventory.revise(dated(&[(1, "10.0.0.7")]), when(13, 13));
    assert_eq!(say(&taken_back), ["inventory/main/a 10.0.0.7 13..open"]);
    assert!(inventory.revise(dated(&[(1, "10.0.0.7")]), when(14, 14)).is_empty());
    let text = refused(
        InventoryEncoding::Yaml,
        "- {id: a, name: a, ips: 10.0.0.1}\n- {id: a, name: a, ips: 10.0.0.2, valid_from: 5}\n",
    );
    assert!(text.contains("twice"), "{text}");
}
