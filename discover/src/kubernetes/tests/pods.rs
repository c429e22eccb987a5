use super::*;

#[test]
fn a_pod_that_is_watched_has_its_address_since_it_was_seen_with_it() {
    let mut world = World::listed(&[]);
    world.apply(20, pod("p", "", json!({ "status": { "phase": "Pending" } })));
    world.check(&expect![[r#""#]]);
    world.apply(22, pod("p", "10.0.0.1", json!({})));
    world.apply(23, pod("p", "10.0.0.1", json!({})));
    world.check(&expect!["p [10.0.0.1] 22..open (possibly 1..open) Deployment/web"]);
}

#[test]
fn a_sandbox_that_says_since_when_is_believed_also_where_the_address_was_seen_before() {
    let mut world = World::listed(&[pod("p", "10.0.0.1", sandbox_since(3, true))]);
    world.check(&expect!["p [10.0.0.1] 3..open (possibly 1..open) Deployment/web"]);
    world.apply(20, pod("q", "10.0.0.2", json!({})));
    world.check(&expect!["q [10.0.0.2] 20..open (possibly 1..open) Deployment/web"]);
    world.apply(21, pod("q", "10.0.0.2", sandbox_since(18, true)));
    world.apply(22, pod("q", "10.0.0.2", sandbox_since(18, true)));
    world.check(&expect!["q [10.0.0.2] 18..20 (possibly 1..20) Deployment/web"]);
    world.delete(30, pod("q", "10.0.0.2", sandbox_since(18, true)));
    world.check(&expect!["q [10.0.0.2] 20..30 (possibly 1..30) Deployment/web"]);
}

#[test]
fn being_asked_to_stop_ends_nothing_and_being_deleted_does() {
    let mut world = World::listed(&[pod("p", "10.0.0.1", sandbox_since(3, true))]);
    world.check(&expect!["p [10.0.0.1] 3..open (possibly 1..open) Deployment/web"]);
    let stopping = json!({ "metadata": { "deletionTimestamp": time(60) } });
    world.apply(30, pod("p", "10.0.0.1", stopping));
    world.check(&expect![[r#""#]]);
    world.delete(41, pod("p", "10.0.0.1", json!({})));
    world.delete(42, pod("p", "10.0.0.1", json!({})));
    world.check(&expect!["p [10.0.0.1] 3..41 (possibly 1..41) Deployment/web"]);
}

#[test]
fn a_job_that_finished_has_no_address_although_its_object_stays() {
    let job = |started, ended| {
        let mut over = finished("Succeeded", started, ended);
        merge(
            &mut over,
            json!({ "metadata": { "ownerReferences": [{ "apiVersion": "batch/v1",
            "kind": "Job", "name": "backup-29923680", "uid": "j", "controller": true }] } }),
        );
        over
    };
    let mut world = World::listed(&[pod("old", "10.0.0.1", job(2, 7))]);
    world.check(&expect!["old [10.0.0.1] 2..7 (possibly 1..7) CronJob/backup"]);
    world.apply(20, pod("new", "10.0.0.2", json!({})));
    world.apply(40, pod("new", "10.0.0.2", job(19, 38)));
    // The object stays for days.
    world.apply(50, pod("new", "10.0.0.2", job(19, 38)));
    world.delete(600, pod("new", "10.0.0.2", job(19, 38)));
    world.check(&expect![[r#"
        new [10.0.0.2] 20..open (possibly 1..open) Deployment/web
        new [10.0.0.2] 19..20 (possibly 1..20) CronJob/backup
        new [10.0.0.2] 20..38 (possibly 1..38) CronJob/backup"#]]);
    let unsaid = json!({ "status": { "phase": "Failed" } });
    world.apply(60, pod("evicted", "10.0.0.3", unsaid));
    world.check(&expect!["evicted [10.0.0.3] 60..60 (possibly 1..60) Deployment/web"]);
}

#[test]
fn a_sandbox_that_is_gone_ends_the_address_and_the_next_one_begins_another() {
    let mut world = World::listed(&[pod("p", "10.0.0.1", sandbox_since(3, true))]);
    world.apply(20, pod("p", "10.0.0.1", sandbox_since(19, false)));
    world.apply(21, pod("p", "10.0.0.1", sandbox_since(19, false)));
    world.apply(30, pod("p", "10.0.0.9", sandbox_since(28, true)));
    world.apply(31, pod("p", "10.0.0.9", sandbox_since(28, true)));
    world.check(&expect![[r#"
        p [10.0.0.1] 3..open (possibly 1..open) Deployment/web
        p [10.0.0.1] 3..19 (possibly 1..19) Deployment/web
        p [10.0.0.9] 28..open (possibly 19..open) Deployment/web"#]]);
}

#[test]
fn an_address_that_changes_hands_belongs_to_the_uid_that_has_it() {
    let mut world = World::listed(&[pod("a", "10.0.0.1", sandbox_since(3, true))]);
    world.apply(21, pod("b", "10.0.0.1", sandbox_since(20, true)));
    // The end of the first is told late: it is the first's.
    world.delete(25, pod("a", "10.0.0.1", json!({})));
    world.check(&expect![[r#"
        a [10.0.0.1] 3..open (possibly 1..open) Deployment/web
        b [10.0.0.1] 20..open (possibly 1..open) Deployment/web
        a [10.0.0.1] 3..25 (possibly 1..25) Deployment/web"#]]);
}

#[test]
fn pods_on_the_network_of_their_node_claim_ports_and_no_address() {
    let host = json!({ "spec": { "hostNetwork": true }, "status": { "conditions": [] } });
    let mapped = json!({ "spec": { "containers": [{ "name": "c", "ports": [
        { "containerPort": 8080, "hostPort": 80 }, { "containerPort": 9090 }] }] } });
    let mut world =
        World::listed(&[pod("host", "192.168.0.1", host), pod("mapped", "10.0.0.1", mapped)]);
    world.check(&expect![[r#"
        host [] 10..open (possibly 1..open) Deployment/web on 192.168.0.1 with [8080]
        mapped [10.0.0.1] 10..open (possibly 1..open) Deployment/web host ports [80] of 192.168.0.1"#]]);
}

#[test]
fn workloads_are_named_by_what_is_proven_of_them() {
    let owned = |kind: &str, name: &str| {
        json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": kind, "name": name,
            "uid": "o", "controller": true }] } })
    };
    let mut world = World::listed(&[
        pod("1", "10.0.0.1", owned("ReplicaSet", "web-6d9f")),
        pod("2", "10.0.0.2", owned("ReplicaSet", "web-other")),
        // Made at 08:00 of the 23rd, minute 29,923,680.
        pod("3", "10.0.0.3", owned("Job", "backup-29923679")),
        pod("4", "10.0.0.4", owned("Job", "migrate-20261123")),
        pod("5", "10.0.0.5", owned("StatefulSet", "db")),
        pod("6", "10.0.0.6", json!({ "metadata": { "ownerReferences": [] } })),
        pod("etcd-n1", "10.0.0.7", owned("Node", "n1")),
    ]);
    world.check(&expect![[r#"
        1 [10.0.0.1] 10..open (possibly 1..open) Deployment/web
        2 [10.0.0.2] 10..open (possibly 1..open) ReplicaSet/web-other
        3 [10.0.0.3] 10..open (possibly 1..open) CronJob/backup
        4 [10.0.0.4] 10..open (possibly 1..open) Job/migrate-20261123
        5 [10.0.0.5] 10..open (possibly 1..open) StatefulSet/db
        6 [10.0.0.6] 10..open (possibly 1..open)
        etcd-n1 [10.0.0.7] 10..open (possibly 1..open) StaticPod/etcd"#]]);
}
