//! What the shell promises, a behaviour a file. The line runs here with stages made for the test,
//! over the embedded broker and the store in memory.

#![expect(clippy::unwrap_used, reason = "what a test sets up either works or fails the test")]

mod back_pressure;
mod broker_down;
mod crash_recovery;
mod drain;
mod fencing;
mod local;
mod metric_names;
mod new_partitions;
mod owners_first;
mod panics;
mod poison;
mod real_stages;
mod recall;
mod restart_budget;
mod resume;
mod retention;
mod settings;
mod store_faults;
mod support;
