//! What the `portolan` binary is made of, so that its tests can reach it.

pub mod cli;
pub mod config;
pub mod demo;
pub mod discover;
pub mod exit;
pub mod http;
pub mod inventory;
pub mod keep;
pub mod load;
pub mod logging;
pub mod map;
pub mod mapping;
pub mod output;
pub mod query;
pub mod scoring;
pub mod serve;
pub mod store;
pub mod vitals;
pub mod when;
