//! The times of each stage, in histograms that are allocated before the first frame.

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest time that the histograms resolve. A longer time counts as this one, but the maximum is exact.
const LONGEST_NS: u64 = 60_000_000_000;
/// Decimal digits of percentiles.
const DIGITS: u8 = 3;
/// Name of the time from a frame's commit to its overlay's commit.
pub const TOTAL: &str = "total";

/// Percentiles of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageSummary {
    /// Median.
    pub p50_ns: u64,
    /// 99 of 100 are not longer.
    pub p99_ns: u64,
    /// 999 of 1000 are not longer.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// One stage's times.
#[derive(Debug, Clone)]
struct Stage {
    name: &'static str,
    times: Histogram<u64>,
    max_ns: u64,
}

impl Stage {
    fn new(name: &'static str) -> Result<Self> {
        let times = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS);
        let mut times = times.with_context(|| format!("cannot make a histogram for stage {name}"))?;
        // The system maps fresh memory at its first use: writing to it now avoids page faults later. The black box
        // keeps the compiler from removing writes of zeros over zeros.
        std::hint::black_box(&mut times).clear();
        Ok(Self { name, times, max_ns: 0 })
    }

    fn record(&mut self, time_ns: u64) {
        self.times.saturating_record(time_ns);
        self.max_ns = self.max_ns.max(time_ns);
    }

    /// The smallest time (to three digits) that a share of the times does not exceed.
    fn quantile_ns(&self, quantile: f64) -> u64 {
        // A histogram returns the upper end of a range, which may be above the longest time.
        self.times.value_at_quantile(quantile).min(self.max_ns)
    }
}

/// Collects the times of every stage and their total. Recording neither allocates nor faults.
#[derive(Debug, Clone)]
pub struct StageTimes {
    /// The last one is the total.
    stages: Vec<Stage>,
}

impl StageTimes {
    /// Empty histograms for stages of these names, and for [`TOTAL`].
    ///
    /// # Errors
    /// If a histogram cannot be made (not enough memory).
    pub fn new(names: &[&'static str]) -> Result<Self> {
        ensure!(!names.contains(&TOTAL), "a stage cannot be named `{TOTAL}`: that is the name of the sum");
        let stages = names.iter().copied().chain([TOTAL]).map(Stage::new).collect::<Result<_>>()?;
        Ok(Self { stages })
    }

    /// Records one frame: the times of its stages, in the order of the names, and the total.
    pub fn record(&mut self, stage_ns: &[u64], total_ns: u64) {
        if let Some((total, stages)) = self.stages.split_last_mut() {
            total.record(total_ns);
            for (stage, &time_ns) in stages.iter_mut().zip(stage_ns) {
                stage.record(time_ns);
            }
        }
    }

    /// Frames recorded.
    pub fn frames(&self) -> u64 {
        self.stages.last().map_or(0, |total| total.times.len())
    }

    /// Names of the stages, the total last.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.stages.iter().map(|stage| stage.name)
    }

    /// The time that a share (0 to 1) of a stage's times does not exceed; none for an unknown name.
    pub fn quantile_ns(&self, name: &str, quantile: f64) -> Option<u64> {
        self.stages.iter().find(|stage| stage.name == name).map(|stage| stage.quantile_ns(quantile))
    }

    /// Percentiles of each stage, the total last.
    pub fn summaries(&self) -> Vec<(String, StageSummary)> {
        let summary = |stage: &Stage| StageSummary {
            p50_ns: stage.quantile_ns(0.5),
            p99_ns: stage.quantile_ns(0.99),
            p999_ns: stage.quantile_ns(0.999),
            max_ns: stage.max_ns,
        };
        self.stages.iter().map(|stage| (stage.name.to_owned(), summary(stage))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with the sorted times: the smallest one that a share of them does not exceed, to three digits.
    #[test]
    fn percentiles_match_the_sorted_times() {
        let mut times = StageTimes::new(&["a", "b"]).unwrap();
        let (mut a, mut total) = (Vec::new(), Vec::new());
        let mut state = 12_345u64;
        for _ in 0..7919 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (short, long) = (state >> 44, 10_000_000 + (state >> 40));
            times.record(&[short, 0], long);
            a.push(short);
            total.push(long);
        }
        a.sort_unstable();
        total.sort_unstable();
        for quantile in [0.0f64, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((quantile * a.len() as f64).ceil() as usize).max(1) - 1;
            for (name, sorted) in [("a", &a), (TOTAL, &total)] {
                let (seen, expected) = (times.quantile_ns(name, quantile).unwrap(), sorted[rank]);
                assert!(
                    seen.abs_diff(expected) <= expected / 1000,
                    "{name} {quantile}: {seen}, not {expected}"
                );
            }
        }
        let summaries = times.summaries();
        assert_eq!(summaries[0].1.max_ns, *a.last().unwrap());
        assert_eq!(summaries[1], ("b".to_owned(), StageSummary::default()));
        assert_eq!(summaries[2].0, TOTAL);
        assert_eq!(times.frames(), 7919);
    }

    #[test]
    fn times_beyond_the_range_are_kept_as_the_maximum() {
        let mut times = StageTimes::new(&["a"]).unwrap();
        times.record(&[u64::MAX], u64::MAX);
        assert_eq!(times.summaries()[0].1.max_ns, u64::MAX);
        assert!(times.quantile_ns("a", 0.5).unwrap() >= LONGEST_NS);
    }

    #[test]
    fn empty_histograms_are_all_zero() {
        let times = StageTimes::new(&["a"]).unwrap();
        assert_eq!(
            times.summaries(),
            [("a".into(), StageSummary::default()), (TOTAL.into(), StageSummary::default())]
        );
        assert_eq!(times.quantile_ns("c", 0.5), None);
        assert!(StageTimes::new(&["a", TOTAL]).is_err());
    }
}
