//! Frames of the benchmarks, by kind and size.

use sonotrace::hal::frame::{
    Domain, FrameDescriptor, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, LINES_MAX, SAMPLES_MAX, SampleType,
    TgcPoint, flags,
};

/// A kind of frame.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Its name in tables.
    pub name: &'static str,
    descriptor: FrameDescriptor,
}

impl Scene {
    /// Returns all kinds: three of ordinary size (a phased array's envelope, the same as IQ, a picture), then a large
    /// envelope, and the largest picture and IQ frame that a descriptor can describe, the IQ frame with a pending gain
    /// curve.
    pub fn all() -> [Self; 6] {
        [
            Self { name: "envelope", descriptor: envelope(128, 512) },
            Self { name: "IQ", descriptor: iq(128, 512) },
            Self { name: "picture", descriptor: picture(768, 1024) },
            Self { name: "envelope of 512 x 2048", descriptor: envelope(512, 2048) },
            Self { name: "largest picture", descriptor: picture(LINES_MAX, SAMPLES_MAX) },
            Self { name: "largest IQ, gain pending", descriptor: with_gain(iq(LINES_MAX, SAMPLES_MAX)) },
        ]
    }

    /// Returns an envelope of ordinary size, for a model whose masks are noise.
    pub fn noisy_mask() -> Self {
        Self { name: "noisy mask", descriptor: envelope(128, 512) }
    }

    /// Returns pseudo-random samples, the same on each call.
    pub fn payload(&self) -> Vec<u8> {
        (0..self.descriptor.payload_bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    /// Returns the descriptor of frame `seq` with these samples.
    pub fn descriptor(&self, seq: u64, payload: &[u8]) -> FrameDescriptor {
        FrameDescriptor { seq, crc32: crc32fast::hash(payload), ..self.descriptor }
    }

    /// Returns two corners of a box in the middle of the frame: millimetres, or pixels of a picture.
    pub fn box_corners(&self) -> [[f32; 2]; 2] {
        let is_picture = self.descriptor.domain == Domain::ScanConverted as u32;
        if is_picture { [[400.0, 300.0], [600.0, 500.0]] } else { [[-20.0, 50.0], [20.0, 100.0]] }
    }
}

/// Returns a phased array's envelope.
fn envelope(lines: u32, samples: u32) -> FrameDescriptor {
    FrameDescriptor {
        payload_bytes: lines * samples,
        domain: Domain::PolarEnvelope as u32,
        sample_type: SampleType::U8 as u32,
        lines,
        samples,
        stride_bytes: samples,
        geometry: GeometryKind::Phased as u32,
        first_angle_rad: -0.65,
        last_angle_rad: 0.65,
        first_depth_mm: 1.0,
        last_depth_mm: 150.0,
        speed_of_sound_m_s: 1540.0,
        amplitude_law: LAW_LOGARITHMIC,
        law_range_db: 60.0,
        flags: flags::CRC_PRESENT,
        ..FrameDescriptor::blank()
    }
}

fn iq(lines: u32, samples: u32) -> FrameDescriptor {
    FrameDescriptor {
        payload_bytes: 4 * lines * samples,
        domain: Domain::PolarIq as u32,
        sample_type: SampleType::I16Pair as u32,
        stride_bytes: 4 * samples,
        amplitude_law: LAW_LINEAR,
        ..envelope(lines, samples)
    }
}

fn with_gain(mut descriptor: FrameDescriptor) -> FrameDescriptor {
    descriptor.flags |= flags::TGC_PENDING;
    descriptor.tgc_points = 8;
    for (at, point) in (0u8..).zip(&mut descriptor.tgc[..8]) {
        *point = TgcPoint { depth_mm: 15.0 * f32::from(at), gain_db: 3.0 * f32::from(at) };
    }
    descriptor
}

fn picture(lines: u32, samples: u32) -> FrameDescriptor {
    FrameDescriptor {
        domain: Domain::ScanConverted as u32,
        geometry: GeometryKind::RasterUnknown as u32,
        ..envelope(lines, samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_frame() {
        for scene in Scene::all() {
            assert!(scene.descriptor(1, &[]).check().is_ok(), "{}", scene.name);
        }
    }
}
