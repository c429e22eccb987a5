use super::*;

/// The watch of pods breaks after second 30, and goes on at 90 without its place.
fn relisted(pods: Vec<Object>) -> World {
    let mut world = World::listed(&[
        pod("stays", "10.0.0.1", sandbox_since(3, true)),
        pod("goes", "10.0.0.2", sandbox_since(3, true)),
    ]);
    world.see(Input::Current { resource: Resource::Pods, at: sec(30) });
    world.told.clear();
    world.see(Input::Listed { resource: Resource::Pods, objects: pods, at: sec(90) });
    world
}

#[test]
fn what_was_not_watched_is_possible_and_the_gap_is_told() {
    let mut world = relisted(vec![
        pod("stays", "10.0.0.1", sandbox_since(3, true)),
        pod("came", "10.0.0.2", json!({ "status": { "startTime": time(50) } })),
    ]);
    world.check(&expect![[r#"
        gap 30..90
        goes [10.0.0.2] 3..30 (possibly 1..90) Deployment/web
        came [10.0.0.2] 90..open (possibly 50..open) Deployment/web"#]]);
}

#[test]
fn what_a_watch_tells_when_it_goes_on_was_since_it_was_away() {
    let mut world = World::listed(&[
        pod("a", "10.0.0.1", sandbox_since(3, true)),
        pod("b", "10.0.0.2", sandbox_since(3, true)),
    ]);
    world.see(Input::Current { resource: Resource::Pods, at: sec(30) });
    world.told.clear();
    world.see(Input::Connected { resource: Resource::Pods, at: sec(60) });
    world.delete(61, pod("a", "10.0.0.1", json!({})));
    // From here on it is up to date: it says so, or is quiet for long enough.
    world.see(Input::Current { resource: Resource::Pods, at: sec(62) });
    world.delete(63, pod("b", "10.0.0.2", json!({})));
    world.check(&expect![[r#"
        a [10.0.0.1] 3..30 (possibly 1..61) Deployment/web
        b [10.0.0.2] 3..63 (possibly 1..63) Deployment/web"#]]);
}

#[test]
fn everything_is_told_up_to_where_the_quietest_watch_was_heard_of() {
    let mut world = World::listed(&[]);
    let beats = |world: &mut World| -> Vec<String> {
        let beat = |told: &Told| match told {
            Told::Heartbeat { watermark } => Some(at(*watermark)),
            _ => None,
        };
        std::mem::take(&mut world.told).iter().filter_map(beat).collect()
    };
    assert_eq!(beats(&mut world), ["10"]);
    for resource in [Resource::Pods, Resource::Services, Resource::Nodes] {
        world.see(Input::Current { resource, at: sec(20) });
    }
    world.tick(21);
    assert!(beats(&mut world).is_empty(), "slices were not heard of");
    world.see(Input::Current { resource: Resource::Slices, at: sec(15) });
    world.tick(22);
    assert_eq!(beats(&mut world), ["15"]);
    let mut early = World::new();
    early.see(Input::Listed { resource: Resource::Pods, objects: vec![], at: sec(5) });
    early.tick(6);
    assert!(beats(&mut early).is_empty(), "half of the cluster is not known yet");
}

#[test]
fn a_service_has_its_address_since_it_was_made_and_its_backends_since_they_were_seen() {
    let mut world = World::listed(&[
        service(json!({})),
        slice("s1", &["10.0.0.1"]),
        slice("s2", &["10.0.0.2"]),
    ]);
    world.check(&expect![[r#"
        svc [172.30.0.7] 0..10 node ports 30080:80
        svc [172.30.0.7] 10..open node ports 30080:80 to 80=10.0.0.1:8080,80=10.0.0.2:8080"#]]);
    world.apply(20, slice("s1", &["10.0.0.1", "10.0.0.3"]));
    world.apply(21, slice("s1", &["10.0.0.1", "10.0.0.3"]));
    world.check(&expect![[r#"
        svc [172.30.0.7] 10..20 node ports 30080:80 to 80=10.0.0.1:8080,80=10.0.0.2:8080
        svc [172.30.0.7] 20..open node ports 30080:80 to 80=10.0.0.1:8080,80=10.0.0.2:8080,80=10.0.0.3:8080"#]]);
    world.delete(30, slice("s2", &[]));
    world.delete(40, service(json!({})));
    world.check(&expect![[r#"
        svc [172.30.0.7] 20..30 node ports 30080:80 to 80=10.0.0.1:8080,80=10.0.0.2:8080,80=10.0.0.3:8080
        svc [172.30.0.7] 30..open node ports 30080:80 to 80=10.0.0.1:8080,80=10.0.0.3:8080
        svc [172.30.0.7] 30..40 node ports 30080:80 to 80=10.0.0.1:8080,80=10.0.0.3:8080"#]]);
}

#[test]
fn endpoints_that_take_no_calls_are_no_backends_but_those_that_end_still_are() {
    let endpoints = json!([
        { "addresses": ["10.0.0.1"], "conditions": { "ready": true } },
        { "addresses": ["10.0.0.2"], "conditions": { "ready": false } },
        { "addresses": ["10.0.0.3"], "conditions": { "ready": false, "serving": true, "terminating": true } },
        { "addresses": ["10.0.0.4"], "conditions": {} },
    ]);
    let mut world = World::listed(&[]);
    world.see(Input::Applied {
        object: service(json!({ "metadata": { "creationTimestamp": time(19) } })),
        at: sec(20),
    });
    world.apply(20, slice_of("s1", &endpoints));
    world.check(&expect!["svc [172.30.0.7] 19..open node ports 30080:80 to 80=10.0.0.1:8080,80=10.0.0.3:8080,80=10.0.0.4:8080"]);
}

#[test]
fn every_address_of_a_service_is_its_own_and_a_headless_one_has_none() {
    let all = json!({
        "spec": { "externalIPs": ["203.0.113.5"] },
        "status": { "loadBalancer": { "ingress": [{ "ip": "198.51.100.9" }, { "hostname": "x" }] } },
    });
    let mut world = World::listed(&[service(all)]);
    world
        .check(&expect!["svc [172.30.0.7, 198.51.100.9, 203.0.113.5] 0..open node ports 30080:80"]);
    let headless = json!({ "spec": { "clusterIP": "None", "clusterIPs": ["None"],
                                     "ports": [{ "name": "http", "port": 80 }] } });
    World::listed(&[service(headless)]).check(&expect![[r#""#]]);
    let name = json!({ "spec": { "type": "ExternalName", "clusterIP": "", "clusterIPs": [] } });
    World::listed(&[service(name)]).check(&expect![[r#""#]]);
}

#[test]
fn a_node_has_its_addresses_while_its_object_lives() {
    let mut world = World::listed(&[node("n1", 2, "192.168.0.1"), node("n2", 2, "192.168.0.2")]);
    world.apply(20, node("n1", 2, "192.168.0.9"));
    world.delete(30, node("n2", 2, "192.168.0.2"));
    // An autoscaler gives the address to another machine.
    world.apply(40, node("n3", 39, "192.168.0.2"));
    world.check(&expect![[r#"
        n1 [192.168.0.1] 2..open
        n2 [192.168.0.2] 2..open
        n1 [192.168.0.1] 2..20
        n1 [192.168.0.9] 20..open
        n2 [192.168.0.2] 2..30
        n3 [192.168.0.2] 39..open"#]]);
}

#[test]
fn a_process_that_begins_again_ends_what_is_gone_since_the_one_before_was_last_heard_of() {
    let mut before = World::listed(&[
        pod("stays", "10.0.0.1", sandbox_since(3, true)),
        pod("goes", "10.0.0.2", sandbox_since(3, true)),
        service(json!({})),
        slice("s1", &["10.0.0.1"]),
    ]);
    before.apply(20, pod("gone", "10.0.0.3", json!({})));
    before.delete(25, pod("gone", "10.0.0.3", json!({})));
    let mut world = World::new();
    for told in &before.told {
        match told {
            Told::Version(version) => world.cluster.recall((**version).clone()),
            Told::Heartbeat { watermark } => world.cluster.recall_watch(*watermark),
            _ => {}
        }
    }
    world.cluster.recall_watch(sec(30));
    world.list_all(
        90,
        &[
            pod("stays", "10.0.0.1", sandbox_since(3, true)),
            service(json!({})),
            slice("s1", &["10.0.0.1", "10.0.0.5"]),
        ],
    );
    world.check(&expect![[r#"
        gap 30..90
        goes [10.0.0.2] 3..30 (possibly 1..90) Deployment/web
        svc [172.30.0.7] 10..30 (possibly 10..90) node ports 30080:80 to 80=10.0.0.1:8080
        svc [172.30.0.7] 90..open (possibly 30..open) node ports 30080:80 to 80=10.0.0.1:8080,80=10.0.0.5:8080"#]]);
}

#[test]
fn versions_that_nobody_asks_for_any_more_are_forgotten_and_only_these() {
    let mut world = World::listed(&[
        pod("stays", "10.0.0.1", sandbox_since(3, true)),
        service(json!({})),
        slice("s1", &["10.0.0.1"]),
    ]);
    world.apply(20, pod("p", "10.0.0.2", json!({})));
    world.delete(30, pod("p", "10.0.0.2", json!({})));
    world.told.clear();
    world.tick(1_029);
    world.tick(1_031);
    world.check(&expect![[r#"
        forget svc of 0
        forget p of 20"#]]);
    assert_eq!(world.cluster.owners(), 2);
}

#[test]
fn whatever_the_order_of_seeing_the_last_word_on_each_version_is_told_last() {
    let mut world = World::listed(&[pod("p", "10.0.0.1", sandbox_since(3, true))]);
    for second in 20..40 {
        world.apply(second, slice("s1", &["10.0.0.1"]));
        world.apply(
            second,
            service(json!({ "spec": { "externalIPs": [format!("203.0.113.{second}")] } })),
        );
    }
    let versions = world.told.iter().filter_map(|told| match told {
        Told::Version(version) => Some(version.observed_at),
        _ => None,
    });
    let seen: Vec<_> = versions.collect();
    assert!(seen.len() > 30 && seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
}
