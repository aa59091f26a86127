//! The fields of a frame, as codes: they fit into an event and index a counter, where an error's text does not.

use super::error::FrameError;

/// Number of codes, including [`FrameField::None`].
pub const FRAME_FIELDS: usize = 32;

/// Defines the fields: name, wire value, and the names in [`FrameError`] that belong to it.
macro_rules! frame_fields {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $text:literal $(, $other:literal)*;)*) => {
        /// Field of a frame that made it unusable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum FrameField {
            $($(#[$doc])* $name = $wire,)*
        }

        impl FrameField {
            /// All fields, in the order of their wire values.
            pub const ALL: [Self; FRAME_FIELDS] = [$(Self::$name,)*];

            /// The field with a wire value.
            pub const fn from_wire(value: u32) -> Option<Self> {
                match value {
                    $($wire => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name in the descriptor.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The field with a name in [`FrameError`].
            fn named(name: &str) -> Self {
                match name {
                    $($text $(| $other)* => Self::$name,)*
                    _ => Self::None,
                }
            }
        }
    };
}

frame_fields! {
    /// None: the frame itself was usable.
    None = 0, "none";
    /// `magic`.
    Magic = 1, "magic";
    /// `abi_version`.
    AbiVersion = 2, "abi_version";
    /// `descriptor_bytes`.
    DescriptorBytes = 3, "descriptor_bytes";
    /// `payload_bytes`: less or more than the lines need, or more than a slot holds.
    PayloadBytes = 4, "payload_bytes";
    /// `flags`.
    Flags = 5, "flags";
    /// `domain`.
    Domain = 6, "domain";
    /// `sample_type`.
    SampleType = 7, "sample_type";
    /// `lines`.
    Lines = 8, "lines";
    /// `samples`.
    Samples = 9, "samples";
    /// `stride_bytes`.
    StrideBytes = 10, "stride_bytes";
    /// `geometry`: unknown, impossible for the domain, or one that cannot be sampled.
    Geometry = 11, "geometry";
    /// `apex_radius_mm`.
    ApexRadius = 12, "apex_radius_mm";
    /// `first_angle_rad`.
    FirstAngle = 13, "first_angle_rad";
    /// `last_angle_rad`.
    LastAngle = 14, "last_angle_rad";
    /// `first_depth_mm`.
    FirstDepth = 15, "first_depth_mm";
    /// `last_depth_mm`.
    LastDepth = 16, "last_depth_mm";
    /// `left_mm`.
    Left = 17, "left_mm";
    /// `right_mm`.
    Right = 18, "right_mm";
    /// `top_mm`.
    Top = 19, "top_mm";
    /// `spacing_x_mm`.
    SpacingX = 20, "spacing_x_mm";
    /// `spacing_y_mm`.
    SpacingY = 21, "spacing_y_mm";
    /// One of the four `content_` fields.
    Content = 22, "content", "content_column", "content_row", "content_columns", "content_rows";
    /// `speed_of_sound_m_s`.
    SpeedOfSound = 23, "speed_of_sound_m_s";
    /// `amplitude_law`.
    AmplitudeLaw = 24, "amplitude_law";
    /// `law_range_db`.
    LawRange = 25, "law_range_db";
    /// `law_table`: the session has no such table.
    LawTable = 26, "law_table";
    /// `gain_db`.
    Gain = 27, "gain_db";
    /// `frame_rate_hz`.
    FrameRate = 28, "frame_rate_hz";
    /// `tgc_points` or a point of `tgc`.
    Tgc = 29, "tgc", "tgc_points", "tgc.depth_mm", "tgc.gain_db";
    /// `crc32`: the payload is damaged.
    Crc32 = 30, "crc32";
    /// No field of the frame: the session's display cannot show it, such as a polar frame on a display of 0 x 0.
    Display = 31, "display";
}

impl FrameError {
    /// The field that is wrong. Of two fields that contradict each other, the second.
    pub fn field(&self) -> FrameField {
        match *self {
            Self::Magic(_) => FrameField::Magic,
            Self::AbiVersion { .. } => FrameField::AbiVersion,
            Self::Unknown { field, .. } | Self::Range { field, .. } | Self::Mismatch { b: field, .. } => {
                FrameField::named(field)
            }
            Self::RadioFrequency => FrameField::Domain,
            Self::NoAmplitudeLaw => FrameField::AmplitudeLaw,
            Self::Payload { .. } | Self::SlotBytes { .. } => FrameField::PayloadBytes,
            Self::Crc { .. } => FrameField::Crc32,
            Self::Table { .. } => FrameField::LawTable,
            Self::Display => FrameField::Display,
            Self::Sampling => FrameField::Geometry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameDescriptor, TgcPoint};

    #[test]
    fn wire_values_count_up_and_names_round_trip() {
        for (wire, field) in (0..).zip(FrameField::ALL) {
            assert_eq!((field as u32, FrameField::from_wire(wire)), (wire, Some(field)));
            assert_eq!(FrameField::named(field.name()), field);
        }
        assert_eq!(FrameField::from_wire(FRAME_FIELDS as u32), None);
    }

    /// Each field of the descriptor, made wrong, gives its own code.
    #[test]
    fn errors_have_their_fields() {
        use crate::frame::flags;
        use FrameField as F;
        let nan = f32::NAN;
        let picture = FrameDescriptor {
            domain: 4,
            sample_type: 1,
            lines: 4,
            samples: 4,
            stride_bytes: 4,
            payload_bytes: 16,
            geometry: 4,
            spacing_x_mm: 0.1,
            spacing_y_mm: 0.1,
            amplitude_law: 2,
            law_range_db: 60.0,
            ..FrameDescriptor::blank()
        };
        let sector = FrameDescriptor {
            domain: 1,
            geometry: 2,
            apex_radius_mm: 40.0,
            first_angle_rad: -0.5,
            last_angle_rad: 0.5,
            last_depth_mm: 50.0,
            speed_of_sound_m_s: 1540.0,
            ..picture
        };
        let linear = FrameDescriptor { geometry: 1, left_mm: 0.0, right_mm: 20.0, ..sector };
        let mut tgc = picture.tgc;
        tgc[0] = TgcPoint { depth_mm: 1.0, gain_db: nan };
        for good in [picture, sector, linear] {
            assert!(good.check().is_ok(), "{:?}", good.check());
        }
        for (bad, expected) in [
            (FrameDescriptor { magic: 1, ..picture }, F::Magic),
            (FrameDescriptor { abi_version: 9, ..picture }, F::AbiVersion),
            (FrameDescriptor { descriptor_bytes: 8, ..picture }, F::DescriptorBytes),
            (FrameDescriptor { payload_bytes: 15, ..picture }, F::PayloadBytes),
            (FrameDescriptor { flags: 1 << 20, ..picture }, F::Flags),
            (FrameDescriptor { domain: 0, ..picture }, F::Domain),
            (FrameDescriptor { domain: 3, ..picture }, F::Domain),
            (FrameDescriptor { sample_type: 9, ..picture }, F::SampleType),
            (FrameDescriptor { sample_type: 2, ..picture }, F::SampleType),
            (FrameDescriptor { lines: 1, ..picture }, F::Lines),
            (FrameDescriptor { samples: 9999, ..picture }, F::Samples),
            (FrameDescriptor { stride_bytes: 3, ..picture }, F::StrideBytes),
            (FrameDescriptor { geometry: 1, ..picture }, F::Geometry),
            (FrameDescriptor { apex_radius_mm: nan, ..sector }, F::ApexRadius),
            (FrameDescriptor { first_angle_rad: 9.0, ..sector }, F::FirstAngle),
            (FrameDescriptor { last_angle_rad: -0.5, ..sector }, F::LastAngle),
            (FrameDescriptor { first_depth_mm: -1.0, ..sector }, F::FirstDepth),
            (FrameDescriptor { last_depth_mm: nan, ..sector }, F::LastDepth),
            (FrameDescriptor { left_mm: nan, ..linear }, F::Left),
            (FrameDescriptor { right_mm: 0.0, ..linear }, F::Right),
            (FrameDescriptor { top_mm: nan, ..picture }, F::Top),
            (FrameDescriptor { spacing_x_mm: 0.0, ..picture }, F::SpacingX),
            (FrameDescriptor { spacing_y_mm: 11.0, ..picture }, F::SpacingY),
            (FrameDescriptor { content_columns: 5, content_rows: 2, ..picture }, F::Content),
            (FrameDescriptor { content_rows: 2, ..sector }, F::Content),
            (FrameDescriptor { speed_of_sound_m_s: 0.0, ..sector }, F::SpeedOfSound),
            (FrameDescriptor { amplitude_law: 0, ..picture }, F::AmplitudeLaw),
            (FrameDescriptor { law_range_db: 0.0, ..picture }, F::LawRange),
            (FrameDescriptor { gain_db: nan, ..picture }, F::Gain),
            (FrameDescriptor { frame_rate_hz: -1.0, ..picture }, F::FrameRate),
            (FrameDescriptor { tgc_points: 9, ..picture }, F::Tgc),
            (FrameDescriptor { tgc_points: 1, flags: flags::TGC_PENDING, ..picture }, F::Tgc),
            (FrameDescriptor { amplitude_law: 3, flags: flags::TGC_PENDING, ..sector }, F::AmplitudeLaw),
            (FrameDescriptor { tgc_points: 1, tgc, ..picture }, F::Tgc),
        ] {
            let error = bad.check().expect_err("it is wrong");
            assert_eq!(error.field(), expected, "{error}");
        }
        let damaged = FrameDescriptor { flags: crate::frame::flags::CRC_PRESENT, crc32: 1, ..picture };
        assert_eq!(damaged.check_payload(&[0; 16]).expect_err("damaged").field(), F::Crc32);
    }
}
