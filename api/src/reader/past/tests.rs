use portolan_model::Window;

use super::*;

const SEC: Nanos = 1_000_000_000;

/// A level of windows of `secs`, held in `[first, end)` seconds.
fn level(secs: u32, first: u32, end: u32) -> Level {
    let len = WindowLen::try_new(secs).unwrap();
    Level { len, first: Window(first), end: Window(end), sealed: Window(0), disk_bytes: 0 }
}

fn secs(from: u64, to: u64) -> TimeRange {
    TimeRange { from: from * SEC, to: to * SEC }
}

/// The steps as `from..to=len×windows+…`.
fn show(levels: &[Level], range: TimeRange, step: u64) -> Vec<String> {
    let parts = cut(&windows(levels, range, step * SEC), step * SEC);
    let one = |part: &Plan| {
        let TimeRange { from, to } = part.covered().unwrap();
        let spans = part
            .spans
            .iter()
            .map(|s| format!("{}x{}", s.len.secs(), (s.range.to - s.range.from) / s.len.nanos()));
        format!("{}..{}={}", from / SEC, to / SEC, spans.collect::<Vec<_>>().join("+"))
    };
    parts.iter().map(one).collect()
}

#[test]
fn steps_are_made_of_the_coarsest_windows_that_nest_in_them() {
    let levels = [level(10, 0, u32::MAX), level(60, 0, 7_200), level(600, 0, 7_200)];
    assert_eq!(show(&levels, secs(1_200, 2_400), 600), ["1200..1800=600x1", "1800..2400=600x1"]);
    assert_eq!(show(&levels, secs(600, 840), 120), ["600..720=60x2", "720..840=60x2"]);
    // 90 s hold a minute, but the next does not begin with one.
    assert_eq!(
        show(&levels, secs(600, 720), 30),
        ["600..630=10x3", "630..660=10x3", "660..690=10x3", "690..720=10x3"]
    );
}

#[test]
fn ends_that_are_no_multiple_of_a_step_make_short_steps() {
    let levels = [level(10, 0, u32::MAX), level(60, 0, 7_200)];
    let shown = show(&levels, secs(110, 190), 60);
    assert_eq!(shown, ["110..120=10x1", "120..180=60x1", "180..190=10x1"]);
}

#[test]
fn where_only_coarse_windows_are_held_each_is_a_step_of_its_own() {
    let levels = [level(10, 1_200, u32::MAX), level(600, 0, 1_800)];
    let shown = show(&levels, secs(600, 1_230), 20);
    assert_eq!(shown, ["600..1200=600x1", "1200..1220=10x2", "1220..1230=10x1"]);
}

#[test]
fn windows_that_fit_no_step_are_still_the_finest_that_are_held() {
    let levels = [level(10, 900, u32::MAX), level(60, 0, 1_200), level(600, 0, 1_200)];
    let shown = show(&levels, secs(600, 720), 50);
    assert_eq!(shown, ["600..660=60x1", "660..720=60x1"]);
}

#[test]
fn length_of_free_steps_follows_from_the_range() {
    let levels = [level(10, 0, u32::MAX), level(60, 0, 7_200), level(600, 0, 7_200)];
    let into = |range, parts| step_of(&levels, range, Cut::Into(parts)).unwrap() / SEC;
    assert_eq!(into(secs(0, 86_400), 12), 7_200);
    assert_eq!(into(secs(3, 603), 12), 50);
    assert_eq!(into(secs(0, 10), 12), 10, "never below a window");
    let levels = [level(10, 900, u32::MAX), level(60, 0, 7_200), level(600, 0, 7_200)];
    let step = step_of(&levels, secs(0, 1_200), Cut::Into(24));
    assert_eq!(step, Some(60 * SEC), "never below a window that is held");
}

#[test]
fn too_many_steps_and_crooked_ones_are_refused() {
    let base = WindowLen::try_new(10).unwrap();
    let said = |range, step: u64| check(range, step * SEC, base).unwrap_err().to_string();
    assert_eq!(said(secs(0, 100), 15), "step_secs: 15 s is not a multiple of the 10 s of a window");
    assert_eq!(
        said(secs(0, 100_000), 10),
        "step_secs: 10000 steps are over 1500: give longer ones"
    );
}
