//! Largest and smallest volume of a heart's chamber over its last whole beat, found without an electrocardiogram.
//!
//! The volumes of the last seconds are kept, and each answer is computed from all of them, without any other state:
//!
//! 1. A maximum or minimum counts when the volume has since changed by 40 % of its range over the last two seconds. Noise and the
//!    atrial kick change it by less. The end of a diastole is a maximum with such a rise before it and such a fall behind it.
//! 2. The duration of a beat is the time between two such falls. The volume changes fastest there, so noise and the frame rate
//!    move that time least.
//! 3. A beat is valid only if three consecutive beats have about the same duration, the same extremes and the same shape, and are
//!    smooth. Noise does not repeat itself and is not smooth, and one beat cannot tell an irregular rhythm from a regular one. In an
//!    irregular rhythm a single beat is representative only after cycles of equal duration (Tabata et al., Am J Physiol Heart Circ
//!    Physiol 2001;281:H573-H580).
//!
//! The volume at an extreme is that of a parabola through the volumes around it. The largest of several noisy volumes would be too
//! large and the smallest too small, which makes the ejection fraction too high; and with few frames in a beat, no frame may lie at
//! the extreme.

use bytemuck::{Pod, Zeroable};
use sonotrace_hal::overlay::Beat;

/// Volumes that are kept, 9 seconds at the closest spacing: three of the longest beats, the one that has begun since, and the rise
/// before them.
const SAMPLES: usize = 608;
/// Volumes of a row.
const ROW: usize = 32;
/// Volumes that follow closer than this are averaged, so that at least 33 a second are left: eight of the fastest beat.
const SPACING_NS: u64 = 15_000_000;
/// Shortest beat: 240 a minute, less 4 % for the error of a measured duration. The fastest sinus rhythms have about 220 a minute, in
/// infants and in exertion of the young (220 minus the age in years).
const BEAT_NS_MIN: f64 = 0.24e9;
/// Longest beat: 30 a minute, and 4 %. Sinus rhythm at rest has 60 to 100 a minute, in athletes down to about 30.
const BEAT_NS_MAX: f64 = 2.08e9;
/// Largest step between two volumes, as a part of a beat: a longer one may hide a turn.
const STEP_MAX: f64 = 0.2;
/// The largest step of a beat of 2 seconds. After a longer gap the history begins anew.
const GAP_NS_MAX: u64 = 400_000_000;
/// Fewest volumes of three beats: eight a beat, but for one. Halfway between two of eight frames, a sinusoid has 96 % of its
/// amplitude, before the parabola.
const SAMPLES_MIN: usize = 3 * 8 - 1;
/// An extreme counts when the volume has since changed by this part of its range.
const SWING: f64 = 0.4;
/// Smallest change of volume that counts as a beat, as a part of the largest volume. A smaller one cannot be told from the noise of
/// contours.
const EJECTION_MIN: f64 = 0.1;
/// Largest difference of the durations of three beats, as a part of the longest. Breathing at rest changes them by less, premature
/// beats by more.
const DURATION_SPREAD_MAX: f64 = 0.15;
/// Largest difference between the largest volumes of the beats, and between the smallest, as a part of the stroke.
const EXTREME_SPREAD_MAX: f64 = 0.25;
/// Largest root mean square of the difference between the last beat and one before, as a part of the stroke.
const SHAPE_RMS_MAX: f64 = 0.12;
/// Largest root mean square distance of a volume from the line between its neighbours, as a part of the stroke, for a curve without
/// bends. It allows white noise with a standard deviation of 8 % of the stroke. For noise without a beat it is a quarter or more.
const NOISE_RMS_MAX: f64 = 0.1;
/// The same distance for a curve without noise, times the square of the number of volumes in a beat, because a curve bends by more
/// between fewer volumes: of the normal ventricle's (systole for 0.36 of the beat, early filling for 0.23).
const BEND_RMS: f64 = 11.5;
/// Half of the time around a turn that its parabola is fitted to, as a part of the beat, if there are frames enough.
const TURN: f64 = 1.0 / 12.0;
/// Age of the end of a beat, in durations of it, from which it no longer counts as the last one.
const BEATS_OLD_MAX: f64 = 2.0;

/// A kept volume.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Sample {
    /// Time since the one before.
    step_ns: u32,
    ml: f32,
}

/// A volume at a time since the oldest one.
#[derive(Debug, Clone, Copy)]
struct Point {
    t_ns: f64,
    ml: f64,
}

/// A turn from filling to emptying.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// The smallest volume before.
    low: Point,
    /// The largest volume.
    high: Point,
    /// When the volume had left it.
    left_ns: f64,
}

