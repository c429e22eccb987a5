//! All end-to-end tests in one binary: they share one broker.
//!
//! Each test has topics of its own, so they run side by side. Those that hurt a broker start one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod all {
    mod crowd;
    mod maps;

    mod damage;
    mod demo;
    mod discover;
    mod growth;
    mod harness;
    mod lab;
    mod notes;
    mod openshift;
    mod outage;
    mod poison;
    mod replay;
    mod resume;
    mod retention;
    mod spans;
    mod whole;
}
