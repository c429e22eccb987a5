//! Whether a difference between two ranges is more than chance: pure mathematics.
//!
//! Counts are compared as rates of a quasi-Poisson process (McCullagh & Nelder, *Generalized Linear
//! Models*, 1989, section 9.2; the F test on the deviance, as Lund et al. 2012 use it for many counts at
//! once): the deviance of "one rate for both", with a continuity correction of half an event, over a
//! dispersion that is estimated from the steps inside each range, against Student's t with the steps'
//! degrees of freedom. The dispersion is at least 1: a source is never taken for steadier than chance.
//! Latencies are compared by Welch's t test over one figure a step. Over all tests, the false discovery
//! rate is held by the procedure of Benjamini and Hochberg (1995).

/// A count over something it can be put in relation to (seconds, calls), step by step.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// The count.
    pub(super) sum: f64,
    /// What it is counted over.
    pub(super) exposure: f64,
    /// Sum of count²/exposure of each step.
    squares: f64,
    /// Steps that have an exposure.
    steps: u32,
}

/// One figure a step.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub(super) struct Spread {
    steps: u32,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
}

/// Fewest steps of a side of which a spread can be told.
const LEAST_STEPS: u32 = 3;

/// Variance of the logarithm of a latency that comes from its bucket alone: 1/32 wide, even inside.
const BUCKET_VARIANCE: f64 = 1.0 / (32.0 * 32.0 * 12.0);

// === impl Tally ===

impl Tally {
    /// Silence for so long.
    pub(super) fn silent(exposure: f64) -> Self {
        Self { exposure, ..Self::default() }
    }

    /// Adds a step. One without exposure says nothing.
    pub(super) fn add(&mut self, count: f64, exposure: f64) {
        if exposure > 0.0 {
            let count = count.max(0.0);
            self.sum += count;
            self.exposure += exposure;
            self.squares += count * count / exposure;
            self.steps += 1;
        }
    }

    /// Adds what the same steps say under another name.
    pub(super) fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.exposure += other.exposure;
        self.squares += other.squares;
        self.steps += other.steps;
    }

    /// Counts also the steps in which nothing was seen: so many in all, over so much.
    pub(super) fn complete(&mut self, steps: u32, exposure: f64) {
        (self.steps, self.exposure) = (steps.max(self.steps), exposure);
    }

    /// Steps that have an exposure.
    pub(super) const fn steps(&self) -> u32 {
        self.steps
    }

    /// The rate; 0 without exposure.
    pub(super) fn rate(&self) -> f64 {
        if self.exposure > 0.0 { self.sum / self.exposure } else { 0.0 }
    }

    /// Pearson's statistic of the steps, and its degrees of freedom. Silence has no say.
    fn scatter(&self) -> (f64, f64) {
        if self.sum <= 0.0 {
            return (0.0, 0.0);
        }
        let statistic = self.squares * self.exposure / self.sum - self.sum;
        (statistic.max(0.0), f64::from(self.steps.saturating_sub(1)))
    }
}

// === impl Spread ===

impl Spread {
    /// Adds a step.
    pub(super) fn add(&mut self, figure: f64) {
        self.steps += 1;
        let from = figure - self.mean;
        self.mean += from / f64::from(self.steps);
        self.squares += from * (figure - self.mean);
    }

    /// The mean over steps.
    pub(super) const fn mean(&self) -> f64 {
        self.mean
    }

    fn variance_of_mean(&self) -> f64 {
        let n = f64::from(self.steps);
        (self.squares / (n - 1.0) + BUCKET_VARIANCE) / n
    }
}

/// The probability that two sides of one rate differ at least so much; nothing if no side has steps to
/// tell its dispersion from, or one has no exposure.
pub(super) fn rates_differ(a: &Tally, b: &Tally) -> Option<f64> {
    if a.exposure <= 0.0 || b.exposure <= 0.0 {
        return None;
    }
    let ((one, dof_one), (other, dof_other)) = (a.scatter(), b.scatter());
    let dof = dof_one + dof_other;
    if dof <= 0.0 {
        return None;
    }
    let dispersion = ((one + other) / dof).max(1.0);
    Some(student(deviance(a, b) / dispersion, dof))
}

/// The probability that two sides of one mean differ at least so much; nothing with too few steps.
pub(super) fn means_differ(a: &Spread, b: &Spread) -> Option<f64> {
    if a.steps < LEAST_STEPS || b.steps < LEAST_STEPS {
        return None;
    }
    let (one, other) = (a.variance_of_mean(), b.variance_of_mean());
    let sum = one + other;
    let part = |variance: f64, steps: u32| variance * variance / (f64::from(steps) - 1.0);
    let dof = sum * sum / (part(one, a.steps) + part(other, b.steps));
    let distance = a.mean - b.mean;
    Some(student(distance * distance / sum, dof))
}

/// The greatest probability that still counts as a discovery, if at most `rate` of them may be false.
pub(super) fn cutoff(mut probabilities: Vec<f64>, rate: f64) -> f64 {
    probabilities.sort_unstable_by(f64::total_cmp);
    let all = probabilities.len() as f64;
    let stands = |(place, p): &(usize, &f64)| **p <= rate * (*place as f64 + 1.0) / all;
    probabilities.iter().enumerate().rev().find(stands).map_or(0.0, |(_, p)| *p)
}

/// Twice the log likelihood ratio of "each its own rate" to "one rate", the counts half an event nearer
/// to what one rate expects.
fn deviance(a: &Tally, b: &Tally) -> f64 {
    let sum = a.sum + b.sum;
    let expected = sum * a.exposure / (a.exposure + b.exposure);
    let distance = (a.sum - expected).abs() - 0.5;
    if sum <= 0.0 || distance <= 0.0 {
        return 0.0;
    }
    let nearer = expected + distance.copysign(a.sum - expected);
    let term = |count: f64, expected: f64| {
        if count > 0.0 { count * (count / expected).ln() } else { 0.0 }
    };
    (2.0 * (term(nearer, expected) + term(sum - nearer, sum - expected))).max(0.0)
}

/// The probability that Student's t is at least this far from 0, by its square.
fn student(square: f64, dof: f64) -> f64 {
    incomplete_beta(dof / (dof + square), dof / 2.0, 0.5)
}

/// The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side; the other follows by symmetry (DLMF 8.17.4).
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    (front.exp() / (a * fraction(x, a, b))).clamp(0.0, 1.0)
}

/// `1 + d1/(1 + d2/(1 + …))`, by Lentz' method.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    /// Enough for a and b of some thousands.
    const MOST: u32 = 500;
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut value, mut above, mut below) = (1.0, 1.0, 0.0);
    for n in 1..=MOST {
        let m = f64::from(n / 2);
        let term = if n % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        below = 1.0 / away(1.0 + term * below);
        above = away(1.0 + term / above);
        let step = above * below;
        value *= step;
        if (step - 1.0).abs() < 1e-14 {
            break;
        }
    }
    value
}

/// The logarithm of the gamma function of a positive number: Stirling's series (DLMF 5.11.1) from 10 on,
/// the recurrence below.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let square = x * x;
    let series = (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square)
        / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests;
