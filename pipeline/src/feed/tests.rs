use portolan_model::{Loss, Reject, TopicPartition};

use super::*;

/// A mailbox that keeps the barriers, and can be full.
#[derive(Default)]
struct Inbox {
    barriers: Vec<Barrier>,
    full: bool,
    gone: bool,
}

impl Outlet for Inbox {
    fn batch(&mut self, intake: Intake) -> Sent<Intake> {
        match (self.gone, self.full) {
            (true, _) => Sent::Closed,
            (_, true) => Sent::Full(intake),
            _ => Sent::Yes,
        }
    }

    fn barrier(&mut self, barrier: Barrier) -> Sent<()> {
        match (self.gone, self.full) {
            (true, _) => Sent::Closed,
            (_, true) => Sent::Full(()),
            _ => {
                self.barriers.push(barrier);
                Sent::Yes
            }
        }
    }
}

const NOW: Now = Now { clock: 100, moment: Duration::from_secs(1) };

fn pace() -> Pace {
    Pace {
        commit_interval: Duration::ZERO,
        idle_interval: Duration::from_secs(3_600),
        max_epoch_records: 100,
        epochs_in_flight: 2,
        partition_idle: Duration::from_secs(5),
    }
}

/// A sluice of generation 1 after epoch 41.
fn sluice(pace: Pace) -> Sluice {
    Sluice::new(1, pace, &Resume { epoch: 41, ..Resume::default() }, 1, Now::default())
}

fn position(next: i64) -> Position {
    let partition = TopicPartition { cluster: "c".into(), topic: "t".into(), partition: 0 };
    Position { partition, next, reread: next }
}

fn parcel(partition: PartitionId, next: i64, accepted: u64) -> Parcel {
    Parcel::New(None, Progress { partition, next, accepted, ..Progress::default() })
}

fn commit(epoch: u64) -> EpochCommit {
    EpochCommit { epoch, ..EpochCommit::default() }
}

fn owners() -> Intake {
    Intake::Owners(Vec::new())
}

#[test]
fn no_more_epochs_are_on_their_way_than_allowed() {
    let (mut sluice, mut inbox) = (sluice(pace()), Inbox::default());
    let id = sluice.register(position(0), true);
    sluice.ready(Phase::Rebuild, NOW, &mut inbox);
    inbox.barriers.clear();
    for next in 1..=3 {
        assert!(matches!(sluice.offer(parcel(id, next, 1), NOW, &mut inbox), Offered::Taken));
        sluice.tick(NOW, &mut inbox);
    }
    assert_eq!(inbox.barriers.iter().map(|b| b.epoch).collect::<Vec<_>>(), [42, 43]);
    // The third waits for the first to be committed, and takes what came meanwhile.
    assert!(matches!(sluice.offer(parcel(id, 4, 1), NOW, &mut inbox), Offered::Taken));
    sluice.tick(NOW, &mut inbox);
    assert_eq!(inbox.barriers.len(), 2);
    assert_eq!(sluice.left(), Left { sources: 1, records: 4, epochs: 2 });
    sluice.committed(&commit(42));
    sluice.tick(NOW, &mut inbox);
    let third = &inbox.barriers[2];
    assert_eq!((third.epoch, third.accepted, third.positions[0].1.next), (44, 2, 4));
}

#[test]
fn a_full_epoch_that_cannot_end_stalls_the_source() {
    let mut sluice = sluice(Pace { epochs_in_flight: 1, ..pace() });
    let mut inbox = Inbox::default();
    let id = sluice.register(position(0), true);
    sluice.ready(Phase::Rebuild, NOW, &mut inbox);
    assert!(matches!(sluice.offer(parcel(id, 100, 100), NOW, &mut inbox), Offered::Taken));
    // Full, and it can end: the next record opens a new one.
    assert!(matches!(sluice.offer(parcel(id, 200, 100), NOW, &mut inbox), Offered::Taken));
    let Offered::Full(back) = sluice.offer(parcel(id, 201, 1), NOW, &mut inbox) else {
        panic!("it should have been refused");
    };
    sluice.committed(&commit(42));
    assert!(matches!(sluice.offer(*back, NOW, &mut inbox), Offered::Taken));
}

