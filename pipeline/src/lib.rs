//! The functional core: the stages of the line as pure state machines.
//!
//! No clock, no input or output, no async, no randomness: a stage is a function of what it was fed.