/// A beat, between two times at which the volume had left a maximum.
#[derive(Debug, Clone, Copy)]
struct Span {
    from_ns: f64,
    to_ns: f64,
}

impl Span {
    fn between(from: &Turn, to: &Turn) -> Self {
        Self { from_ns: from.left_ns, to_ns: to.left_ns }
    }

    fn ns(&self) -> f64 {
        self.to_ns - self.from_ns
    }

    fn contains(&self, point: &Point) -> bool {
        (self.from_ns..self.to_ns).contains(&point.t_ns)
    }
}

/// The volumes of the last seconds, in fixed memory. All zeros are an empty one.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct VolumeHistory {
    /// A ring, in rows of a length that arrays of plain data may have.
    samples: [[Sample; ROW]; SAMPLES / ROW],
    /// Index of the oldest one.
    first: u32,
    len: u32,
    /// Frames that the newest one is the mean of.
    merged: u32,
    reserved: u32,
    /// Times of the oldest and of the newest one, which is that of the first frame in it.
    oldest_ns: u64,
    newest_ns: u64,
    /// Time of the last frame.
    last_ns: u64,
}

impl Default for VolumeHistory {
    fn default() -> Self {
        Self::new()
    }
}

impl VolumeHistory {
    /// Returns an empty history.
    pub const fn new() -> Self {
        let samples = [[Sample { step_ns: 0, ml: 0.0 }; ROW]; SAMPLES / ROW];
        Self { samples, first: 0, len: 0, merged: 0, reserved: 0, oldest_ns: 0, newest_ns: 0, last_ns: 0 }
    }

    /// Forgets all volumes: for another object, another geometry, or a stream that restarts.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds the volume on the frame that was acquired at `t_ns`, in any unit. One that is not finite or not positive is ignored, and
    /// so is a second one of the same frame. After a gap of more than 0.4 seconds, or if time runs back, the history begins anew.
    pub fn push(&mut self, t_ns: u64, volume: f32) {
        let is_volume = volume.is_finite() && volume > 0.0;
        if !is_volume {
            return;
        }
        if self.len > 0 {
            match t_ns.checked_sub(self.last_ns) {
                Some(0) => return,
                Some(step_ns) if step_ns <= GAP_NS_MAX => {}
                _ => self.clear(),
            }
        }
        if self.len == 0 {
            (self.first, self.oldest_ns, self.newest_ns) = (0, t_ns, t_ns);
        }
        self.last_ns = t_ns;
        // At most the longest gap and the spacing.
        let step_ns = t_ns - self.newest_ns;
        if self.len > 0 && step_ns < SPACING_NS {
            self.merged += 1;
            let newest = &mut self.samples.as_flattened_mut()[(self.first + self.len - 1) as usize % SAMPLES];
            newest.ml += (volume - newest.ml) / self.merged as f32;
            return;
        }
        if self.len as usize == SAMPLES {
            self.first = (self.first + 1) % SAMPLES as u32;
            self.len -= 1;
            self.oldest_ns += u64::from(self.samples.as_flattened()[self.first as usize].step_ns);
        }
        self.samples.as_flattened_mut()[(self.first + self.len) as usize % SAMPLES] =
            Sample { step_ns: step_ns as u32, ml: volume };
        (self.len, self.newest_ns, self.merged) = (self.len + 1, t_ns, 1);
    }

