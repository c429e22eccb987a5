use portolan_model::Collapse;

use super::*;
use crate::text::World;

const WORLD: &str = "shop/web > shop/cart:80 5
     shop/web > pay/gateway:443 2
     shop/web ~ shop/web:9000 1
     pay/gateway > ?10.0.0.9:53 1
     @n1 > @n2:6081 9
     @n1 > shop/web:80 1
     shop/web > [shop/cart]:80 3";

/// Everything of namespace `pay` is of team red, tier 1; carts are of domain sales.
fn said(entity: &Entity) -> Attributes {
    let of = |fits: bool, text: &str| if fits { text.into() } else { "".into() };
    Attributes {
        owner: of(&*entity.namespace == "pay", "red"),
        tier: of(&*entity.namespace == "pay", "1"),
        domain: of(&*entity.name == "cart", "sales"),
        ..Attributes::default()
    }
}

fn kept(filter: &Filter) -> Vec<String> {
    let world = World::parse(WORLD);
    let graph = world.graph(Collapse::None);
    let prepared = filter.prepare(&graph, &said);
    let mut shown: Vec<String> = (0..graph.edges().len())
        .filter(|at| prepared.keeps(*at))
        .map(|at| world.show_edge(&graph.edges()[at]))
        .collect();
    shown.sort();
    shown
}

fn kinds(words: &[&str]) -> KindSet {
    let mut kinds = KindSet::default();
    assert!(words.iter().all(|word| kinds.insert(word)));
    kinds
}

#[test]
fn empty_filter_keeps_all() {
    assert_eq!(kept(&Filter::default()).len(), 7);
}

#[test]
fn namespace_is_touched_by_either_end() {
    let pay = Filter { namespaces: vec!["pay".into()], ..Filter::default() };
    assert_eq!(kept(&pay), ["pay/gateway > ?10.0.0.9:53 1", "shop/web > pay/gateway:443 2"]);
}

#[test]
fn values_of_a_field_are_alternatives_and_fields_must_all_hold() {
    let both = Filter {
        namespaces: vec!["pay".into(), "none".into()],
        ports: vec![443, 80],
        ..Filter::default()
    };
    assert_eq!(kept(&both), ["shop/web > pay/gateway:443 2"]);
}

#[test]
fn what_the_catalogue_says_of_either_end_is_asked_like_its_name() {
    let red = || Filter { owners: vec!["red".into(), "blue".into()], ..Filter::default() };
    assert_eq!(kept(&red()), ["pay/gateway > ?10.0.0.9:53 1", "shop/web > pay/gateway:443 2"]);
    let both = Filter { domains: vec!["sales".into()], ..red() };
    assert_eq!(kept(&both), [""; 0]);
    let sales = Filter { domains: vec!["sales".into()], ports: vec![80], ..Filter::default() };
    assert_eq!(kept(&sales), ["shop/web > [shop/cart]:80 3", "shop/web > shop/cart:80 5"]);
    let none = Filter { tiers: vec!["2".into()], ..Filter::default() };
    assert_eq!(kept(&none), [""; 0]);

    let [gateway, web] = ["pay/gateway", "shop/web"].map(|name| {
        let (namespace, name) = name.split_once('/').unwrap();
        Entity::new(EntityKind::Workload, namespace, name)
    });
    assert!(red().keeps_ends(&web, &gateway, &said));
    assert!(!red().keeps_ends(&web, &web, &said));
    let alone = Filter { hide_self: true, ..red() };
    assert!(alone.keeps_entity(&gateway, &said), "one entity is no edge to itself");
    assert!(!alone.keeps_entity(&web, &said));
}

#[test]
fn kinds_are_touched_by_either_end() {
    let hops = Filter { kinds: kinds(&["hop", "unresolved"]), ..Filter::default() };
    assert_eq!(kept(&hops), ["pay/gateway > ?10.0.0.9:53 1", "shop/web > [shop/cart]:80 3"]);
}

