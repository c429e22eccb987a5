use proptest::prelude::*;

use super::*;

/// A sequence that looks random and is the same every time (splitmix64), in `(0, 1)`.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + 1e-17
    }

    /// Knuth's product of chances, in parts so that it does not vanish.
    fn poisson(&mut self, mean: f64) -> f64 {
        let (mut left, mut count) = (mean, 0.0);
        while left > 0.0 {
            let limit = (-left.min(20.0)).exp();
            left -= 20.0;
            let mut product = self.next();
            while product > limit {
                count += 1.0;
                product *= self.next();
            }
        }
        count
    }

    fn exponential(&mut self) -> f64 {
        -self.next().ln()
    }
}

fn tally(counts: impl IntoIterator<Item = f64>) -> Tally {
    let mut tally = Tally::default();
    counts.into_iter().for_each(|count| tally.add(count, 10.0));
    tally
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 + 1e-6 * b.abs(), "{a} is not {b}");
}

#[test]
fn functions_agree_with_published_values() {
    near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln());
    near(ln_gamma(5.0), 24.0_f64.ln());
    near(ln_gamma(100.0), 359.134_205_369_575_4);
    near(incomplete_beta(0.5, 2.0, 3.0), 0.6875);
    // Quantiles of Student's t as tables give them, to their digits.
    for (t, dof, p) in
        [(12.706, 1.0, 0.05), (2.228, 10.0, 0.05), (4.587, 10.0, 0.001), (1.98, 120.0, 0.05)]
    {
        let got = student(t * t, dof);
        assert!((got - p).abs() < p * 2e-3, "t {t} dof {dof}: {got}");
    }
}

#[test]
fn corrected_deviance_is_near_the_exact_test_of_two_poisson_counts() {
    // Against 2 · P(X ≥ n | n of both, even chances) = 2 · 2^-n, by the normal tail.
    for n in [5, 10, 20, 30] {
        let (none, all) = (tally([0.0]), tally([f64::from(n)]));
        let exact = 2.0 * 0.5_f64.powi(n);
        let got = student(deviance(&none, &all), 1e7);
        assert!(got < exact * 1.6 && got > exact / 1.6, "{n}: {got} against {exact}");
    }
}

#[test]
fn sides_of_one_rate_are_rarely_found_different_whether_steady_or_in_bursts() {
    let mut chance = Chance(1);
    // (mean of a step, size of a burst, pace of drift)
    for (mean, burst) in [(50.0, 1.0), (2.0, 1.0), (0.3, 1.0), (8.0, 20.0), (200.0, 50.0)] {
        let mut draw = || {
            tally((0..12).map(|_| {
                // The rate itself is drawn anew each step: over-dispersion.
                let rate = mean / burst * (0.5 + 0.5 * chance.exponential());
                burst * chance.poisson(rate)
            }))
        };
        let found: Vec<f64> = (0..4_000).filter_map(|_| rates_differ(&draw(), &draw())).collect();
        for alpha in [0.05, 0.005] {
            let part = found.iter().filter(|p| **p <= alpha).count() as f64 / 4_000.0;
            assert!(part <= alpha * 1.6, "mean {mean} burst {burst}: {part} below {alpha}");
        }
    }
}

#[test]
fn change_is_found_where_there_is_one() {
    let mut chance = Chance(2);
    let mut draw = |mean: f64| tally((0..12).map(|_| chance.poisson(mean)));
    let found = (0..500).filter(|_| {
        let (before, after) = (draw(10.0), draw(20.0));
        rates_differ(&before, &after).unwrap() < 0.01
    });
    assert!(found.count() > 495);
}

