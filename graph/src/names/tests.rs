use portolan_model::{Collapse, EntityKind, HopClass};

use super::*;
use crate::text::World;

fn world() -> World {
    World::parse(
        "shop/web > shop/cart:80 1
         shop/web > [shop/cart]:80 1
         old/web > shop/cart:80 1
         shop/web > pay/gateway:80 1",
    )
}

fn resolve(world: &World, graph: &Graph, texts: &[&str]) -> Result<Vec<EntityId>, String> {
    let names = Names {
        lookup: &|id| world.entities.get(&id).cloned(),
        visit: &|visit| world.entities.iter().for_each(|(id, entity)| visit(*id, entity)),
    };
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    names.resolve(&texts, graph).map_err(|error| error.to_string())
}

fn all(texts: &[&str]) -> Result<Vec<EntityId>, String> {
    let world = world();
    resolve(&world, &world.graph(Collapse::None), texts)
}

#[test]
fn entity_is_found_by_id_by_full_name_and_by_a_name_that_is_its_own() {
    let gateway = Entity::new(EntityKind::Workload, "pay", "gateway").id();
    let id = gateway.to_string();
    assert_eq!(all(&["gateway", "pay/gateway", &id]), Ok(vec![gateway; 3]));
}

#[test]
fn environment_may_stand_before_the_namespace() {
    let mut world = world();
    let entity = Entity {
        environment: "prod/eu".into(),
        ..Entity::new(EntityKind::Workload, "shop", "web")
    };
    let id = entity.id();
    world.entities.insert(id, Arc::new(entity));
    let graph = Graph::default();
    assert_eq!(resolve(&world, &graph, &["prod/eu/shop/web"]), Ok(vec![id]));
    assert!(resolve(&world, &graph, &["eu/shop/web"]).is_err());
    assert!(resolve(&world, &graph, &["/gateway"]).is_err());
}

#[test]
fn name_of_a_workload_and_its_service_address_means_the_workload() {
    let cart = Entity::new(EntityKind::Workload, "shop", "cart").id();
    assert_eq!(all(&["shop/cart"]), Ok(vec![cart]));
    let hop = Entity::new(EntityKind::Hop(HopClass::ClusterIp), "shop", "cart").id();
    assert_eq!(all(&[&hop.to_string()]), Ok(vec![hop]));
}

#[test]
fn name_that_several_have_is_answered_with_all_of_them() {
    let ids = ["old", "shop"].map(|ns| Entity::new(EntityKind::Workload, ns, "web").id());
    let text = format!(
        "\"web\" names 2 entities, say which by id: \
         old/web (workload) {}, shop/web (workload) {}",
        ids[0], ids[1]
    );
    assert_eq!(all(&["web"]), Err(text));
}

#[test]
fn of_several_the_one_in_the_graph_is_meant() {
    let world = world();
    let small = World::parse("shop/web > shop/cart:80 1").graph(Collapse::None);
    let web = Entity::new(EntityKind::Workload, "shop", "web").id();
    assert_eq!(resolve(&world, &small, &["web"]), Ok(vec![web]));
}

#[test]
fn name_that_nobody_has_is_answered_with_names_like_it() {
    let text = "no entity is named \"catr\"; near are shop/cart";
    assert_eq!(all(&["catr"]), Err(text.into()));
    let text = "no entity is named \"GATE\"; near are pay/gateway";
    assert_eq!(all(&["GATE"]), Err(text.into()));
    assert_eq!(all(&["zzzzzz"]), Err("no entity is named \"zzzzzz\"".into()));
    assert_eq!(all(&[""]).unwrap_err().matches("shop/").count(), 0);
}

#[test]
fn distance_counts_changed_letters_and_stops_at_its_bound() {
    assert_eq!(distance("cart", "cart", 2), 0);
    assert_eq!(distance("cart", "card", 2), 1);
    assert_eq!(distance("cart", "art", 2), 1);
    assert_eq!(distance("kitten", "sitting", 5), 3);
    assert_eq!(distance("a", "abcdef", 2), 3);
}
