//! What a topic holds can be read back, once, by who publishes to it.

use std::collections::BTreeMap;

use portolan_actors::embedded::EmbeddedBroker;
use portolan_actors::publish::Publisher;
use portolan_actors::recall::recall;

use crate::support::NEVER;

#[test]
fn every_message_is_read_back_with_its_key_tombstones_included() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("owners", 3).unwrap();
    broker.create_topic("empty", 2).unwrap();
    let none = BTreeMap::new();
    let publisher = Publisher::new(broker.brokers(), &none).unwrap();
    for number in 0..50 {
        let (key, value) = (format!("key {number}"), format!("value {number}"));
        publisher.send("owners", None, Some(key.as_bytes()), value.as_bytes()).unwrap();
    }
    publisher.forget("owners", b"key 7").unwrap();
    publisher.flush(NEVER).unwrap();

    let mut held = BTreeMap::new();
    let mut visits = 0;
    recall(broker.brokers(), &none, "owners", &mut |key, value| {
        visits += 1;
        let key = String::from_utf8(key.to_vec()).unwrap();
        match value {
            Some(value) => held.insert(key, value.to_vec()),
            None => held.remove(&key),
        };
    })
    .unwrap();
    assert_eq!((visits, held.len(), held.contains_key("key 7")), (51, 49, false));
    assert_eq!(held["key 8"], b"value 8");
    recall(broker.brokers(), &none, "empty", &mut |_, _| panic!("it is empty")).unwrap();
}