#[test]
fn false_discoveries_stay_below_the_rate_and_real_changes_are_found() {
    let mut chance = Chance(3);
    let mut draw = |mean: f64| {
        tally((0..12).map(|_| {
            let rate = mean * (0.5 + 0.5 * chance.exponential());
            chance.poisson(rate)
        }))
    };
    let mut all = Vec::new();
    for edge in 0..20_000 {
        let real = edge % 100 == 0;
        let (before, after) = (draw(20.0), draw(if real { 80.0 } else { 20.0 }));
        all.push((real, rates_differ(&before, &after).unwrap()));
    }
    let cutoff = cutoff(all.iter().map(|(_, p)| *p).collect(), 0.05);
    let found: Vec<bool> =
        all.iter().filter(|(_, p)| *p <= cutoff).map(|(real, _)| *real).collect();
    let wrong = found.iter().filter(|real| !**real).count();
    assert!(found.len() - wrong > 150, "{} of 200 found", found.len() - wrong);
    assert!(wrong as f64 <= 0.08 * found.len() as f64, "{wrong} of {} are false", found.len());
}

#[test]
fn one_burst_is_no_change() {
    let burst = (0..12).map(|step| if step == 5 { 50.0 } else { 0.0 });
    let none = tally([0.0; 12]);
    assert!(rates_differ(&none, &tally(burst)).unwrap() > 0.1);
    let steady = tally([4.0; 12]);
    assert!(rates_differ(&none, &steady).unwrap() < 1e-4);
}

#[test]
fn latency_that_jitters_is_no_change_and_one_that_doubles_is() {
    let mut chance = Chance(4);
    let mut draw = |middle: f64| {
        let mut spread = Spread::default();
        (0..12).for_each(|_| spread.add(middle.ln() + 0.3 * (chance.next() - 0.5)));
        spread
    };
    let (a, b, c) = (draw(20.0), draw(20.0), draw(40.0));
    assert!(means_differ(&a, &b).unwrap() > 0.01);
    assert!(means_differ(&a, &c).unwrap() < 1e-6);
}

#[test]
fn nothing_is_judged_that_has_no_steps_to_judge_by() {
    assert_eq!(rates_differ(&tally([4.0]), &tally([400.0])), None);
    assert_eq!(rates_differ(&tally([]), &tally([1.0, 2.0])), None);
    assert_eq!(rates_differ(&tally([0.0, 0.0]), &tally([0.0, 0.0])), None);
    assert_eq!(means_differ(&Spread::default(), &Spread::default()), None);
    assert!(cutoff(Vec::new(), 0.05).abs() < f64::EPSILON);
}

proptest! {
    #[test]
    fn probability_is_one_of_both_sides_and_of_no_order(
        a in proptest::collection::vec(0_u32..1_000, 2..20),
        b in proptest::collection::vec(0_u32..1_000, 2..20),
    ) {
        let (a, b) = (tally(a.into_iter().map(f64::from)), tally(b.into_iter().map(f64::from)));
        let (there, back) = (rates_differ(&a, &b), rates_differ(&b, &a));
        prop_assert_eq!(there.is_some(), back.is_some());
        if let (Some(there), Some(back)) = (there, back) {
            prop_assert!((0.0..=1.0).contains(&there));
            prop_assert!((there - back).abs() < 1e-9);
        }
    }

    #[test]
    fn greater_distance_is_never_more_likely(count in 0_u32..200, more in 1_u32..50) {
        let base = tally([20.0; 10]);
        let side = |count: u32| Tally { sum: 200.0 + f64::from(count), ..base };
        let near = deviance(&base, &side(count));
        let far = deviance(&base, &side(count + more));
        prop_assert!(far >= near);
    }

    #[test]
    fn cutoff_grows_with_what_may_be_false(ps in proptest::collection::vec(0.0_f64..1.0, 1..50)) {
        let strict = cutoff(ps.clone(), 0.01);
        let loose = cutoff(ps.clone(), 0.2);
        prop_assert!(strict <= loose);
        // Benjamini and Hochberg: at least as many as Bonferroni.
        let bonferroni = 0.2 / ps.len() as f64;
        prop_assert!(ps.iter().filter(|p| **p <= bonferroni).all(|p| *p <= loose));
    }
}
