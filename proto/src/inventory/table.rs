//! CSV (RFC 4180): a header of field names, then an entry a line. An empty cell says nothing.

use serde_json::{Map, Value};

use super::{FIELDS, InventoryFault, Written};

pub(super) fn read(text: &str) -> Result<Vec<Written>, InventoryFault> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let broken = |error: &csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        InventoryFault::new(format!("line {line}"), format!("not CSV: {error}"))
    };
    let header = reader.headers().map_err(|e| broken(&e))?.clone();
    for (place, name) in header.iter().enumerate() {
        let problem = if !FIELDS.contains(&name) {
            format!("{name:?} is no field; there are: {}", FIELDS.join(", "))
        } else if header.iter().take(place).any(|earlier| earlier == name) {
            format!("{name:?} is there twice")
        } else {
            continue;
        };
        return Err(InventoryFault::new("header", problem));
    }
    let mut written = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| broken(&e))?;
        let line = row.position().map_or(0, csv::Position::line);
        let cells = header.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty());
        let fields: Map<_, _> =
            cells.map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect();
        written.push(Written { place: format!("line {line}"), fields });
    }
    Ok(written)
}
