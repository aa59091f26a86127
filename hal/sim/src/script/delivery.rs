//! Delivered frames, good and faulty ones.

use super::events::Fault;
use crate::config::Anatomy;
use crate::field::Field;
use crate::phantom::TruthObject;
use crate::shadow::Shadow;
use crate::visibility::{SeenObject, seen};
use sonotrace_hal::frame::FrameDescriptor;

/// How a receiver must classify a delivered frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A good frame, newer than all frames before it.
    Good,
    /// Malformed. [`FrameProducer::push`](sonotrace_hal::ring::FrameProducer::push) refuses it if its payload is shorter
    /// than announced or larger than a slot; otherwise the check of the descriptor or of the payload refuses it.
    Malformed,
    /// Well formed, but not newer than a good frame before it.
    OutOfOrder,
    /// Well formed, with the frozen flag.
    Frozen,
    /// A good frame whose clock or sequence numbers have restarted, so that it seems old. The frames after it are
    /// [`Self::Good`] for a receiver that detects the restart.
    Restarted,
}

/// What a frame shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// The patient.
    Own,
    /// Nothing: the probe is in air.
    Air,
    /// Another patient.
    OtherPatient,
}

/// One delivered frame: what to push into a ring.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its descriptor. The caller that pushes it sets `t_enqueue_ns`.
    pub descriptor: FrameDescriptor,
    /// Its payload, which may be shorter or longer than the descriptor announces.
    pub payload: Vec<u8>,
    /// How a receiver must classify it.
    pub expected: Expected,
    /// Its fault.
    pub fault: Option<Fault>,
    /// What it shows.
    pub scene: Scene,
    /// The shadow that lies over it, apart from shadows of the anatomy itself.
    pub shadow: Option<Shadow>,
    /// The patient's own anatomy, whether or not this frame shows it.
    pub anatomy: Anatomy,
    /// The true contours for [`Expected::Good`] and [`Expected::Restarted`], hidden parts and parts outside the field of
    /// view included. Empty for all others, in air, and with another patient.
    pub truth: Vec<TruthObject>,
}

impl Delivery {
    /// The mask and the visibility of each of the patient's objects, in order of their numbers. In air and with another
    /// patient nothing of them can be seen. Empty for frames that are neither [`Expected::Good`] nor
    /// [`Expected::Restarted`].
    ///
    /// Computed on each call, which takes a small part of the time that the frame took.
    pub fn objects(&self) -> Vec<SeenObject> {
        let has_truth = matches!(self.expected, Expected::Good | Expected::Restarted);
        let geometry = self.descriptor.check().ok().filter(|_| has_truth).map(|checked| checked.geometry);
        let Some(field) = geometry.and_then(Field::of) else { return Vec::new() };
        if self.scene == Scene::Own {
            return seen(&field, &self.truth, self.shadow.as_ref());
        }
        let names = (1..).zip(self.anatomy.object_names());
        names.map(|(id, name)| SeenObject::absent(id, name, &field)).collect()
    }

    /// This frame with a fault, without its true contours.
    pub(super) fn faulty(self, fault: Fault, expected: Expected) -> Self {
        Self { expected, fault: Some(fault), truth: Vec::new(), ..self }
    }

    /// This frame with the damage of `fault` to its descriptor or payload. Faults of order, time or number do not
    /// change it.
    pub(super) fn malformed(self, fault: Fault) -> Self {
        let mut bad = self.faulty(fault, Expected::Malformed);
        let stride_bytes = bad.descriptor.stride_bytes;
        let stride = stride_bytes as usize;
        match fault {
            Fault::ShortPayload => bad.payload.truncate(bad.payload.len() - stride),
            Fault::ShortAnnounced => bad.descriptor.payload_bytes -= stride_bytes,
            Fault::LongPayload => {
                bad.descriptor.payload_bytes += stride_bytes;
                bad.payload.extend_from_within(..stride);
                bad.update_checksum();
            }
            Fault::Corrupt => {
                let middle = bad.payload.len() / 2;
                bad.payload[middle] ^= 0x10;
            }
            Fault::BadGeometry => bad.descriptor.last_depth_mm = f32::NAN,
            Fault::ImpossibleGeometry => {
                let descriptor = &mut bad.descriptor;
                core::mem::swap(&mut descriptor.first_depth_mm, &mut descriptor.last_depth_mm);
            }
            Fault::Large { lines } => {
                let own = bad.descriptor.lines;
                let nearest = |line: u32| (u64::from(line) * u64::from(own) / u64::from(lines)) as usize;
                let line = |at: usize| bad.payload[at * stride..][..stride].iter().copied();
                bad.payload = (0..lines).flat_map(|at| line(nearest(at))).collect();
                bad.descriptor.lines = lines;
                bad.descriptor.payload_bytes = lines * stride_bytes;
                bad.update_checksum();
            }
            Fault::Late
            | Fault::Duplicate
            | Fault::Missing { .. }
            | Fault::ClockRestart
            | Fault::SeqRestart => {}
        }
        bad
    }

    fn update_checksum(&mut self) {
        self.descriptor.crc32 = crc32fast::hash(&self.payload);
    }
}
