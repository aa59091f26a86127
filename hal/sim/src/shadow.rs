//! Acoustic shadows: loss of the echoes from behind an obstacle.
//!
//! There are two kinds of obstacles: layers of the anatomy such as bone ([`AttenuatingLayer`]), which move with it, and
//! obstacles in front of the anatomy ([`Shadow`]), such as a rib, which do not move in the image. Each is a loss at
//! some depth of some lines; the losses in front of a sample add up.

use crate::field::Field;
use crate::motion::Motion;
use crate::phantom::AttenuatingLayer;
use crate::random::smooth_step;
use crate::signal::{decibel, smooth};

/// Smallest cosine of the angle of incidence: at larger angles the loss stays the same, because the beam has a width.
const COSINE_MIN: f32 = 0.2;
/// Largest loss in front of a sample.
const LOSS_MAX_DB: f32 = 80.0;
/// Width of each soft edge of a shadow, as a part of its width.
const EDGE: f32 = 0.15;
/// Standard deviation of the echo of a reflector in depth.
const REFLECTOR_MM: f32 = 0.9;

/// A band of lines in the shadow of an obstacle in front of the body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shadow {
    /// Where it starts, across the lines: radians for a sector, millimetres for a linear probe.
    pub from: f32,
    /// Where it ends.
    pub to: f32,
    /// Depth at which it starts.
    pub depth_mm: f32,
    /// Loss of an echo from behind it, at least 0.
    pub loss_db: f32,
}

/// The loss, both ways, in front of each sample of a frame.
#[derive(Debug, Clone)]
pub struct ShadowMap {
    field: Field,
    /// Per sample: loss directly in front of it. Empty if there is no shadow.
    losses_db: Vec<f32>,
    /// Per sample: power of the echo of a reflector. Empty if there is none.
    reflections: Vec<f32>,
}

impl ShadowMap {
    /// No shadows.
    pub fn clear(field: impl Into<Field>) -> Self {
        Self { field: field.into(), losses_db: Vec::new(), reflections: Vec::new() }
    }

    /// Whether there are no shadows. There may be reflectors.
    pub fn is_clear(&self) -> bool {
        self.losses_db.is_empty()
    }

    /// Adds the shadow of an obstacle in front of the body.
    pub fn add_shadow(&mut self, shadow: &Shadow) {
        for line in 0..self.field.lines {
            let inside = self.inside(shadow, line);
            if inside > 0.0 {
                self.add_loss(line, shadow.depth_mm, shadow.loss_db * inside);
            }
        }
    }

    /// Adds the echo of the obstacle of a shadow: a bright line, without speckle, where the shadow starts. `level_db` is
    /// relative to plain muscle.
    pub fn add_reflector(&mut self, shadow: &Shadow, level_db: f32) {
        let samples = self.field.samples as usize;
        if self.reflections.is_empty() {
            self.reflections = vec![0.0; self.field.lines as usize * samples];
        }
        for line in 0..self.field.lines {
            let amplitude = decibel(level_db) * self.inside(shadow, line);
            for sample in 0..self.field.samples {
                let away = (self.field.depth_mm(sample) - shadow.depth_mm) / REFLECTOR_MM;
                let power = amplitude * amplitude * libm::expf(-away * away);
                self.reflections[line as usize * samples + sample as usize] += power;
            }
        }
    }

    /// Adds a loss to the whole frame, as when the probe transmits less.
    pub fn add_loss_everywhere(&mut self, loss_db: f32) {
        for line in 0..self.field.lines {
            self.add_loss(line, self.field.first_depth_mm, loss_db);
        }
    }

    /// How far a line is inside a shadow, 0 to 1; half at the edge itself.
    fn inside(&self, shadow: &Shadow, line: u32) -> f32 {
        let (middle, half) = (0.5 * (shadow.from + shadow.to), 0.5 * (shadow.to - shadow.from));
        let across = self.field.first + self.field.step * line as f32;
        smooth_step(0.5 + ((half - (across - middle).abs()) / (2.0 * half)) / EDGE)
    }

    /// Adds the shadow of a layer of the anatomy at `motion`.
    pub fn add_layer(&mut self, layer: &AttenuatingLayer, motion: Motion) {
        let positions = layer.points.iter().map(|(reference, displacement)| {
            let point = displacement.apply(*reference, motion);
            (self.field.across(point), self.field.range_mm(point))
        });
        let positions: Vec<(f32, f32)> = positions.collect();
        for pair in positions.windows(2) {
            let ((across_a, range_a_mm), (across_b, range_b_mm)) = (pair[0], pair[1]);
            let line_of = |across: f32| (across - self.field.first) / self.field.step;
            let (from, to) = (line_of(across_a.min(across_b)), line_of(across_a.max(across_b)));
            let along_mm = range_b_mm - range_a_mm;
            // Half open, so that a line through a point of the layer crosses it once.
            let first = libm::ceilf(from).max(0.0);
            let end = libm::ceilf(to).min(self.field.lines as f32);
            for line in first as u32..end.max(0.0) as u32 {
                let across = self.field.first + self.field.step * line as f32;
                let part = ((across - across_a) / (across_b - across_a)).clamp(0.0, 1.0);
                let range_mm = range_a_mm + along_mm * part;
                let across_mm = ((across_b - across_a) * self.field.mm_across(range_mm)).abs();
                let cosine = (across_mm / libm::hypotf(across_mm, along_mm)).max(COSINE_MIN);
                self.add_loss(line, range_mm - self.field.face_mm(), layer.loss_db / cosine);
            }
        }
    }

