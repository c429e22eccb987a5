//! What the `portolan` binary is made of, so that its tests can reach it.

pub mod config;