    /// Returns the last whole beat, as of the frame that was acquired at `now_ns`. Volumes are in the unit of [`Self::push`].
    ///
    /// `None` where no beat is certain: fewer than three whole beats of 30 to 240 a minute; durations that differ by more than 15 %,
    /// extremes by more than a quarter of the stroke, or other shapes; fewer than eight volumes a beat, or a step of more than a
    /// fifth of one; noise; an ejection fraction below 10 %; or the last beat ended more than two of its durations ago.
    pub fn beat(&self, now_ns: u64) -> Option<Beat> {
        let is_followed = now_ns.checked_sub(self.last_ns).is_some_and(|ns| ns <= GAP_NS_MAX);
        if self.len == 0 || !is_followed {
            return None;
        }
        let turns @ [a, b, c, d] = self.turns(SWING * self.range()?)?;
        let beats = [Span::between(&a, &b), Span::between(&b, &c), Span::between(&c, &d)];
        let last = beats[2];
        let (shortest_ns, longest_ns) = extent(beats.iter().map(Span::ns));
        let is_steady = longest_ns - shortest_ns <= DURATION_SPREAD_MAX * longest_ns;
        if !is_steady || shortest_ns < BEAT_NS_MIN || longest_ns > BEAT_NS_MAX {
            return None;
        }
        let age_ns = (now_ns - self.oldest_ns) as f64 - d.high.t_ns;
        if age_ns > BEATS_OLD_MAX * last.ns() {
            return None;
        }
        let stroke = c.high.ml - d.low.ml;
        let lows = extent(turns[1..].iter().map(|turn| turn.low.ml));
        let highs = extent(turns.iter().map(|turn| turn.high.ml));
        let are_alike = [lows, highs].iter().all(|(least, most)| most - least <= EXTREME_SPREAD_MAX * stroke);
        let all = Span { from_ns: beats[0].from_ns, to_ns: last.to_ns };
        if !are_alike || !self.is_resolved(&all) || !self.is_smooth(&all, stroke) {
            return None;
        }
        if !beats[..2].iter().all(|before| self.repeats(before, &last, stroke)) {
            return None;
        }
        let (largest, largest_ns) = self.extreme(&c.high, &last, 1.0);
        let (smallest, smallest_ns) = self.extreme(&d.low, &last, -1.0);
        let ejection_fraction = (largest - smallest) / largest;
        let is_ejected = smallest > 0.0 && ejection_fraction >= EJECTION_MIN;
        is_ejected.then(|| Beat {
            largest_ml: largest as f32,
            smallest_ml: smallest as f32,
            ejection_fraction: ejection_fraction as f32,
            rate_per_min: (60e9 / last.ns()) as f32,
            largest_t_ns: self.oldest_ns + largest_ns as u64,
            smallest_t_ns: self.oldest_ns + smallest_ns as u64,
        })
    }

    /// The volumes from the oldest to the newest.
    fn points(&self) -> impl Iterator<Item = Point> {
        let (first, len) = (self.first as usize, self.len as usize);
        let older = &self.samples.as_flattened()[first..SAMPLES.min(first + len)];
        let newer = &self.samples.as_flattened()[..len - older.len()];
        // Time counts from the oldest one, whose own step leads to one that is not kept.
        let before_ns = older.first().map_or(0.0, |oldest| -f64::from(oldest.step_ns));
        older.iter().chain(newer).scan(before_ns, |t_ns, sample| {
            *t_ns += f64::from(sample.step_ns);
            Some(Point { t_ns: *t_ns, ml: sample.ml.into() })
        })
    }

    /// Returns by how much the volume changed within the longest beat; `None` if by too little for a beat.
    fn range(&self) -> Option<f64> {
        let since_ns = (self.newest_ns - self.oldest_ns) as f64 - BEAT_NS_MAX;
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for point in self.points().filter(|point| point.t_ns >= since_ns) {
            (low, high) = (low.min(point.ml), high.max(point.ml));
        }
        (high - low >= EJECTION_MIN * high).then_some(high - low)
    }

    /// Returns the last four maxima that the volume rose to, and left, by at least `swing`.
    fn turns(&self, swing: f64) -> Option<[Turn; 4]> {
        #[derive(PartialEq)]
        enum Leg {
            /// Before the first turn, so that the last extreme may lie before the history.
            Unknown,
            Fills,
            Empties,
        }
        let mut before = self.points().next()?;
        let (mut leg, mut low, mut high, mut turned_at) = (Leg::Unknown, before, before, before);
        let none = Turn { low, high, left_ns: 0.0 };
        let (mut turns, mut count) = ([none; 4], 0u32);
        for point in self.points().skip(1) {
            if point.ml > high.ml {
                high = point;
            }
            if point.ml < low.ml {
                low = point;
            }
            if leg != Leg::Empties && point.ml <= high.ml - swing {
                if leg == Leg::Fills {
                    // The volume before is above the level, this one is not.
                    let part = (before.ml - (high.ml - swing)) / (before.ml - point.ml);
                    let left_ns = before.t_ns + part * (point.t_ns - before.t_ns);
                    turns.rotate_left(1);
                    turns[3] = Turn { low: turned_at, high, left_ns };
                    count += 1;
                }
                (leg, low) = (Leg::Empties, point);
            } else if leg != Leg::Fills && point.ml >= low.ml + swing {
                (leg, turned_at, high) = (Leg::Fills, low, point);
            }
            before = point;
        }
        (count >= 4).then_some(turns)
    }

    /// Whether three beats have volumes enough, and no gap.
    fn is_resolved(&self, beats: &Span) -> bool {
        let steps = self.points().zip(self.points().skip(1));
        let within = steps.filter(|(from, to)| to.t_ns > beats.from_ns && from.t_ns < beats.to_ns);
        let longest_ns = within.fold(0.0, |longest, (from, to)| (to.t_ns - from.t_ns).max(longest));
        self.count(beats) >= SAMPLES_MIN && longest_ns <= STEP_MAX * beats.ns() / 3.0
    }

