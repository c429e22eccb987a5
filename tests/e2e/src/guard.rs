//! Child processes that never outlive the tests.
//!
//! A small shell watches over each: it reads from a pipe that only the test process writes to. When
//! the test process ends, however it ends, the pipe closes, and the shell kills the child and
//! removes its directory. (The kernel's own parent-death signal follows the *thread* that spawned,
//! and tests come and go with their threads.)

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// `$1` is the child, `$2` the directory that goes with it (or empty).
const WATCH: &str = r#"cat >/dev/null
kill -KILL "$1" 2>/dev/null
[ -z "$2" ] || rm -rf -- "$2" 2>/dev/null || { sleep 1; rm -rf -- "$2"; }"#;

/// A child process and its watch.
pub(crate) struct Guarded {
    child: Child,
    watch: Child,
}

impl Guarded {
    /// Starts the command; `directory` is removed should the test process die before its end.
    pub(crate) fn spawn(command: &mut Command, directory: Option<&Path>) -> anyhow::Result<Self> {
        // A group of its own: an interrupt at the terminal reaches the tests first.
        let child =
            command.stdin(Stdio::null()).process_group(0).spawn().with_context(|| {
                format!("{} cannot be started", command.get_program().display())
            })?;
        let watch = Command::new("sh")
            .args(["-c", WATCH, "watch", &child.id().to_string()])
            .arg(directory.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn();
        match watch {
            Ok(watch) => Ok(Self { child, watch }),
            Err(error) => {
                let mut child = child;
                child.kill().and_then(|()| child.wait()).context("unwatched child")?;
                Err(error).context("sh cannot be started")
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill9(&mut self) -> anyhow::Result<()> {
        // Killing what has ended by itself is no error here: gone is gone.
        let _ = self.child.kill();
        self.child.wait().context("child cannot be waited for")?;
        Ok(())
    }

    /// SIGTERM, waits, and after `patience` kills and says so.
    pub(crate) fn stop(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill9()?;
        anyhow::bail!("still running {patience:?} after SIGTERM, killed")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.kill9();
        // First the child is reaped, then the watch ends: it never kills a reused pid.
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }
}
