//! Exit codes: what a script can tell apart.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Something failed while running.
pub const FAILED: u8 = 1;
/// The configuration or the command line was refused.
pub const REFUSED: u8 = 2;
/// The store was refused: locked, damaged, of a newer format, full.
pub const STORE: u8 = 3;

/// An error that is already explained on the terminal: only its code is left to give.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub struct Silent;

/// Prints the error with its causes and gives the exit code.
pub fn code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Silent>() || is_closed_pipe(error) {
        return ExitCode::from(FAILED);
    }
    let mut text = format!("error: {error}");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        // Causes that repeat what was said above add nothing.
        let cause = cause.to_string();
        if !said.contains(&cause) {
            let _ = write!(text, "\n  because: {cause}");
        }
        said = cause;
    }
    let _ = writeln!(std::io::stderr(), "{text}");
    if error.is::<crate::config::Refused>() || error.is::<portolan_actors::Error>() {
        ExitCode::from(REFUSED)
    } else if error.chain().any(<dyn std::error::Error>::is::<portolan_storage::Error>) {
        ExitCode::from(STORE)
    } else {
        ExitCode::from(FAILED)
    }
}

/// `portolan query graph | head` is not a failure worth a message.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        e.downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
