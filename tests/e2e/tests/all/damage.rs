//! A store that was damaged between two runs, is in use, or is not what the configuration says.

use std::fs;
use std::path::{Path, PathBuf};

use portolan_e2e::{Broker, Portolan, command};
use portolan_fleet::FleetSpec;

use super::crowd::{Crowd, wait_until_committed};
use super::maps::assert_true;

/// Flips a bit in the last batch that was written. It ends with a checksum of 8 bytes and 4 of
/// trailer, behind which the file is filled with zeros; before it stand rows.
fn damage(store: &Path) {
    let entries = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    let journals = entries.filter(|path| path.extension().is_some_and(|e| e == "jnl"));
    let journal: PathBuf = journals.max().unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last - 20] ^= 1;
    fs::write(&journal, bytes).unwrap();
}

/// What it says, and that it ends with the code of a refused store.
fn refused(portolan: &mut Portolan) -> String {
    let said = portolan.restart().unwrap_err().to_string();
    portolan.kill9().unwrap();
    assert!(said.contains("exit status: 3"), "{said}");
    said
}

#[test]
fn damaged_store_is_refused_or_rebuilt_as_configured() {
    let broker = Broker::shared();
    let spec = FleetSpec { flows_per_sec: 300, ..FleetSpec::hard(71) };
    let crowd = Crowd::gather(broker, "damage", 2, spec, 30);
    crowd.publish(2, &crowd.messages);
    let ends = crowd.ends(broker, 2);
    let mut portolan = Portolan::start(&crowd.setup(broker)).unwrap();
    wait_until_committed(&mut portolan, &ends);
    portolan.kill9().unwrap();
    damage(&portolan.store());

    portolan.configure(&crowd.setup(broker).set("store.on_damage", "\"refuse\"")).unwrap();
    let said = refused(&mut portolan);
    let store = portolan.store().display().to_string();
    assert!(said.contains(&format!("mv {store} {store}.damaged")), "the steps: {said}");
    assert!(said.contains("start again"), "the steps: {said}");

    portolan.configure(&crowd.setup(broker)).unwrap();
    portolan.restart().unwrap();
    let status = wait_until_committed(&mut portolan, &ends);
    assert_eq!(status.state, "running");
    let mut beside = fs::read_dir(portolan.store().parent().unwrap()).unwrap();
    let apart = beside.find_map(|entry| {
        let path = entry.unwrap().path().display().to_string();
        path.starts_with(&format!("{store}.damaged-")).then_some(path)
    });
    let apart = apart.expect("what was damaged is kept");
    assert!(status.reason.contains(&apart), "and named: {}", status.reason);
    assert!(portolan.log().contains(&apart), "also in the log");
    assert_true(&portolan, &crowd.truth);
    assert_eq!(status.tallies["accepted"], Crowd::records(&crowd.messages), "once, not twice");
}

#[test]
fn store_that_is_in_use_or_of_other_windows_is_refused() {
    let broker = Broker::shared();
    let crowd = Crowd::gather(broker, "refused", 1, FleetSpec::demo(72), 1);
    let setup = crowd.setup(broker);
    let mut portolan = Portolan::start(&setup).unwrap();

    let second = command()
        .unwrap()
        .arg("serve")
        .arg("--config")
        .arg(portolan.configuration())
        .env("PORTOLAN__LISTEN__GRPC", "127.0.0.1:0")
        .env("PORTOLAN__LISTEN__HTTP", "127.0.0.1:0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(3), "{said}");
    assert!(said.contains("is locked: another process has it open"), "{said}");
    assert!(portolan.ready(), "the first is not disturbed");

    assert!(portolan.stop().unwrap().success());
    portolan.configure(&setup.set("store.window_secs", "60")).unwrap();
    let said = refused(&mut portolan);
    assert!(said.contains("holds windows of 10 s, the configuration says 60 s"), "{said}");
}
