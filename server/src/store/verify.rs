//! `portolan store verify`.

use std::fmt::Write as _;

use portolan_storage::{Error, Found, ReadCheckpoint as _, ReadHistory as _, VerifyStep};
use serde::Serialize;

use super::{bar, open};
use crate::cli::{Output, VerifyArgs};
use crate::exit::Silent;
use crate::output;

/// What was found, as JSON says it.
#[derive(Debug, Serialize)]
struct Verdict {
    store: String,
    sound: bool,
    epoch: u64,
    levels_secs: Vec<u32>,
    /// What does not let it open; then no other check was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<String>,
    checks: Vec<Checked>,
}

#[derive(Debug, Serialize)]
struct Checked {
    check: &'static str,
    looked_at: u64,
    of: &'static str,
    broken: u64,
    faults: Vec<String>,
}

/// `portolan store verify`.
pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let bar = bar("{msg} {wide_bar} {pos}/{len}, {eta} left");
    let name = args.store.display().to_string();
    let verdict = match open(&args.store) {
        Ok(store) => {
            let found = store.verify(&mut |VerifyStep { what, done, total }| {
                bar.set_message(what);
                bar.set_length(total);
                bar.set_position(done);
            })?;
            let levels = store.history().levels().iter().map(|level| level.len.secs()).collect();
            Verdict {
                store: name,
                sound: found.iter().all(|found| found.broken == 0),
                epoch: store.checkpoint()?.epoch,
                levels_secs: levels,
                opening: None,
                checks: found.into_iter().map(Checked::from).collect(),
            }
        }
        Err(error) => match error.downcast_ref::<Error>() {
            Some(Error::Damaged { detail, .. }) => Verdict {
                store: name,
                sound: false,
                epoch: 0,
                levels_secs: Vec::new(),
                opening: Some(detail.clone()),
                checks: Vec::new(),
            },
            _ => return Err(error),
        },
    };
    bar.finish_and_clear();
    match args.output {
        Output::Json => output::json(&verdict)?,
        Output::Table => output::say(&text(&verdict))?,
    }
    if verdict.sound { Ok(()) } else { Err(Silent.into()) }
}

fn text(verdict: &Verdict) -> String {
    let mut out = format!("store      {}", verdict.store);
    if let Some(detail) = &verdict.opening {
        let _ = write!(out, "\nDAMAGED    it does not open: {detail}");
        return out;
    }
    let _ = writeln!(out, "\nepoch      {}", verdict.epoch);
    let mut table = output::table(&["CHECK", "LOOKED AT", "BROKEN", ""]);
    for checked in &verdict.checks {
        let looked_at = format!("{} {}", output::count(checked.looked_at), checked.of);
        let said = if checked.broken == 0 { "ok" } else { "BROKEN" };
        table.add_row([checked.check, &looked_at, &output::count(checked.broken), said]);
    }
    let _ = writeln!(out, "\n{table}");
    for checked in &verdict.checks {
        for fault in &checked.faults {
            let _ = writeln!(out, "BROKEN     {}: {fault}", checked.check);
        }
        let more = checked.broken.saturating_sub(checked.faults.len() as u64);
        if more > 0 {
            let _ = writeln!(out, "BROKEN     {}: and {more} more", checked.check);
        }
    }
    let said = if verdict.sound { "all is well" } else { "the store is not what it should be" };
    let _ = writeln!(out, "{said}");
    out
}

impl From<Found> for Checked {
    fn from(found: Found) -> Self {
        Self {
            check: found.check.as_str(),
            looked_at: found.looked_at,
            of: found.check.unit(),
            broken: found.broken,
            faults: found.faults,
        }
    }
}
