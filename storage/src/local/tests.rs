use portolan_model::{Position, TopicPartition};

use super::*;

const SMALL: LocalLimits = LocalLimits { segment_bytes: 100, keep_bytes: 150, max_bytes: 1_000 };

fn open(dir: &Path, read: i64) -> LocalTopic {
    LocalTopic::open(dir, "t", SMALL, read, Arc::default()).unwrap()
}

fn offsets(topic: &LocalTopic, from: i64) -> Vec<i64> {
    let (mut all, mut at) = (Vec::new(), from);
    loop {
        let read = topic.read(at, 50).unwrap();
        if read.records.is_empty() {
            return all;
        }
        all.extend(read.records.iter().map(|r| r.offset));
        at = read.next;
    }
}

fn fill(topic: &LocalTopic, records: usize) {
    for record in 0..records {
        topic.append(7, &[format!("record {record:02}").as_bytes()]).unwrap();
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(dir.join("t")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_was_appended_is_read_in_its_order_also_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let topic = open(dir.path(), 0);
    assert_eq!(topic.append(5, &[b"a", b"", b"c"]).unwrap(), 3);
    fill(&topic, 9);
    let check = |topic: &LocalTopic| {
        assert_eq!(topic.extent(), (0, 12));
        assert_eq!(offsets(topic, 0), (0..12).collect::<Vec<_>>());
        assert_eq!(offsets(topic, 7), (7..12).collect::<Vec<_>>());
        let read = topic.read(2, 1).unwrap();
        let c = LocalRecord { offset: 2, stamp: 5, payload: b"c".to_vec() };
        assert_eq!((read.records, read.next), (vec![c], 3));
    };
    check(&topic);
    assert!(files(dir.path()).len() > 2, "it is more than one segment");
    drop(topic);
    check(&open(dir.path(), 12));
}

#[test]
fn a_torn_tail_is_cut_off_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let topic = open(dir.path(), 0);
    fill(&topic, 2);
    drop(topic);
    let file = files(dir.path()).pop().unwrap();
    let whole = fs::read(&file).unwrap();
    for cut in 1..26 {
        fs::write(&file, &whole[..whole.len() - cut]).unwrap();
        let topic = open(dir.path(), 0);
        assert_eq!(topic.extent(), (0, 1), "{cut} bytes short");
        topic.append(0, &[b"again"]).unwrap();
        assert_eq!(topic.read(1, 100).unwrap().records[0].payload, b"again");
    }
}

#[test]
fn an_offset_that_the_store_has_read_is_never_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let topic = open(dir.path(), 0);
    fill(&topic, 2);
    drop(topic);
    // The log lost its tail, or was deleted, after the store had read up to 9.
    let topic = open(dir.path(), 9);
    fill(&topic, 1);
    assert_eq!((topic.extent(), offsets(&topic, 0)), ((0, 10), vec![0, 1, 9]));
    fs::remove_dir_all(dir.path().join("t")).unwrap();
    let topic = open(dir.path(), 10);
    fill(&topic, 1);
    assert_eq!((topic.extent(), offsets(&topic, 0)), ((10, 11), vec![10]));
}

#[test]
fn a_flipped_bit_costs_the_rest_of_its_segment_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let topic = open(dir.path(), 0);
    fill(&topic, 10);
    drop(topic);
    let first = files(dir.path()).remove(0);
    let mut bytes = fs::read(&first).unwrap();
    bytes[60] ^= 1;
    fs::write(&first, bytes).unwrap();
    let topic = open(dir.path(), 10);
    let second = segment::base_of(files(dir.path())[1].file_name().unwrap().to_str().unwrap());
    let left: Vec<_> = std::iter::once(0).chain(second.unwrap()..10).collect();
    assert_eq!(offsets(&topic, 0), left);
    assert!(left.len() > 5, "{left:?}");
}

#[test]
fn what_is_in_the_graph_is_let_go_of_but_for_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let topic = open(dir.path(), 0);
    fill(&topic, 20);
    let (before, files_before) = (topic.bytes(), files(dir.path()).len());
    topic.release(0).unwrap();
    assert_eq!((topic.bytes(), files(dir.path()).len()), (before, files_before));
    topic.release(20).unwrap();
    let (low, end) = topic.extent();
    assert!(topic.bytes() <= SMALL.keep_bytes && low > 10 && end == 20, "{low} {}", topic.bytes());
    assert_eq!(offsets(&topic, 0), (low..20).collect::<Vec<_>>());
}

#[test]
fn a_full_topic_refuses_until_the_line_has_read() {
    let dir = tempfile::tempdir().unwrap();
    let topic = open(dir.path(), 0);
    let mut appended = 0;
    let refused = loop {
        match topic.append(0, &[b"record 00"]) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Crowded(ref t) if t == "t"), "{refused}");
    assert!(topic.bytes() <= SMALL.max_bytes && appended > 20);
    topic.release(topic.extent().1).unwrap();
    topic.append(0, &[b"record 00"]).unwrap();
}

#[test]
fn topics_go_on_where_the_store_stands() {
    let dir = tempfile::tempdir().unwrap();
    let at = |cluster: &str, topic: &str, next| Position {
        partition: TopicPartition { cluster: cluster.into(), topic: topic.into(), partition: 0 },
        next,
        reread: 0,
    };
    let positions = vec![at("main", "a", 90), at(LOCAL, "a", 4)];
    let checkpoint = Checkpoint { positions, ..Checkpoint::default() };
    let topics =
        LocalTopics::open(dir.path(), &["a", "b"], LocalLimits::default(), &checkpoint).unwrap();
    let seen = topics.rung();
    assert_eq!(topics.all()[0].append(0, &[b"x"]).unwrap(), 5);
    assert_eq!(topics.all()[1].append(0, &[b"y"]).unwrap(), 1);
    assert_eq!(topics.rung(), seen + 2);
}
