//! The four real stages behind mailboxes, as the actors run them: fence, apply, forward; nothing is
//! taken in while what was made waits for room.

use std::collections::VecDeque;

use portolan_model::{Barrier, EpochCommit};
use portolan_pipeline::feed::{Outlet, Sent};
use portolan_pipeline::{
    Deltas, EdgeAggregator, Front, Hops, Intake, Line, LineConfig, PathCollapser, Restored, Stage,
    WindowCompactor,
};

/// What a message holds.
#[derive(Debug)]
pub(crate) enum Body<T> {
    Batch(T),
    Barrier(Barrier),
}

/// A mailbox: messages with their generation.
pub(crate) struct Mailbox<T> {
    queue: VecDeque<(u64, Body<T>)>,
    capacity: usize,
    /// It takes more than it may: only where something is broken on purpose.
    boundless: bool,
}

/// Where in its work a stage fails.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The message is taken and not looked at.
    Before,
    /// It is applied, and nothing has left.
    After,
    /// A part of what it made has left.
    Midway,
}

/// What a turn came to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Idle,
    Worked,
    Failed,
}

/// A stage with what it could not hand on yet.
struct Actor<S: Stage> {
    stage: S,
    held: VecDeque<Body<S::Out>>,
    failed: bool,
}

/// The stages of one generation, and the mailboxes before them.
pub(crate) struct Stages {
    generation: u64,
    resolver: Actor<Front>,
    collapser: Actor<PathCollapser>,
    aggregator: Actor<EdgeAggregator>,
    compactor: Actor<WindowCompactor>,
    to_resolver: Mailbox<Intake>,
    to_collapser: Mailbox<Hops>,
    to_aggregator: Mailbox<Deltas>,
    to_compactor: Mailbox<Deltas>,
}

/// The names of the stages, in the order of the line.
pub(crate) const NAMES: [&str; 4] =
    [Front::NAME, PathCollapser::NAME, EdgeAggregator::NAME, WindowCompactor::NAME];

/// The first mailbox, as the sluice sees it.
pub(crate) struct Inlet<'a> {
    generation: u64,
    mailbox: &'a mut Mailbox<Intake>,
}

// === impl Mailbox ===

impl<T> Mailbox<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { queue: VecDeque::new(), capacity, boundless: false }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.capacity && !self.boundless
    }

    pub(crate) fn put(&mut self, generation: u64, body: Body<T>) {
        self.queue.push_back((generation, body));
    }

    pub(crate) fn take(&mut self) -> Option<(u64, Body<T>)> {
        self.queue.pop_front()
    }

    /// Whether it holds no more than it may.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.queue.len() <= self.capacity
    }
}

// === impl Actor ===

impl<S: Stage> Actor<S> {
    fn new(stage: S) -> Self {
        Self { stage, held: VecDeque::new(), failed: false }
    }

    /// One turn: hands on what is held, or takes a message in.
    fn turn(
        &mut self,
        generation: u64,
        in_force: bool,
        inbox: &mut Mailbox<S::In>,
        outbox: &mut Mailbox<S::Out>,
        fails: Option<Position>,
    ) -> Turn {
        if self.forward(generation, outbox) {
            return Turn::Worked;
        }
        if !self.held.is_empty() {
            return Turn::Idle;
        }
        let Some((of, body)) = inbox.take() else { return Turn::Idle };
        if self.failed || of != generation || !in_force {
            return Turn::Worked;
        }
        if fails == Some(Position::Before) {
            self.failed = true;
            return Turn::Failed;
        }
        match body {
            Body::Batch(batch) => self.held.extend(self.stage.apply(batch).map(Body::Batch)),
            Body::Barrier(mut barrier) => {
                let rest = self.stage.barrier(&mut barrier).map(Body::Batch);
                self.held.extend(rest);
                self.held.push_back(Body::Barrier(barrier));
            }
        }
        match fails {
            None => {
                self.forward(generation, outbox);
                Turn::Worked
            }
            Some(position) => {
                if position == Position::Midway && self.held.len() > 1 && !outbox.is_full() {
                    outbox.put(generation, self.held.pop_front().expect("there are two"));
                }
                self.held.clear();
                self.failed = true;
                Turn::Failed
            }
        }
    }

    fn forward(&mut self, generation: u64, outbox: &mut Mailbox<S::Out>) -> bool {
        let before = self.held.len();
        while !outbox.is_full()
            && let Some(body) = self.held.pop_front()
        {
            outbox.put(generation, body);
        }
        self.held.len() < before
    }
}

// === impl Stages ===

impl Stages {
    pub(crate) fn new(
        generation: u64,
        config: &LineConfig,
        restored: &Restored,
        capacity: usize,
    ) -> Self {
        let line = Line::new(config, restored);
        Self {
            generation,
            resolver: Actor::new(line.front),
            collapser: Actor::new(line.collapser),
            aggregator: Actor::new(line.aggregator),
            compactor: Actor::new(line.compactor),
            to_resolver: Mailbox::new(capacity),
            to_collapser: Mailbox::new(capacity),
            to_aggregator: Mailbox::new(capacity),
            to_compactor: Mailbox::new(capacity),
        }
    }

    /// Takes the bound off the first mailbox, if so.
    pub(crate) fn without_bound(mut self, boundless: bool) -> Self {
        self.to_resolver.boundless = boundless;
        self
    }

    /// Replaces the stage that failed, and no other.
    pub(crate) fn replace(&mut self, at: usize, config: &LineConfig) {
        let line = Line::new(config, &Restored::default());
        match at {
            0 => self.resolver = Actor::new(line.front),
            1 => self.collapser = Actor::new(line.collapser),
            2 => self.aggregator = Actor::new(line.aggregator),
            _ => self.compactor = Actor::new(line.compactor),
        }
    }

    pub(crate) fn inlet(&mut self) -> Inlet<'_> {
        Inlet { generation: self.generation, mailbox: &mut self.to_resolver }
    }

    /// A turn of stage `at`.
    pub(crate) fn turn(
        &mut self,
        at: usize,
        in_force: bool,
        commits: &mut Mailbox<EpochCommit>,
        fails: Option<Position>,
    ) -> Turn {
        let g = self.generation;
        match at {
            0 => self.resolver.turn(
                g,
                in_force,
                &mut self.to_resolver,
                &mut self.to_collapser,
                fails,
            ),
            1 => self.collapser.turn(
                g,
                in_force,
                &mut self.to_collapser,
                &mut self.to_aggregator,
                fails,
            ),
            2 => self.aggregator.turn(
                g,
                in_force,
                &mut self.to_aggregator,
                &mut self.to_compactor,
                fails,
            ),
            _ => self.compactor.turn(g, in_force, &mut self.to_compactor, commits, fails),
        }
    }

    pub(crate) fn is_within_bounds(&self) -> bool {
        self.to_resolver.is_within_bounds()
            && self.to_collapser.is_within_bounds()
            && self.to_aggregator.is_within_bounds()
            && self.to_compactor.is_within_bounds()
    }
}

// === impl Inlet ===

impl Outlet for Inlet<'_> {
    fn batch(&mut self, intake: Intake) -> Sent<Intake> {
        if self.mailbox.is_full() {
            return Sent::Full(intake);
        }
        self.mailbox.put(self.generation, Body::Batch(intake));
        Sent::Yes
    }

    fn barrier(&mut self, barrier: Barrier) -> Sent<()> {
        if self.mailbox.is_full() {
            return Sent::Full(());
        }
        self.mailbox.put(self.generation, Body::Barrier(barrier));
        Sent::Yes
    }
}
