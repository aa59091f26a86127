//! The simulated scanner's frames: small ones of a few geometries, and what can be wrong with them.

use sonotrace::hal::frame::{FrameDescriptor, LAW_LOGARITHMIC, flags};
use sonotrace_sim::random::Random;

/// Time between frames.
pub const PERIOD_NS: u64 = 33_333_333;
/// Largest payload.
pub const PAYLOAD_MAX: usize = 48 * 48;

/// A geometry that the sonographer selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// 40 mm x 40 mm, of a linear probe.
    Linear,
    /// The same, 55 mm deep.
    Deep,
    /// A sector of the same plane.
    Sector,
    /// A picture with a scale.
    Picture,
    /// A picture whose scale is unknown.
    Unscaled,
}

impl View {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Linear, Self::Deep, Self::Sector, Self::Picture, Self::Unscaled];
}

/// Returns the descriptor of a good frame.
pub fn descriptor(seq: u64, t_acq_ns: u64, clock_id: u32, view: View, epoch: u32) -> FrameDescriptor {
    let linear = FrameDescriptor {
        seq,
        t_acq_ns,
        clock_id,
        geometry_epoch: epoch,
        domain: 1,
        sample_type: 1,
        geometry: 1,
        lines: 16,
        samples: 64,
        stride_bytes: 64,
        payload_bytes: 16 * 64,
        left_mm: -20.0,
        right_mm: 20.0,
        first_depth_mm: 0.0,
        last_depth_mm: 40.0,
        amplitude_law: LAW_LOGARITHMIC,
        law_range_db: 60.0,
        speed_of_sound_m_s: 1540.0,
        flags: flags::CRC_PRESENT,
        ..FrameDescriptor::blank()
    };
    let picture = FrameDescriptor {
        domain: 4,
        geometry: 4,
        lines: 48,
        samples: 48,
        stride_bytes: 48,
        payload_bytes: 48 * 48,
        spacing_x_mm: 0.8,
        spacing_y_mm: 0.8,
        ..linear
    };
    match view {
        View::Linear => linear,
        View::Deep => FrameDescriptor { last_depth_mm: 55.0, ..linear },
        View::Sector => FrameDescriptor {
            geometry: 2,
            apex_radius_mm: 20.0,
            first_angle_rad: -0.5,
            last_angle_rad: 0.5,
            last_depth_mm: 50.0,
            ..linear
        },
        View::Picture => picture,
        View::Unscaled => FrameDescriptor { geometry: 5, ..picture },
    }
}

/// Returns samples: grey noise, never all dark.
pub fn payload(descriptor: &FrameDescriptor, random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0; descriptor.payload_bytes as usize];
    for chunk in bytes.chunks_mut(8) {
        let word = random.next_u64().to_le_bytes();
        chunk.iter_mut().zip(word).for_each(|(to, byte)| *to = 40 + byte / 2);
    }
    bytes
}
