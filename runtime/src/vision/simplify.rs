//! A closed polygon with a bounded number of points.
//!
//! Visvalingam and Whyatt 1993: the point whose triangle with its two neighbours is smallest goes first, until few
//! enough are left. A binary heap finds it, so that the cost is `n log n` for any shape.

use super::{Vertex, VisionError, need, within};
use bytemuck::{Pod, Zeroable};

/// Scratch for one point. Plain memory; zero it or not, it is written before it is read.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Link {
    /// Area of the point's triangle: what its removal costs.
    cost: f32,
    previous: u32,
    next: u32,
    /// Place of this point in the heap, [`REMOVED`] once it is gone.
    place: u32,
    /// The point at this place of the heap.
    heap: u32,
}

const REMOVED: u32 = u32::MAX;

/// Thins a closed polygon to at most `keep` points, in place and in order; the number left is returned, and the points
/// behind it are leftovers. A polygon with no more than `keep` points is left as it is. Every point that remains is one
/// of the original's; ties are decided by the point's index.
///
/// `links` is scratch, one [`Link`] per point.
///
/// # Errors
/// [`VisionError::Range`] if `keep` is below 3 or there are more than `u32::MAX / 2` points, [`VisionError::Slice`] if
/// the scratch is too short.
pub fn simplify(points: &mut [Vertex], keep: usize, links: &mut [Link]) -> Result<usize, VisionError> {
    let count = points.len();
    within("points to keep", keep as f64, 3.0, f64::MAX)?;
    within("points of the polygon", count as f64, 0.0, f64::from(u32::MAX / 2))?;
    if count <= keep {
        return Ok(count);
    }
    need("simplification scratch", links.len(), count)?;
    let links = &mut links[..count];
    for index in 0..count {
        let (previous, next) = ((index + count - 1) % count, (index + 1) % count);
        links[index] = Link {
            cost: triangle(points[previous], points[index], points[next]),
            previous: previous as u32,
            next: next as u32,
            place: index as u32,
            heap: index as u32,
        };
    }
    let mut queue = Queue { links, len: count };
    for place in (0..count / 2).rev() {
        queue.sink(place);
    }
    for _ in keep..count {
        let (gone, cost) = queue.pop();
        let (previous, next) = (queue.links[gone].previous as usize, queue.links[gone].next as usize);
        queue.links[previous].next = next as u32;
        queue.links[next].previous = previous as u32;
        for index in [previous, next] {
            let link = queue.links[index];
            let area = triangle(points[link.previous as usize], points[index], points[link.next as usize]);
            // A point must not become cheaper than one that went before it (the paper's effective area).
            queue.update(index, area.max(cost));
        }
    }
    let mut kept = 0;
    for index in 0..count {
        if links[index].place != REMOVED {
            points[kept] = points[index];
            kept += 1;
        }
    }
    Ok(kept)
}

/// Area of a triangle; 0 where it cannot be computed, so that such points go first.
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

    fn sink(&mut self, mut place: usize) {
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

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.cheaper(place, parent) {
                return;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    /// Takes out the cheapest point.
    fn pop(&mut self) -> (usize, f32) {
        let point = self.point(0);
        self.len -= 1;
        self.swap(0, self.len);
        self.sink(0);
        self.links[point].place = REMOVED;
        (point, self.links[point].cost)
    }

    fn update(&mut self, point: usize, cost: f32) {
        self.links[point].cost = cost;
        self.rise(self.links[point].place as usize);
        self.sink(self.links[point].place as usize);
    }
}
