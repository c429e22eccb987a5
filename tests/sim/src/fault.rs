//! What goes wrong, and when.

use crate::dice::Dice;
use crate::line::Position;
use crate::scenario::Disk;

/// Something that goes wrong.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed between two steps.
    Kill,
    /// The process is killed while it commits: before the write, or after it and before anyone knows.
    KillInCommit,
    /// The machine loses power: what was not synced may be gone, and the last write torn.
    PowerLoss,
    /// A byte of the store flips while the process is down.
    Damage,
    /// A byte of a packed window flips while the process is down.
    Rot,
    /// A stage panics.
    Panic,
    /// A source panics.
    SourcePanic,
    /// The disk is full for a while.
    Full,
    /// A write fails after it has reached the disk.
    LateError,
    /// A part of the line stands still for a while.
    Stall,
    /// A partition moves: it cannot be reached for seconds.
    Away,
    /// Messages are delivered again.
    Rewind,
    /// The wall clock jumps, and later back.
    Clock,
    /// The broker forgets everything up to a silence.
    Retention,
    /// The process is told to stop, with a deadline, and started again.
    Stop,
}

/// What stands still.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Stage(usize),
    Committer,
}

// === impl Fault ===

impl Fault {
    /// Whether the stages keep what they remember.
    pub(crate) fn spares_memory(self) -> bool {
        use Fault::{Away, Clock, Full, LateError, Rewind, Stall};
        matches!(self, Stall | Away | Rewind | Clock | Full | LateError)
    }

    /// The troubles of a seed. One seed in eight has none: what then fails, fails without them.
    pub(crate) fn draw(dice: &mut Dice, disk: Disk, bursts: bool) -> Vec<Self> {
        let all = [
            Self::Kill,
            Self::KillInCommit,
            Self::PowerLoss,
            Self::Damage,
            Self::Rot,
            Self::Panic,
            Self::SourcePanic,
            Self::Full,
            Self::LateError,
            Self::Stall,
            Self::Away,
            Self::Rewind,
            Self::Clock,
            Self::Retention,
            Self::Stop,
        ];
        if dice.one_in(8) {
            return Vec::new();
        }
        let some = dice.one_in(2);
        let drawn = all.into_iter().filter(|f| match f {
            Self::Damage | Self::Rot => disk == Disk::Fjall && dice.one_in(2),
            Self::Retention => bursts,
            _ => !some || dice.one_in(3),
        });
        let mut drawn: Vec<Self> = drawn.collect();
        if drawn.contains(&Self::Rot) {
            // For much of a run nothing is packed that could rot.
            drawn.extend([Self::Rot; 4]);
        }
        drawn
    }
}

/// Where the next message of a stage ends in a panic.
pub(crate) fn position(dice: &mut Dice) -> Position {
    *dice.pick(&[Position::Before, Position::After, Position::Midway])
}
