//! The levels of the store, each against the truth.

use std::time::{Duration, Instant};

use portolan_e2e::{Portolan, Setup, command};
use portolan_fleet::Truth;
use portolan_model::Nanos;
use portolan_proto::v1;

use super::calls::Calls;
use super::{SECOND, maps};

/// Seconds of the windows of each level: short, so that a few minutes of events fill windows of all.
const LEVELS: [u64; 5] = [10, 20, 60, 120, 240];

/// Clocks of agents are off, and some connections are open before the fleet begins, or after it closes.
const OVER: u64 = 60 * SECOND;

/// Event time from the end of a window until it is packed, and more: the horizon, and what the store waits on it.
const SETTLED: u64 = 240 * SECOND;

/// A restart reads again what the horizon holds; packing takes a step after each epoch.
const PATIENCE: Duration = Duration::from_secs(180);

/// Says what levels a store has above its base windows: the first of ours.
pub(crate) fn configured(setup: Setup, levels: usize) -> Setup {
    let level = |secs: &u64| format!("{{ length = \"{secs}s\", retention = \"30days\" }}");
    let all: Vec<_> = LEVELS[1..levels].iter().map(level).collect();
    setup.set("store.levels", &format!("[{}]", all.join(", ")))
}

/// The setup of a run: all levels.
pub(crate) fn all(setup: Setup) -> Setup {
    configured(setup, LEVELS.len())
}

/// Whole windows of the coarsest level around what the fleet did.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Whole {
    from: Nanos,
    to: Nanos,
}

// === impl Whole ===

impl Whole {
    pub(crate) fn around(first: Nanos, last: Nanos) -> Self {
        let coarsest = LEVELS[LEVELS.len() - 1] * SECOND;
        let from = first - OVER;
        Self { from: from - from % coarsest, to: (last + OVER).next_multiple_of(coarsest) }
    }

    /// From when on events make every level pack all of it.
    pub(crate) fn settles(self) -> Nanos {
        self.to + SETTLED
    }

    fn range(self) -> v1::TimeRange {
        let micros = |nanos: Nanos| (nanos / 1_000) as i64;
        v1::TimeRange { from_unix_us: micros(self.from), to_unix_us: micros(self.to) }
    }

    /// Lets time pass, `tick` by `tick`, until all levels have packed it.
    pub(crate) fn pack(self, portolan: &mut Portolan, mut tick: impl FnMut()) {
        let to = self.range().to_unix_us;
        let deadline = Instant::now() + PATIENCE;
        loop {
            tick();
            let status = portolan.status().ok();
            let levels = status.as_ref().and_then(|s| s.store.as_ref()).map(|store| &store.levels);
            let packed = |levels: &Vec<v1::LevelStatus>| {
                levels.len() == LEVELS.len()
                    && levels.iter().all(|level| level.sealed_unix_us >= to)
            };
            if levels.is_some_and(packed) {
                return;
            }
            assert!(Instant::now() < deadline, "until {to}: {levels:#?}\n{}", portolan.log_tail());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops it, and fails unless its store is sound, and each level by itself says the truth: it is asked with that
    /// level as its coarsest.
    pub(crate) fn assert_true_at_every_level(
        self,
        portolan: &mut Portolan,
        setup: &Setup,
        (truth, calls): (&Truth, &Calls),
    ) {
        portolan.stop().unwrap();
        verify(portolan);
        for (at, secs) in LEVELS.iter().enumerate().rev() {
            portolan.configure(&configured(setup.clone(), at + 1)).unwrap();
            portolan.restart().unwrap();
            let covered = maps::assert_true_within(portolan, truth, self.range());
            let lengths: Vec<u64> =
                covered.spans.iter().map(|span| span.window_secs.into()).collect();
            assert_eq!(lengths, [*secs], "this level answers, and no other");
            let covered = covered.covered.unwrap();
            calls.assert_told_within(portolan, self.range());
            println!(
                "{} windows of {secs} s: {} connections, {} calls: no difference to the truth",
                (covered.to_unix_us - covered.from_unix_us) / 1_000_000 / *secs as i64,
                truth.collapsed.iter().map(|edge| edge.connections).sum::<u64>(),
                calls.sum(),
            );
            portolan.stop().unwrap();
        }
    }
}

/// Fails unless a store at rest is sound: among other things, each level says what the one below says.
fn verify(portolan: &Portolan) {
    let store = portolan.store();
    let output = command().unwrap().args(["store", "verify"]).arg(&store).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
