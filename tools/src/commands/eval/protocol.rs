//! The simulated user: the same masks always give the same clicks.
//!
//! The first click is the centroid of the true mask, as in the paper, or, if that is outside the object, the object's
//! pixel farthest from its edge. Each later click is the pixel farthest from the edge of the largest error region
//! (4-connected; if two are equal, missed before leaked): positive if missed, negative if leaked. The picture's border
//! is an edge, too.

use sonotrace::session::GridClick;

/// A square mask, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    pub side: usize,
    pub pixels: Vec<bool>,
}

impl Mask {
    /// Pixels inside.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|&&inside| inside).count()
    }

    /// Positions inside, in reading order.
    fn inside(&self) -> impl Iterator<Item = (usize, usize)> {
        self.pixels
            .iter()
            .enumerate()
            .filter(|&(_, &inside)| inside)
            .map(|(at, _)| (at % self.side, at / self.side))
    }

    /// Left, top, right and bottom of the outermost pixels; none for an empty mask.
    pub fn bounds(&self) -> Option<[usize; 4]> {
        self.inside().fold(None, |bounds, (x, y)| {
            let [x0, y0, x1, y1] = bounds.unwrap_or([x, y, x, y]);
            Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)])
        })
    }

    /// Dice similarity; 1 for two empty masks.
    pub fn dice(&self, other: &Self) -> f64 {
        let both = self.pixels.iter().zip(&other.pixels).filter(|&(&a, &b)| a && b).count();
        let total = self.area() + other.area();
        if total == 0 { 1.0 } else { 2.0 * both as f64 / total as f64 }
    }

    /// Pixels that are in this mask and not in the other.
    fn without(&self, other: &Self) -> Self {
        let pixels = self.pixels.iter().zip(&other.pixels).map(|(&a, &b)| a && !b).collect();
        Self { side: self.side, pixels }
    }

    /// The largest 4-connected part, the first in reading order if several are equal; none for an empty mask.
    fn largest_part(&self) -> Option<Self> {
        let mut left = self.pixels.clone();
        let mut largest: Vec<usize> = Vec::new();
        for start in 0..left.len() {
            let mut part = Vec::new();
            let mut reached = Vec::new();
            if std::mem::take(&mut left[start]) {
                reached.push(start);
            }
            while let Some(at) = reached.pop() {
                part.push(at);
                let (x, y) = (at % self.side, at / self.side);
                let neighbours = [
                    (x > 0).then(|| at - 1),
                    (x + 1 < self.side).then(|| at + 1),
                    (y > 0).then(|| at - self.side),
                    (y + 1 < self.side).then(|| at + self.side),
                ];
                reached.extend(neighbours.into_iter().flatten().filter(|&at| std::mem::take(&mut left[at])));
            }
            if part.len() > largest.len() {
                largest = part;
            }
        }
        let mut pixels = vec![false; self.pixels.len()];
        for &at in &largest {
            pixels[at] = true;
        }
        (!largest.is_empty()).then_some(Self { side: self.side, pixels })
    }

    /// The pixel farthest from the edge, the first in reading order if several are equal; none for an empty mask.
    fn innermost(&self) -> Option<[usize; 2]> {
        let [x0, y0, x1, y1] = self.bounds()?;
        let side = self.side;
        // Distance up and down to the edge, then the nearest edge along each row: exact, and fast within the bounds.
        let mut vertical = vec![0usize; side * side];
        for x in x0..=x1 {
            let mut run = 0;
            for y in y0..=y1 {
                run = if self.pixels[y * side + x] { run + 1 } else { 0 };
                vertical[y * side + x] = run;
            }
            run = 0;
            for y in (y0..=y1).rev() {
                run = if self.pixels[y * side + x] { run + 1 } else { 0 };
                vertical[y * side + x] = vertical[y * side + x].min(run);
            }
        }
        let mut best = ([x0, y0], 0);
        for y in y0..=y1 {
            for x in (x0..=x1).filter(|&x| self.pixels[y * side + x]) {
                // The edge is just outside the bounds.
                let ends = (x - x0 + 1).min(x1 - x + 1);
                let nearest = (x0..=x1)
                    .map(|across| across.abs_diff(x).pow(2) + vertical[y * side + across].pow(2))
                    .fold(ends * ends, usize::min);
                if nearest > best.1 {
                    best = ([x, y], nearest);
                }
            }
        }
        Some(best.0)
    }
}

fn click([x, y]: [usize; 2], is_positive: bool) -> GridClick {
    GridClick { at: [x as f32, y as f32], is_positive }
}

