//! The environment over the file: `PORTOLAN__LINE__HORIZON=30s` is `line.horizon`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::keys::{self, FREE, Form, Key, PROPERTIES};
use super::refused::Refused;

/// What every variable begins with. Two underscores, so that `PORTOLAN_CONFIG` is not a key.
const PREFIX: &str = "PORTOLAN__";

/// Which variable set the key at a path.
pub(super) type Origins = BTreeMap<String, String>;

/// Writes the variables into the table, in the order of their names.
pub(super) fn overlay(
    table: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Origins, Refused> {
    // By length first: index 10 comes after index 9.
    let mut ours: Vec<_> =
        variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    let mut origins = Origins::new();
    for (name, text) in ours {
        let steps = steps(&name);
        let path = path_of(&steps);
        let key = keys::find(&path)
            .filter(|key| match key.path {
                PROPERTIES => steps.len() == 4,
                path => !FREE.contains(&path),
            })
            .ok_or_else(|| unknown(&name, &path))?;
        let value = value_of(key, &text).map_err(|problem| Refused {
            place: name.clone(),
            key: path.clone(),
            problem,
            allowed: Some(key.allowed),
        })?;
        set(table, &steps, value).map_err(|problem| Refused {
            place: name.clone(),
            key: path.clone(),
            problem,
            allowed: None,
        })?;
        origins.insert(path, name);
    }
    Ok(origins)
}

fn steps(name: &str) -> Vec<String> {
    let mut steps: Vec<String> =
        name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    // The names of librdkafka have dots and never underscores; variables have it the other way.
    if steps.len() == 4 && steps[0] == "kafka" && steps[2] == "properties" {
        steps[3] = steps[3].replace('_', ".");
    }
    steps
}

fn path_of(steps: &[String]) -> String {
    let mut path = String::new();
    for step in steps {
        if step.parse::<usize>().is_ok() {
            path.extend(["[", step, "]"]);
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path += step;
        }
    }
    path
}

fn unknown(name: &str, path: &str) -> Refused {
    Refused {
        place: name.to_owned(),
        key: path.to_owned(),
        problem: "this variable names no key; the commented example lists them all".to_owned(),
        allowed: Some("PORTOLAN__SECTION__KEY, in lists with the index: PORTOLAN__KAFKA__0__NAME"),
    }
}

fn value_of(key: &Key, text: &str) -> Result<Value, String> {
    match key.form {
        Form::Text => Ok(Value::String(text.to_owned())),
        Form::Number => text
            .replace('_', "")
            .parse()
            .map(Value::Integer)
            .map_err(|_| format!("\"{text}\" is not a whole number")),
        Form::Boolean => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| format!("\"{text}\" is neither true nor false")),
    }
}

/// Sets one value, making the tables and list items on the way. A step that is a number is an
/// index: of an item that is there, or the next one.
fn set(table: &mut Table, steps: &[String], value: Value) -> Result<(), String> {
    let (last, way) = steps.split_last().ok_or("empty name")?;
    let mut here = table;
    let mut way = way.iter().peekable();
    while let Some(step) = way.next() {
        let index = way.next_if(|next| next.parse::<usize>().is_ok());
        let found = here.entry(step.clone()).or_insert_with(|| match index {
            Some(_) => Value::Array(Vec::new()),
            None => Value::Table(Table::new()),
        });
        let inner = match (found, index.and_then(|i| i.parse::<usize>().ok())) {
            (Value::Array(list), Some(index)) => item(list, index)?,
            (found, None) => found,
            (_, Some(_)) => return Err(format!("{step} is not a list in the file")),
        };
        here = inner.as_table_mut().ok_or_else(|| format!("{step} is not a table in the file"))?;
    }
    here.insert(last.clone(), value);
    Ok(())
}

fn item(list: &mut Vec<Value>, index: usize) -> Result<&mut Value, String> {
    if index == list.len() {
        list.push(Value::Table(Table::new()));
    }
    let length = list.len();
    list.get_mut(index).ok_or_else(|| {
        format!("index {index} leaves a hole: there are {length}, so the next is {length}")
    })
}
