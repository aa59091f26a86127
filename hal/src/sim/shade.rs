//! Shadows: what weakens all that comes from beyond it.
//!
//! Two things cast them: layers of the anatomy such as bone ([`Screen`]), which move with it, and what stands between
//! the probe and the body ([`Shadow`]), such as a rib, which the probe carries along. Either is a loss at some depth of
//! some lines; the losses before a sample add up.

use super::cycle::Motion;
use super::field::Field;
use super::phantom::Screen;
use super::random::smooth_step;
use super::scatter::decibel;

/// Steepest incidence that a layer is given, as a cosine: beyond it no more is lost, for the beam has a width.
const LEAST_COSINE: f32 = 0.2;
/// Most that is lost before a sample.
const MOST_LOST_DB: f32 = 80.0;
/// Part of a shadow's width over which either edge fades.
const EDGE: f32 = 0.15;

/// A band of lines in the shadow of something in front of the body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shadow {
    /// Where it begins, across the lines: radians on a fan, millimetres on a linear probe.
    pub from: f32,
    /// Where it ends.
    pub to: f32,
    /// Depth at which it begins.
    pub depth_mm: f32,
    /// What an echo from beyond loses, at least 0.
    pub loss_db: f32,
}

/// What is lost on the way to each sample of a frame and back.
#[derive(Debug, Clone)]
pub struct Shade {
    field: Field,
    /// Per sample: what is lost just before it. Nothing at all is lost while it is empty.
    losses_db: Vec<f32>,
}

impl Shade {
    /// No shadow yet.
    pub fn clear(field: impl Into<Field>) -> Self {
        Self { field: field.into(), losses_db: Vec::new() }
    }

    /// Whether there is no shadow at all.
    pub fn is_clear(&self) -> bool {
        self.losses_db.is_empty()
    }

    /// Adds what stands in front of the body.
    pub fn add_shadow(&mut self, shadow: &Shadow) {
        let (middle, half) = (0.5 * (shadow.from + shadow.to), 0.5 * (shadow.to - shadow.from));
        for line in 0..self.field.lines {
            let across = self.field.first + self.field.step * line as f32;
            // Half of the loss at the very edge.
            let inside = smooth_step(0.5 + ((half - (across - middle).abs()) / (2.0 * half)) / EDGE);
            if inside > 0.0 {
                self.lose(line, shadow.depth_mm, shadow.loss_db * inside);
            }
        }
    }

    /// Adds a layer of the anatomy at `motion`.
    pub fn add_screen(&mut self, screen: &Screen, motion: Motion) {
        let places = screen.points.iter().map(|(reference, displacement)| {
            let point = displacement.apply(*reference, motion);
            (self.field.across(point), self.field.range_mm(point))
        });
        let places: Vec<(f32, f32)> = places.collect();
        for pair in places.windows(2) {
            let ((across_a, range_a_mm), (across_b, range_b_mm)) = (pair[0], pair[1]);
            let place = |across: f32| (across - self.field.first) / self.field.step;
            let (from, to) = (place(across_a.min(across_b)), place(across_a.max(across_b)));
            let along_mm = range_b_mm - range_a_mm;
            // Half open, so that a line through a corner crosses once.
            let first = libm::ceilf(from).max(0.0);
            let end = libm::ceilf(to).min(self.field.lines as f32);
            for line in first as u32..end.max(0.0) as u32 {
                let across = self.field.first + self.field.step * line as f32;
                let part = ((across - across_a) / (across_b - across_a)).clamp(0.0, 1.0);
                let range_mm = range_a_mm + along_mm * part;
                let upright_mm = ((across_b - across_a) * self.field.mm_across(range_mm)).abs();
                let cosine = (upright_mm / libm::hypotf(upright_mm, along_mm)).max(LEAST_COSINE);
                self.lose(line, range_mm - self.field.face_mm(), screen.loss_db / cosine);
            }
        }
    }

    /// All samples of `line` from `depth_mm` on lose `loss_db`.
    fn lose(&mut self, line: u32, depth_mm: f32, loss_db: f32) {
        let samples = self.field.samples as usize;
        if self.losses_db.is_empty() {
            self.losses_db = vec![0.0; self.field.lines as usize * samples];
        }
        let sample = libm::ceilf((depth_mm - self.field.first_depth_mm) / self.field.depth_step_mm);
        if sample < samples as f32 {
            self.losses_db[line as usize * samples + sample.max(0.0) as usize] += loss_db;
        }
    }

    /// The amplitude that is left, sample by sample; nothing if no shadow falls. The beam's width takes each shadow over
    /// to the neighbouring lines.
    pub fn amplitudes(&self) -> Option<Vec<f32>> {
        if self.is_clear() {
            return None;
        }
        let samples = self.field.samples as usize;
        let mut lost_db = self.losses_db.clone();
        for line in lost_db.chunks_exact_mut(samples) {
            let mut sum_db = 0.0;
            for value in line {
                sum_db += *value;
                *value = sum_db.min(MOST_LOST_DB);
            }
        }
        super::scanner::smooth(&mut lost_db, samples);
        // Most of a frame lies before every shadow.
        Some(lost_db.iter().map(|lost| if *lost > 0.0 { decibel(-lost) } else { 1.0 }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Linear, Point};
    use crate::sim::cycle::Displacement;

    const LINEAR: Linear = Linear {
        lines: 64,
        samples: 100,
        left_mm: -31.5,
        line_step_mm: 1.0,
        first_depth_mm: 0.0,
        depth_step_mm: 1.0,
    };

    fn left(shade: &Shade, line: usize, sample: usize) -> f32 {
        shade.amplitudes().map_or(1.0, |amplitudes| amplitudes[line * 100 + sample])
    }

    #[test]
    fn shadow_weakens_its_lines_beyond_its_depth() {
        let mut shade = Shade::clear(LINEAR);
        assert!(shade.is_clear() && shade.amplitudes().is_none());
        shade.add_shadow(&Shadow { from: -5.0, to: 5.0, depth_mm: 20.0, loss_db: 20.0 });
        assert_eq!(left(&shade, 32, 19), 1.0);
        assert!((left(&shade, 32, 21) - 0.1).abs() < 1e-4);
        assert!((left(&shade, 32, 99) - 0.1).abs() < 1e-4);
        assert_eq!(left(&shade, 10, 99), 1.0);
    }

    /// A layer aslant loses more, and two add up; a line through a corner is counted once.
    #[test]
    fn screens_add_up() {
        let rest = |x: f32, y: f32| (Point { x, y }, Displacement::default());
        let flat =
            Screen { points: vec![rest(-31.5, 30.0), rest(-0.5, 30.0), rest(31.5, 30.0)], loss_db: 6.0 };
        let slope = Screen { points: vec![rest(-31.5, 40.0), rest(-1.5, 80.0)], loss_db: 6.0 };
        let mut shade = Shade::clear(LINEAR);
        shade.add_screen(&flat, Motion::REFERENCE);
        for line in 1..62 {
            assert!((left(&shade, line, 35) - decibel(-6.0)).abs() < 1e-4, "line {line}");
        }
        shade.add_screen(&slope, Motion::REFERENCE);
        assert!((left(&shade, 10, 90) - decibel(-6.0 - 6.0 / 0.6)).abs() < 1e-4);
        let slid = Motion { slide_mm: 200.0, ..Motion::REFERENCE };
        let mut away = Shade::clear(LINEAR);
        away.add_screen(&flat, slid);
        assert!(away.is_clear());
    }
}
