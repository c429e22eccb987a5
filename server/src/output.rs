//! Responses as tables and JSON.

mod certainty;
mod covered;
mod fused;
mod graph;
mod history;
mod notes;
mod overlay;
mod status;
mod units;

use std::io::{self, Write as _};

use serde::Serialize;

pub use certainty::certainty;
pub use covered::covered;
pub use fused::{evidence, fused};
pub use graph::{edges, entities, reached, table};
pub use history::{compared, counted, differences, happenings, points, sightings};
pub use notes::{catalogue, details, made};
pub use overlay::{exemplars, overlay};
pub use status::status;
pub use units::{bytes, count, time};

/// Prints a line or a table; a closed pipe ends the program quietly, as it ends other tools.
pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end())
}

/// Prints a value as JSON, with the field names of the API.
pub fn json<T: Serialize>(value: &T) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}