#[test]
fn every_kind_has_a_word_and_no_other_word_is_one() {
    assert_eq!(KindSet::words().len(), 14);
    assert!(KindSet::words().iter().all(|word| KindSet::default().insert(word)));
    assert!(!KindSet::default().insert("pod"));
}

#[test]
fn name_contains_whatever_the_case_and_across_the_slash() {
    let cart = Filter { name_contains: "OP/Car".into(), ..Filter::default() };
    assert_eq!(kept(&cart), ["shop/web > [shop/cart]:80 3", "shop/web > shop/cart:80 5"]);
}

#[test]
fn environments_of_none_of_the_ends_keep_nothing() {
    assert!(kept(&Filter { environments: vec!["prod".into()], ..Filter::default() }).is_empty());
}

#[test]
fn machines_talking_to_machines_can_be_hidden() {
    let calm = kept(&Filter { hide_node_traffic: true, ..Filter::default() });
    assert_eq!(calm.len(), 6);
    assert!(calm.contains(&"@n1 > shop/web:80 1".into()), "one end is enough to be shown");
}

#[test]
fn doubtful_ends_and_self_edges_can_be_hidden() {
    let sure = Filter { hide_unresolved: true, hide_self: true, ..Filter::default() };
    assert_eq!(kept(&sure).len(), 5);
}

#[test]
fn few_connections_can_be_hidden() {
    let busy = Filter { min_connections: 5, ..Filter::default() };
    assert_eq!(kept(&busy), ["@n1 > @n2:6081 9", "shop/web > shop/cart:80 5"]);
}

/// The edges of calls, beside those of connections, that are kept.
fn kept_calls(filter: &Filter) -> (usize, Vec<i64>) {
    use portolan_model::{
        CallDelta, CallKey, CallMeasure, CallProtocol, CallSource, EntityId, Window,
    };
    let world = World::parse(WORLD);
    let mut rows = crate::CallsBuilder::default();
    for (server, calls) in [("shop/cart", 4), ("shop/mail", 1), ("shop/ghost", 0)] {
        let mut row = CallDelta::new(CallKey {
            window: Window(0),
            client: Entity::new(EntityKind::Workload, "shop", "web").id(),
            server: Entity::new(EntityKind::Service, "", server).id(),
            source: CallSource::TracePair,
            protocol: CallProtocol::Http,
            operation: EntityId::NONE,
        });
        row.counters[CallMeasure::Raw] = 1;
        row.counters[CallMeasure::CallsMilli] = 1_000 * calls;
        rows.add(&row);
    }
    let mut view = world.view(Collapse::None);
    view.lay_calls(rows.finish(), &crate::Meeting::default());
    let graph = Graph::new(view, &|id| world.entities.get(&id).cloned());
    let prepared = filter.prepare(&graph, &said);
    let kept: Vec<_> = (0..graph.edges().len()).filter(|at| prepared.keeps(*at)).collect();
    let calls = kept.iter().filter_map(|at| graph.edges()[*at].calls.first());
    let calls: Vec<i64> = calls.map(|c| c.counters[CallMeasure::CallsMilli]).collect();
    (kept.len() - calls.len(), calls)
}

#[test]
fn few_connections_ask_nothing_of_calls_and_few_calls_nothing_of_connections() {
    let (connections, calls) = kept_calls(&Filter { min_connections: 5, ..Filter::default() });
    assert_eq!((connections, calls.len()), (2, 3));
    let (connections, calls) = kept_calls(&Filter { min_calls: 2, ..Filter::default() });
    assert_eq!((connections, calls), (7, vec![4_000]));
}

#[test]
fn protocols_and_layers_narrow() {
    assert!(kept(&Filter { protocols: vec![Proto::UDP], ..Filter::default() }).is_empty());
    assert_eq!(kept(&Filter { protocols: vec![Proto::TCP], ..Filter::default() }).len(), 7);
    let mut layers = LayerSet::default();
    layers.insert(Layer::Trace);
    assert!(kept(&Filter { layers, ..Filter::default() }).is_empty());
    layers.insert(Layer::Network);
    assert_eq!(kept(&Filter { layers, ..Filter::default() }).len(), 7);
}