    /// Adds a loss of `loss_db` to all samples of `line` from `depth_mm` on.
    fn add_loss(&mut self, line: u32, depth_mm: f32, loss_db: f32) {
        let samples = self.field.samples as usize;
        if self.losses_db.is_empty() {
            self.losses_db = vec![0.0; self.field.lines as usize * samples];
        }
        let sample = libm::ceilf((depth_mm - self.field.first_depth_mm) / self.field.depth_step_mm);
        if sample < samples as f32 {
            self.losses_db[line as usize * samples + sample.max(0.0) as usize] += loss_db;
        }
    }

    /// The power that reflectors add to each sample; `None` if there are no reflectors.
    pub fn reflections(&self) -> Option<&[f32]> {
        (!self.reflections.is_empty()).then_some(&self.reflections[..])
    }

    /// The factor for the amplitude of each sample; `None` if there are no shadows. The width of the beam spreads each
    /// shadow to the neighbouring lines.
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
                *value = sum_db.min(LOSS_MAX_DB);
            }
        }
        smooth(&mut lost_db, samples);
        // Most of a frame is in front of every shadow.
        Some(lost_db.iter().map(|lost| if *lost > 0.0 { decibel(-lost) } else { 1.0 }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::Displacement;
    use sonotrace_hal::geometry::{Linear, Point};

    const LINEAR: Linear = Linear {
        lines: 64,
        samples: 100,
        left_mm: -31.5,
        line_step_mm: 1.0,
        first_depth_mm: 0.0,
        depth_step_mm: 1.0,
    };

    fn left(shadows: &ShadowMap, line: usize, sample: usize) -> f32 {
        shadows.amplitudes().map_or(1.0, |amplitudes| amplitudes[line * 100 + sample])
    }

    #[test]
    fn shadow_attenuates_its_lines_below_its_depth() {
        let mut shadows = ShadowMap::clear(LINEAR);
        assert!(shadows.is_clear() && shadows.amplitudes().is_none());
        shadows.add_shadow(&Shadow { from: -5.0, to: 5.0, depth_mm: 20.0, loss_db: 20.0 });
        assert_eq!(left(&shadows, 32, 19), 1.0);
        assert!((left(&shadows, 32, 21) - 0.1).abs() < 1e-4);
        assert!((left(&shadows, 32, 99) - 0.1).abs() < 1e-4);
        assert_eq!(left(&shadows, 10, 99), 1.0);
    }

    /// A reflector is bright where its shadow starts, on its lines only; a loss everywhere has no edge.
    #[test]
    fn reflector_is_a_bright_line() {
        let rib = Shadow { from: -5.0, to: 5.0, depth_mm: 20.0, loss_db: 20.0 };
        let mut shadows = ShadowMap::clear(LINEAR);
        assert!(shadows.reflections().is_none());
        shadows.add_reflector(&rib, 20.0);
        assert!(shadows.is_clear());
        let power = shadows.reflections().expect("a reflector");
        assert!((power[32 * 100 + 20] - 100.0).abs() < 1e-3);
        assert!(power[32 * 100 + 23] < 0.01 && power[32 * 100 + 17] < 0.01 && power[10 * 100 + 20] == 0.0);
        shadows.add_loss_everywhere(6.0);
        for (line, sample) in [(0, 0), (32, 20), (63, 99)] {
            assert!((left(&shadows, line, sample) - decibel(-6.0)).abs() < 1e-4);
        }
    }

    /// An oblique layer has a larger loss, two layers add up, and a line through a point of a layer counts once.
    #[test]
    fn layers_add_up() {
        let rest = |x: f32, y: f32| (Point { x, y }, Displacement::default());
        let flat = AttenuatingLayer {
            points: vec![rest(-31.5, 30.0), rest(-0.5, 30.0), rest(31.5, 30.0)],
            loss_db: 6.0,
        };
        let slope = AttenuatingLayer { points: vec![rest(-31.5, 40.0), rest(-1.5, 80.0)], loss_db: 6.0 };
        let mut shadows = ShadowMap::clear(LINEAR);
        shadows.add_layer(&flat, Motion::REFERENCE);
        for line in 1..62 {
            assert!((left(&shadows, line, 35) - decibel(-6.0)).abs() < 1e-4, "line {line}");
        }
        shadows.add_layer(&slope, Motion::REFERENCE);
        assert!((left(&shadows, 10, 90) - decibel(-6.0 - 6.0 / 0.6)).abs() < 1e-4);
        let slid = Motion { slide_mm: 200.0, ..Motion::REFERENCE };
        let mut away = ShadowMap::clear(LINEAR);
        away.add_layer(&flat, slid);
        assert!(away.is_clear());
    }
}
