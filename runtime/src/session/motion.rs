//! Where a point of a frame that was not computed lies on a frame that was: by the tracker's motion on the computed frames around it.

use super::KeptFeatures;
use crate::tracking::warp::Flow;
use crate::vision::Vertex;

/// A frame that was not computed, between two that were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Between {
    /// Feature slot of the frame before.
    pub before: u32,
    /// Feature slot of the frame after.
    pub after: u32,
    /// How far it is from the one to the other in time, 0 to 1.
    pub share: f32,
}

/// What the tracker found on a kept frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Anchored {
    /// Number of the anchor that its motion begins at; `None` if nothing was followed to it.
    pub since: Option<u32>,
    /// Its own number as an anchor, if it is or was one.
    pub as_anchor: Option<u32>,
}

/// Motion on the kept frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Motions<'a> {
    /// By feature slot.
    pub kept: &'a [KeptFeatures],
    /// By feature slot: flow since the anchor, `[2, side, side]`.
    pub flows: &'a [f32],
    /// Cells along a side of a flow.
    pub side: usize,
}

impl Motions<'_> {
    /// Returns the position on the frame in slot `on`, one of both, of a point of the frame between them, on the input grid; the
    /// same position if the motion between them is not known.
    pub fn moved(&self, between: &Between, on: u32, at: Vertex) -> Vertex {
        let Some(step) = self.step(between, at) else { return at };
        // From the frame between them to the one after is the rest of the step, to the one before it is backwards.
        let share = if on == between.after { 1.0 - between.share } else { -between.share };
        [0, 1].map(|axis| at[axis] + share * step[axis])
    }

    /// The motion from the frame before to the one after at a point of the frame before, pixels of the input grid.
    fn step(&self, between: &Between, at: Vertex) -> Option<Vertex> {
        let [before, after] = [between.before, between.after].map(|slot| &self.kept[slot as usize]);
        let grid = before.scene?.grid;
        let since = after.anchored.since.filter(|_| after.scene.is_some_and(|scene| scene.grid == grid))?;
        let pitch = grid.size() as f32 / self.side as f32;
        let cells = at.map(|at| (at + 0.5) / pitch - 0.5);
        let flow = |slot: u32| {
            let values = 2 * self.side * self.side;
            let values = &self.flows[slot as usize * values..][..values];
            Flow { values, side: self.side }.at_cells(cells)
        };
        // Both as positions on the same anchor.
        let of_before = if before.anchored.as_anchor == Some(since) {
            [0.0; 2]
        } else if before.anchored.since == Some(since) {
            flow(between.before)
        } else {
            return None;
        };
        let of_after = flow(between.after);
        Some([0, 1].map(|axis| (of_before[axis] - of_after[axis]) * pitch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hal::geometry::{Geometry, Linear};
    use crate::session::objects::Scene;
    use crate::vision::{Display, DisplayRaster, InputGrid};

    const SIDE: usize = 8;

    fn kept(anchored: Anchored) -> KeptFeatures {
        let geometry = Geometry::Linear(Linear {
            lines: 64,
            samples: 64,
            left_mm: -20.0,
            line_step_mm: 0.6,
            first_depth_mm: 0.0,
            depth_step_mm: 0.6,
        });
        let scene = Scene {
            geometry,
            grid: InputGrid::new(&geometry, 32).expect("a grid"),
            display: DisplayRaster::new(&geometry, Display::Raster { width: 64, height: 64 })
                .expect("a display"),
        };
        KeptFeatures { seq: 0, t_acq_ns: 0, frame: 0, scene: Some(scene), anchored }
    }

    /// Something has moved by 2 cells to the right since the anchor on the frame before, by 5 on the one after, and 1 down.
    #[test]
    fn a_point_moves_with_what_is_there() {
        let since = |anchor: u32| Anchored { since: Some(anchor), as_anchor: None };
        let flow = |x: f32, y: f32| [vec![x; SIDE * SIDE], vec![y; SIDE * SIDE]].concat();
        let flows = [flow(-2.0, 0.0), flow(-5.0, -1.0)].concat();
        let moved = |kept: [Anchored; 2], share: f32, on: u32| {
            let kept = kept.map(self::kept);
            let motions = Motions { kept: &kept, flows: &flows, side: SIDE };
            motions.moved(&Between { before: 0, after: 1, share }, on, [10.0, 20.0])
        };
        // A cell has 4 pixels. The step is 3 cells to the right and 1 down.
        let both = [since(7), since(7)];
        assert_eq!(moved(both, 0.0, 1), [22.0, 24.0]);
        assert_eq!(moved(both, 0.25, 1), [19.0, 23.0]);
        assert_eq!(moved(both, 0.25, 0), [7.0, 19.0]);
        assert_eq!(moved(both, 0.0, 0), [10.0, 20.0]);
        // The frame before is the anchor.
        let anchor = Anchored { since: Some(3), as_anchor: Some(7) };
        assert_eq!(moved([anchor, since(7)], 0.0, 1), [30.0, 24.0]);
        // Another anchor, and no motion.
        assert_eq!(moved([since(6), since(7)], 0.0, 1), [10.0, 20.0]);
        assert_eq!(moved([since(7), Anchored::default()], 0.0, 1), [10.0, 20.0]);
    }
}