#[test]
fn a_barrier_says_exactly_what_was_handed_over_before_it() {
    let (mut sluice, mut inbox) = (sluice(pace()), Inbox::default());
    let id = sluice.register(position(7), true);
    sluice.ready(Phase::Rebuild, NOW, &mut inbox);
    inbox.barriers.clear();
    let loss = Loss { partition: position(0).partition, from: 7, to: 9, at: 1 };
    let progress = Progress {
        partition: id,
        next: 12,
        accepted: 2,
        rejects: vec![(Reject::NotIp, 1)],
        losses: vec![loss.clone()],
        ends: Some(Ends { median: 5, newest: 9 }),
    };
    let offered = sluice.offer(Parcel::New(None, progress), NOW, &mut inbox);
    assert!(matches!(offered, Offered::Taken));
    sluice.tick(NOW, &mut inbox);
    let barrier = &inbox.barriers[0];
    assert_eq!(barrier.positions, [(id, position(12))]);
    assert_eq!((barrier.accepted, barrier.watermark), (2, 5));
    assert_eq!(barrier.rejects, [(Reject::NotIp, 1)]);
    assert_eq!(barrier.losses, [loss]);
    // Nothing of it is said twice.
    assert!(matches!(sluice.offer(parcel(id, 13, 1), NOW, &mut inbox), Offered::Taken));
    sluice.tick(NOW, &mut inbox);
    let next = &inbox.barriers[1];
    assert_eq!((next.accepted, next.rejects.len(), next.losses.len()), (1, 0, 0));
}

#[test]
fn a_batch_that_found_no_room_is_in_no_account() {
    let (mut sluice, mut inbox) = (sluice(pace()), Inbox::default());
    let id = sluice.register(position(0), true);
    sluice.ready(Phase::Rebuild, NOW, &mut inbox);
    inbox.full = true;
    let progress = Progress { partition: id, next: 5, accepted: 5, ..Progress::default() };
    let offered = sluice.offer(Parcel::New(Some(owners()), progress), NOW, &mut inbox);
    let Offered::Full(back) = offered else { panic!("there was no room") };
    assert_eq!(sluice.left().records, 0);
    inbox.full = false;
    assert!(matches!(sluice.offer(*back, NOW, &mut inbox), Offered::Taken));
    assert_eq!(sluice.left().records, 5);
}

#[test]
fn memory_is_rebuilt_before_anything_new_and_ends_with_a_barrier_of_its_own() {
    let (mut sluice, mut inbox) = (sluice(pace()), Inbox::default());
    sluice.register(position(9), true);
    sluice.offer(Parcel::Again(owners()), NOW, &mut inbox);
    sluice.tick(NOW, &mut inbox);
    assert!(inbox.barriers.is_empty(), "no epoch ends while memory is rebuilt");
    sluice.ready(Phase::Rebuild, NOW, &mut inbox);
    assert_eq!((inbox.barriers[0].epoch, inbox.barriers[0].rebuild), (41, true));
    assert_eq!(sluice.phase(), Phase::Owners);
    sluice.ready(Phase::Owners, NOW, &mut inbox);
    assert_eq!(sluice.phase(), Phase::Live);
}

#[test]
fn stages_are_told_what_the_last_commit_said_also_where_nothing_is_read_again() {
    let last = Resume { epoch: 41, watermark: 7, folded: Window(5), ..Resume::default() };
    for (resume, told) in [(last, vec![(41, true, 7, Window(5))]), (Resume::default(), vec![])] {
        let mut sluice = Sluice::new(1, pace(), &resume, 1, Now::default());
        let mut inbox = Inbox::default();
        sluice.ready(Phase::Rebuild, NOW, &mut inbox);
        let barriers = inbox.barriers.iter();
        let said: Vec<_> = barriers.map(|b| (b.epoch, b.rebuild, b.watermark, b.folded)).collect();
        assert_eq!(said, told);
    }
}

#[test]
fn a_line_whose_first_stage_is_gone_takes_nothing() {
    let mut sluice = sluice(pace());
    let mut inbox = Inbox { gone: true, ..Inbox::default() };
    let offered = sluice.offer(Parcel::Again(owners()), NOW, &mut inbox);
    assert!(matches!(offered, Offered::Closed));
    assert!(sluice.is_closed() && sluice.is_broken());
}
