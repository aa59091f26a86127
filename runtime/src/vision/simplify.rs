//! A closed polygon with a bounded number of points.
//!
//! Visvalingam and Whyatt 1993: the point whose triangle with its two neighbours is smallest is removed, until few enough
//! are left. A tournament tree finds it, so that the cost is `n log n` for any shape: each of its nodes holds the cheaper of the
//! points in the two nodes below it.
//!
//! **Work**: [`INSERT_WORK`] units to insert a point into the tree, [`REMOVE_WORK`] to remove one, and one to move one to
//! its place in the result.

use super::budget::StepBudget;
use super::error::{VisionError, need, within};
use super::grid::Vertex;
use bytemuck::{Pod, Zeroable};

/// Work to insert a point: its triangle, and a node above.
pub const INSERT_WORK: u32 = 8;
/// Work to remove the cheapest point: the nodes above it are computed again, and those above each neighbour, whose triangles
/// change. So [`super::budget::STEP_WORK`] is 256 removals.
pub const REMOVE_WORK: u32 = 16;

/// Scratch for one point. It is written before it is read.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Link {
    /// Area of the point's triangle, the cost of its removal: the bits of a float that is not negative, which are ordered like the
    /// floats. [`REMOVED`] once it is removed.
    cost: u32,
    previous: u32,
    next: u32,
    /// The cheapest of the points below this node of the tree. Node 1 is the root; nodes `2 i` and `2 i + 1` are below node `i`; point
    /// `i` of `count` is below node `(count + i) / 2`.
    cheapest: u32,
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
    /// Compute the points' costs and the tree's nodes, from the last: how many are left.
    Insert(usize),
    /// Remove points: how many are left.
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
        let (stage, kept) =
            if is_small { (Stage::Compact(count), count) } else { (Stage::Insert(2 * count), 0) };
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
                Stage::Insert(left) => {
                    let mut tree = Tree { links, count };
                    match (left - 1).checked_sub(count) {
                        Some(point) => tree.insert(point, points),
                        None => {
                            let cheapest = tree.cheapest(2 * left - 2).min(tree.cheapest(2 * left - 1));
                            tree.links[left - 1].cheapest = cheapest as u32;
                        }
                    }
                    budget.count(INSERT_WORK / 2);
                    if left > 2 { Stage::Insert(left - 1) } else { Stage::Remove(count) }
                }
                Stage::Remove(left) => {
                    Tree { links, count }.remove_cheapest(points);
                    budget.count(REMOVE_WORK);
                    if left - 1 > self.keep { Stage::Remove(left - 1) } else { Stage::Compact(0) }
                }
                Stage::Compact(read) => {
                    if links[read].cost != REMOVED {
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

/// Returns the bits of the area of a triangle; 0 where it cannot be computed, so that such points are removed first.
fn triangle(a: Vertex, b: Vertex, c: Vertex) -> u32 {
    let [ax, ay, bx, by, cx, cy] = [a[0], a[1], b[0], b[1], c[0], c[1]].map(f64::from);
    let area = 0.5 * ((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)).abs();
    if area.is_finite() { (area as f32).to_bits() } else { 0 }
}

/// Tournament tree of points.
struct Tree<'a> {
    links: &'a mut [Link],
    count: usize,
}

impl Tree<'_> {
    /// Returns the cost and the index of the cheapest point below a node; a node from `count` on is a point itself.
    fn cheapest(&self, node: usize) -> u64 {
        let point = if node < self.count { self.links[node].cheapest } else { (node - self.count) as u32 };
        u64::from(self.links[point as usize].cost) << u32::BITS | u64::from(point)
    }

    /// Sets the cost of a point; the nodes above it are computed later.
    fn insert(&mut self, point: usize, points: &[Vertex]) {
        let previous = if point == 0 { self.count - 1 } else { point - 1 };
        let next = if point + 1 == self.count { 0 } else { point + 1 };
        let cost = triangle(points[previous], points[point], points[next]);
        self.links[point] = Link { cost, previous: previous as u32, next: next as u32, cheapest: 0 };
    }

    /// Changes the cost of a point, and the nodes above it.
    fn set_cost(&mut self, point: u32, cost: u32) {
        self.links[point as usize].cost = cost;
        let mut node = self.count + point as usize;
        let mut cheapest = self.cheapest(node);
        while node > 1 {
            cheapest = cheapest.min(self.cheapest(node ^ 1));
            node /= 2;
            let was = core::mem::replace(&mut self.links[node].cheapest, cheapest as u32);
            if was == cheapest as u32 && was != point {
                // The point did not count here, and does not.
                return;
            }
        }
    }

    /// Removes the cheapest point, and updates the cost of its neighbours.
    fn remove_cheapest(&mut self, points: &[Vertex]) {
        let removed = self.links[1].cheapest;
        let Link { cost, previous, next, .. } = self.links[removed as usize];
        self.set_cost(removed, REMOVED);
        self.links[previous as usize].next = next;
        self.links[next as usize].previous = previous;
        for index in [previous, next] {
            let link = self.links[index as usize];
            let [before, at, after] = [link.previous, index, link.next].map(|index| points[index as usize]);
            // A point must not become cheaper than one that was removed before it (the paper's effective area).
            self.set_cost(index, triangle(before, at, after).max(cost));
        }
    }
}
