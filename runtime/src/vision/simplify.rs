//! A closed polygon with a bounded number of points.
//!
//! Visvalingam and Whyatt 1993: the point whose triangle with its two neighbours is smallest is removed, until few enough
//! are left. A binary heap finds it, so that the cost is `n log n` for any shape.
//!
//! **Work**: [`INSERT_WORK`] units to insert a point into the heap, [`REMOVE_WORK`] to remove one, and one to move one to
//! its place in the result.

use super::budget::StepBudget;
use super::error::{VisionError, need, within};
use super::grid::Vertex;
use bytemuck::{Pod, Zeroable};

/// Work to insert a point: its triangle, and a move up the heap, which is short on average.
pub const INSERT_WORK: u32 = 8;
/// Work to remove the cheapest point: the heap is restored once for it and once for each neighbour, whose triangles
/// change. So [`super::budget::STEP_WORK`] is 256 removals.
pub const REMOVE_WORK: u32 = 16;

/// Scratch for one point. It is written before it is read.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Link {
    /// Area of the point's triangle: the cost of its removal.
    cost: f32,
    previous: u32,
    next: u32,
    /// Place of this point in the heap, [`REMOVED`] once it is removed.
    place: u32,
    /// The point at this place of the heap.
    heap: u32,
}

const REMOVED: u32 = u32::MAX;

/// Reduces a closed polygon to at most `keep` points, in place and in order. A polygon with no more than `keep` points is
/// not changed. Every point that remains is one of the original's; ties are decided by the point's index. Resumable.
#[derive(Debug, Clone, Copy)]
pub struct Simplification {
    count: usize,
    keep: usize,
    stage: Stage,
    /// Points moved to the front so far.
    kept: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Fill the heap: points in it.
    Insert(usize),
    /// Remove points: how many are left in the heap.
    Remove(usize),
    /// Move the remaining points to the front: points looked at.
    Compact(usize),
}

impl Simplification {
    /// Creates a simplification of a polygon of `count` points.
    ///
    /// # Errors
    /// [`VisionError::Range`] if `keep` is below 3 or there are more than `u32::MAX / 2` points.
    pub fn new(count: usize, keep: usize) -> Result<Self, VisionError> {
        within("points to keep", keep as f64, 3.0, f64::MAX)?;
        within("points of the polygon", count as f64, 0.0, f64::from(u32::MAX / 2))?;
        let is_small = count <= keep;
        let (stage, kept) = if is_small { (Stage::Compact(count), count) } else { (Stage::Insert(0), 0) };
        Ok(Self { count, keep, stage, kept })
    }

    /// Returns the number of points that are left, when done. The elements after them are undefined.
    pub const fn kept(&self) -> usize {
        self.kept
    }

    /// Continues until done (true) or the budget is used up. `links` is scratch, one [`Link`] per point.
    ///
    /// # Errors
    /// [`VisionError::Slice`] if the scratch, or `points`, is too short.
    pub fn step(
        &mut self,
        points: &mut [Vertex],
        links: &mut [Link],
        budget: &mut StepBudget,
    ) -> Result<bool, VisionError> {
        need("points of the polygon", points.len(), self.count)?;
        if self.count > self.keep {
            need("simplification scratch", links.len(), self.count)?;
        }
        let count = self.count;
        while self.stage != Stage::Compact(count) && !budget.is_used_up() {
            self.stage = match self.stage {
                Stage::Insert(len) => {
                    let previous = if len == 0 { count - 1 } else { len - 1 };
                    let next = if len + 1 == count { 0 } else { len + 1 };
                    let cost = triangle(points[previous], points[len], points[next]);
                    Queue { links, len }.insert(cost, previous as u32, next as u32);
                    budget.count(INSERT_WORK);
                    if len + 1 < count { Stage::Insert(len + 1) } else { Stage::Remove(count) }
                }
                Stage::Remove(len) => {
                    Queue { links, len }.remove_cheapest(points);
                    budget.count(REMOVE_WORK);
                    if len - 1 > self.keep { Stage::Remove(len - 1) } else { Stage::Compact(0) }
                }
                Stage::Compact(read) => {
                    if links[read].place != REMOVED {
                        points[self.kept] = points[read];
                        self.kept += 1;
                    }
                    budget.count(1);
                    Stage::Compact(read + 1)
                }
            };
        }
        Ok(self.stage == Stage::Compact(count))
    }
}

/// Returns the area of a triangle; 0 where it cannot be computed, so that such points are removed first.
fn triangle(a: Vertex, b: Vertex, c: Vertex) -> f32 {
    let [ax, ay, bx, by, cx, cy] = [a[0], a[1], b[0], b[1], c[0], c[1]].map(f64::from);
    let area = 0.5 * ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)).abs();
    if area.is_finite() { area as f32 } else { 0.0 }
}

/// Binary heap of points, the cheapest at place 0. Each point knows its place, so that its cost can change.
struct Queue<'a> {
    links: &'a mut [Link],
    len: usize,
}

impl Queue<'_> {
    fn point(&self, place: usize) -> usize {
        self.links[place].heap as usize
    }

    fn cheaper(&self, place: usize, than: usize) -> bool {
        let (a, b) = (self.point(place), self.point(than));
        (self.links[a].cost, a) < (self.links[b].cost, b)
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (point_a, point_b) = (self.point(a), self.point(b));
        self.links[a].heap = point_b as u32;
        self.links[b].heap = point_a as u32;
        self.links[point_a].place = b as u32;
        self.links[point_b].place = a as u32;
    }

    /// Appends the next point.
    fn insert(&mut self, cost: f32, previous: u32, next: u32) {
        let at = self.len as u32;
        self.links[self.len] = Link { cost, previous, next, place: at, heap: at };
        self.len += 1;
        self.sift_up(self.len - 1);
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.len && self.cheaper(child, least) {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn sift_up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.cheaper(place, parent) {
                return;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    /// Removes the cheapest point, and updates the cost of its neighbours.
    fn remove_cheapest(&mut self, points: &[Vertex]) {
        let removed = self.point(0);
        self.len -= 1;
        self.swap(0, self.len);
        self.sift_down(0);
        let Link { cost, previous, next, .. } = self.links[removed];
        self.links[removed].place = REMOVED;
        self.links[previous as usize].next = next;
        self.links[next as usize].previous = previous;
        for index in [previous as usize, next as usize] {
            let link = self.links[index];
            let area = triangle(points[link.previous as usize], points[index], points[link.next as usize]);
            // A point must not become cheaper than one that was removed before it (the paper's effective area).
            self.links[index].cost = area.max(cost);
            self.sift_up(self.links[index].place as usize);
            self.sift_down(self.links[index].place as usize);
        }
    }
}