/// The user's first click; none for an empty mask.
pub fn first_click(truth: &Mask) -> Option<GridClick> {
    let area = truth.area();
    let (sum_x, sum_y) = truth.inside().fold((0, 0), |(sum_x, sum_y), (x, y)| (sum_x + x, sum_y + y));
    let centre = |sum: usize| (sum as f64 / area as f64).round_ties_even() as usize;
    if area == 0 {
        return None;
    }
    let centroid = [centre(sum_x), centre(sum_y)];
    let is_inside = truth.pixels[centroid[1] * truth.side + centroid[0]];
    let at = if is_inside { centroid } else { truth.innermost()? };
    Some(click(at, true))
}

/// The user's next click; none if the prediction has no error.
pub fn next_click(truth: &Mask, predicted: &Mask) -> Option<GridClick> {
    let missed = truth.without(predicted).largest_part();
    let leaked = predicted.without(truth).largest_part();
    let area = |part: &Option<Mask>| part.as_ref().map_or(0, Mask::area);
    let is_positive = area(&missed) >= area(&leaked);
    let at = if is_positive { missed } else { leaked }?.innermost()?;
    Some(click(at, is_positive))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disc(x: f64, y: f64, radius: f64) -> Mask {
        let side = 64;
        let pixels = (0..side * side)
            .map(|at| ((at % side) as f64 - x).hypot((at / side) as f64 - y) <= radius)
            .collect();
        Mask { side, pixels }
    }

    fn either(a: &Mask, b: &Mask) -> Mask {
        Mask { side: a.side, pixels: a.pixels.iter().zip(&b.pixels).map(|(&a, &b)| a || b).collect() }
    }

    #[test]
    fn the_first_click_is_the_centroid_or_on_the_object() {
        assert_eq!(first_click(&disc(20.0, 30.0, 9.0)), Some(click([20, 30], true)));
        let ring = disc(32.0, 32.0, 20.0).without(&disc(32.0, 32.0, 12.0));
        let at = first_click(&ring).expect("there is a ring").at;
        let radius = (at[0] - 32.0).hypot(at[1] - 32.0);
        assert!((14.0..=18.0).contains(&radius), "{radius} from the centre, in a wall from 12 to 20");
    }

    #[test]
    fn the_next_click_is_in_the_middle_of_the_largest_error() {
        let truth = disc(20.0, 32.0, 10.0);
        let leak = disc(50.0, 32.0, 7.0);
        assert_eq!(next_click(&truth, &either(&truth, &leak)), Some(click([50, 32], false)));
        let small = disc(50.0, 10.0, 5.0);
        assert_eq!(next_click(&either(&truth, &small), &truth), Some(click([50, 10], true)));
        assert_eq!(next_click(&truth, &truth), None);
    }

    #[test]
    fn the_innermost_pixel_is_the_farthest_from_the_edge() {
        // Compared with the slow definition: the distance to the nearest pixel that is not inside, border included.
        let mask = either(&disc(18.0, 21.0, 11.0), &disc(40.0, 40.0, 14.0).without(&disc(44.0, 38.0, 6.0)));
        let distance = |x: usize, y: usize| {
            (0..66 * 66)
                .map(|at| (at % 66, at / 66))
                .filter(|&(ox, oy)| {
                    ox == 0 || oy == 0 || ox == 65 || oy == 65 || !mask.pixels[(oy - 1) * 64 + ox - 1]
                })
                .map(|(ox, oy)| ox.abs_diff(x + 1).pow(2) + oy.abs_diff(y + 1).pow(2))
                .min()
        };
        let farthest = mask.inside().map(|(x, y)| distance(x, y)).max().expect("not empty");
        let [x, y] = mask.innermost().expect("not empty");
        assert_eq!(distance(x, y), farthest);
        let first = mask.inside().find(|&(x, y)| distance(x, y) == farthest);
        assert_eq!(first, Some((x, y)));
        let whole = Mask { side: 9, pixels: vec![true; 81] };
        assert_eq!(whole.innermost(), Some([4, 4]));
    }

    #[test]
    fn bounds_and_dice() {
        let mut truth = Mask { side: 8, pixels: vec![false; 64] };
        assert_eq!((truth.bounds(), truth.dice(&truth)), (None, 1.0));
        for at in [19, 20, 21, 22, 27, 28, 29, 30] {
            truth.pixels[at] = true;
        }
        assert_eq!(truth.bounds(), Some([3, 2, 6, 3]));
        let mut half = truth.clone();
        half.pixels[24..32].fill(false);
        assert_eq!(half.dice(&truth), 2.0 * 4.0 / 12.0);
    }
}
