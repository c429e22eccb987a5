//! The shop: a dozen services with familiar names, one load balancer, one database, one outside.

use portolan_model::Proto;

use super::{Balancer, Call, Client, Plan, Role, Shape, Target, Way, Workload, WorkloadIx};

/// The plan of the shop. The same for every seed, so that a demo can be described in words.
pub(super) fn plan() -> Plan {
    let mut plan = Plan::default();
    let mobile = pods(&mut plan, "shop", "mobile-bff", 3, 8080, Some(80));
    let web = pods(&mut plan, "shop", "web", 4, 8080, Some(80));
    let api = pods(&mut plan, "shop", "api", 4, 8080, Some(80));
    let cart = pods(&mut plan, "shop", "cart", 3, 8081, Some(80));
    let catalog = pods(&mut plan, "shop", "catalog", 3, 8082, Some(80));
    let orders = pods(&mut plan, "shop", "orders", 3, 8083, Some(80));
    let payments = pods(&mut plan, "payments", "payments", 2, 8443, Some(443));
    // A gRPC port inside Linux's ephemeral range: direction must not come from the ports.
    let recommend = pods(&mut plan, "shop", "recommend", 2, 50_051, Some(50_051));
    let notify = pods(&mut plan, "shop", "notify", 2, 8084, Some(80));
    let redis = add(&mut plan, "data", "redis", Role::StatefulSet, 3, 6379, None);
    let postgres = add(&mut plan, "data", "postgres", Role::StatefulSet, 2, 5432, Some(5432));
    let dns = add(&mut plan, "kube-system", "coredns", Role::Deployment, 2, 53, Some(53));
    plan.workloads[dns].proto = Proto::UDP;
    plan.workloads[dns].service_name = Some("kube-dns".to_owned());
    let ledger = add(&mut plan, "payments", "ledger-db", Role::Database, 1, 5432, None);
    let gateway = add(&mut plan, "", "card-gateway", Role::External, 4, 443, None);
    let report = add(&mut plan, "shop", "report-job", Role::Job, 1, 0, None);
    let warm = add(&mut plan, "shop", "warm-job", Role::Job, 1, 0, None);
    plan.jobs = vec![report, warm];
    plan.balancers.push(Balancer {
        name: "edge-lb".to_owned(),
        port: 80,
        target: Target::Workloads(vec![web]),
        inside: false,
    });

    for (client, server, way, shape, weight) in [
        (mobile, web, Way::Balancer(0), Shape::Rpc, 40),
        (web, api, Way::Service, Shape::Rpc, 60),
        (web, cart, Way::Service, Shape::Rpc, 25),
        (api, catalog, Way::Service, Shape::Rpc, 50),
        (api, cart, Way::Service, Shape::Rpc, 20),
        (api, orders, Way::Service, Shape::Rpc, 15),
        (api, recommend, Way::Service, Shape::Pool, 2),
        (catalog, postgres, Way::Service, Shape::Pool, 2),
        (catalog, redis, Way::Direct, Shape::Rpc, 30),
        (cart, redis, Way::Direct, Shape::Pool, 3),
        (recommend, catalog, Way::Service, Shape::Rpc, 10),
        (orders, postgres, Way::Service, Shape::Pool, 2),
        (orders, payments, Way::Service, Shape::Rpc, 8),
        (orders, notify, Way::Service, Shape::Rpc, 5),
        (payments, ledger, Way::Direct, Shape::Pool, 1),
        (payments, gateway, Way::Direct, Shape::Rpc, 6),
        (redis, redis, Way::Direct, Shape::Pool, 1),
        (report, postgres, Way::Service, Shape::Rpc, 4),
        (warm, redis, Way::Direct, Shape::Pool, 1),
    ] {
        call(&mut plan, Client::Workload(client), server, way, shape, weight);
    }
    for client in [web, api, orders, payments] {
        call(&mut plan, Client::Workload(client), dns, Way::Service, Shape::Lookup, 8);
    }
    for server in [web, api, payments] {
        call(&mut plan, Client::Node, server, Way::Direct, Shape::Probe, 2);
    }
    plan
}

fn pods(
    plan: &mut Plan,
    namespace: &str,
    name: &str,
    replicas: u32,
    port: u16,
    service_port: Option<u16>,
) -> WorkloadIx {
    add(plan, namespace, name, Role::Deployment, replicas, port, service_port)
}

fn add(
    plan: &mut Plan,
    namespace: &str,
    name: &str,
    role: Role,
    replicas: u32,
    port: u16,
    service_port: Option<u16>,
) -> WorkloadIx {
    plan.workloads.push(Workload {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        role,
        replicas,
        proto: Proto::TCP,
        port,
        service_port,
        service_name: None,
        host: false,
    });
    plan.workloads.len() - 1
}

fn call(plan: &mut Plan, client: Client, server: WorkloadIx, way: Way, shape: Shape, weight: u32) {
    plan.calls.push(Call { client, server, way, shape, weight });
}
