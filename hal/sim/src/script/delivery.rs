//! Delivered frames, good and faulty ones.

use super::events::Fault;
use crate::phantom::TruthObject;
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
    /// The true contours for [`Expected::Good`] and [`Expected::Restarted`], else empty.
    pub truth: Vec<TruthObject>,
}

impl Delivery {
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