    fn count(&self, span: &Span) -> usize {
        self.points().filter(|point| span.contains(point)).count()
    }

    /// Whether the volumes of three beats lie near the lines between their neighbours.
    fn is_smooth(&self, beats: &Span, stroke: f64) -> bool {
        let (mut squares, mut count) = (0.0, 0.0);
        let threes = self.points().zip(self.points().skip(1)).zip(self.points().skip(2));
        for ((from, point), to) in threes {
            if beats.contains(&point) {
                let off = (point.ml - between(&from, &to, point.t_ns)) / stroke;
                (squares, count) = (squares + off * off, count + 1.0);
            }
        }
        let of_a_beat = count / 3.0;
        let bend = BEND_RMS / (of_a_beat * of_a_beat);
        squares <= (NOISE_RMS_MAX * NOISE_RMS_MAX + bend * bend) * count
    }

    /// Whether the last beat has the shape of an earlier one, stretched to its duration.
    fn repeats(&self, before: &Span, last: &Span, stroke: f64) -> bool {
        let mut steps = self.points().zip(self.points().skip(1));
        let Some(mut step) = steps.next() else { return false };
        let (mut squares, mut count) = (0.0, 0.0);
        for point in self.points().filter(|point| last.contains(point)) {
            let t_ns = before.from_ns + (point.t_ns - last.from_ns) * (before.ns() / last.ns());
            while step.1.t_ns < t_ns {
                let Some(next) = steps.next() else { return false };
                step = next;
            }
            let off = point.ml - between(&step.0, &step.1, t_ns);
            (squares, count) = (squares + off * off, count + 1.0);
        }
        squares <= SHAPE_RMS_MAX * SHAPE_RMS_MAX * stroke * stroke * count
    }

    /// Returns the extreme of a parabola through the volumes around `turn` (`side` 1 for a maximum, -1 for a minimum), and the time
    /// of the frame nearest to it.
    fn extreme(&self, turn: &Point, beat: &Span, side: f64) -> (f64, f64) {
        // A neighbour on each side, also where frames are few.
        let half_ns = (TURN * beat.ns()).max(1.05 * beat.ns() / self.count(beat) as f64);
        // Sums over powers of the time, and of the volume times powers of the time.
        let (mut s, mut v) = ([0.0; 5], [0.0; 3]);
        for point in self.points() {
            let x = (point.t_ns - turn.t_ns) / half_ns;
            if x.abs() <= 1.0 {
                let powers = [1.0, x, x * x, x * x * x, x * x * x * x];
                s.iter_mut().zip(powers).for_each(|(sum, power)| *sum += power);
                v.iter_mut().zip(powers).for_each(|(sum, power)| *sum += power * (point.ml - turn.ml));
            }
        }
        // Least squares by Cramer's rule. Fewer than three volumes have no parabola: then the determinant is 0.
        let whole = determinant([s[0], s[1], s[2]], [s[1], s[2], s[3]], [s[2], s[3], s[4]]);
        let (mut ml, mut at) = (turn.ml, 0.0);
        if whole > 1e-9 {
            let constant = determinant([v[0], v[1], v[2]], [s[1], s[2], s[3]], [s[2], s[3], s[4]]) / whole;
            let slope = determinant([s[0], s[1], s[2]], [v[0], v[1], v[2]], [s[2], s[3], s[4]]) / whole;
            let bend = determinant([s[0], s[1], s[2]], [s[1], s[2], s[3]], [v[0], v[1], v[2]]) / whole;
            // Of a parabola that bends the other way, or turns outside, the value in the middle.
            let is_within = bend * side < 0.0 && slope.abs() <= 2.0 * bend.abs();
            at = if is_within { -slope / (2.0 * bend) } else { 0.0 };
            ml += constant + at * (slope + at * bend);
        }
        let t_ns = turn.t_ns + at * half_ns;
        let nearest = self.points().map(|point| point.t_ns).min_by(|a, b| {
            let [a, b] = [a, b].map(|other| (other - t_ns).abs());
            a.total_cmp(&b)
        });
        (ml, nearest.unwrap_or(turn.t_ns))
    }
}

/// Returns the smallest and the largest of some numbers.
fn extent(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), number| {
        (least.min(number), most.max(number))
    })
}

/// Returns the volume at a time on the line through two points.
fn between(from: &Point, to: &Point, t_ns: f64) -> f64 {
    from.ml + (to.ml - from.ml) * (t_ns - from.t_ns) / (to.t_ns - from.t_ns)
}

/// Returns the determinant of three columns.
fn determinant(a: [f64; 3], b: [f64; 3], c: [f64; 3]) -> f64 {
    a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1])
        + c[0] * (a[1] * b[2] - a[2] * b[1])
}
