//! All end-to-end tests in one binary: they share one broker.

mod all {
    mod harness;
}
