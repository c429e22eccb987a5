//! What the catalogue says of entities, and what people changed, as tables.

use std::fmt::Write as _;

use portolan_proto::v1;

use super::graph::{name, table};
use super::units::{count, time};

/// Changes that people made, one a row.
pub fn made(changes: &[v1::MadeChange]) -> String {
    let mut table = table(&["AT", "WHAT", "OF", "VERSION", "BY", "TITLE"]);
    for change in changes {
        let [version, author, title] = [&change.version, &change.author, &change.title]
            .map(|text| if text.is_empty() { "-".to_owned() } else { text.clone() });
        table.add_row([
            time(change.at_unix_us),
            change.kind.clone(),
            subject(change),
            version,
            author,
            title,
        ]);
    }
    table.to_string()
}

/// What the catalogue said before and after, one a row.
pub fn catalogue(differences: &[v1::CatalogueDiff]) -> String {
    let mut table = table(&["ENTITY", "WHAT", "BEFORE", "AFTER"]);
    for difference in differences {
        let [before, after] = [&difference.before, &difference.after].map(|text| said(text));
        table.add_row([name(difference.entity.as_ref()), difference.what.clone(), before, after]);
    }
    table.to_string()
}

/// Labels and links of entities that have any, a few lines each.
pub fn details(entities: &[v1::Entity]) -> String {
    let mut text = String::new();
    for entity in entities {
        if entity.labels.is_empty() && entity.links.is_empty() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", name(Some(entity)));
        let labels: Vec<String> =
            entity.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !labels.is_empty() {
            let _ = writeln!(text, "  {}", labels.join(" "));
        }
        for link in &entity.links {
            let _ = writeln!(text, "  {}: {}", link.name, link.url);
        }
    }
    text
}

/// Whom a change means: the one entity, or what it says.
fn subject(change: &v1::MadeChange) -> String {
    if let [one] = &change.entities[..] {
        return name(Some(one));
    }
    let fields = [&change.environment, &change.namespace, &change.name];
    let said: Vec<&str> =
        fields.into_iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    match change.total_entities {
        0 => format!("{} (not seen)", said.join("/")),
        many => format!("{} ({} entities)", said.join("/"), count(many)),
    }
}

/// What is not said is a dash.
pub(super) fn said(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(name: &str) -> v1::Entity {
        v1::Entity { name: name.into(), kind: "workload".into(), ..v1::Entity::default() }
    }

    #[test]
    fn a_change_names_its_one_entity_or_what_it_says() {
        let change = |entities: Vec<v1::Entity>| v1::MadeChange {
            kind: "deploy".into(),
            namespace: "shop".into(),
            total_entities: entities.len() as u64,
            entities,
            version: "v2".into(),
            ..v1::MadeChange::default()
        };
        let all =
            [change(vec![]), change(vec![entity("a")]), change(vec![entity("a"), entity("b")])];
        let text = made(&all);
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert!(rows[0].contains("deploy") && rows[0].contains("shop (not seen)"), "{text}");
        assert!(rows[1].contains(" a ") && rows[1].contains("v2"), "{text}");
        assert!(rows[2].contains("shop (2 entities)"), "{text}");
    }

    #[test]
    fn labels_and_links_stand_under_their_entity_and_others_take_no_room() {
        let link = v1::Link { name: "logs".into(), url: "https://l/web".into() };
        let labels = [("lang".to_owned(), "go".to_owned())].into();
        let web = v1::Entity { labels, links: vec![link], ..entity("web") };
        assert_eq!(details(&[entity("db"), web]), "web\n  lang=go\n  logs: https://l/web\n");
    }
}
