//! Writes DICOM files with dicom-rs.

use dicom_core::value::{DataSetSequence, PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const RLE: &str = "1.2.840.10008.1.2.5";
pub const JPEG: &str = "1.2.840.10008.1.2.4.50";

/// A name that no message may contain.
pub const PATIENT: &str = "SECRET^PATIENT";

/// Builder of an ultrasound file.
#[derive(Clone)]
pub struct File {
    pub syntax: &'static str,
    pub object: InMemDicomObject,
}

impl File {
    /// The attributes of one grey frame, without pixels.
    pub fn new(syntax: &'static str, columns: u16, rows: u16) -> Self {
        let object = InMemDicomObject::new_empty();
        let mut file = Self { syntax, object };
        file.text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.3.1")
            .text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4")
            .text(tags::MODALITY, VR::CS, "US")
            .text(tags::PATIENT_NAME, VR::PN, PATIENT)
            .text(tags::PATIENT_ID, VR::LO, PATIENT)
            .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2")
            .number(tags::SAMPLES_PER_PIXEL, 1)
            .number(tags::ROWS, rows)
            .number(tags::COLUMNS, columns)
            .bits(8, 8);
        file
    }

    pub fn text(&mut self, tag: Tag, vr: VR, text: &str) -> &mut Self {
        self.object.put(DataElement::new(tag, vr, PrimitiveValue::from(text)));
        self
    }

    pub fn number(&mut self, tag: Tag, number: u16) -> &mut Self {
        self.object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
        self
    }

    pub fn bits(&mut self, allocated: u16, stored: u16) -> &mut Self {
        self.number(tags::BITS_ALLOCATED, allocated)
            .number(tags::BITS_STORED, stored)
            .number(tags::HIGH_BIT, stored - 1)
            .number(tags::PIXEL_REPRESENTATION, 0)
    }

    pub fn colour(&mut self, photometric: &str, planar: u16) -> &mut Self {
        self.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric)
            .number(tags::SAMPLES_PER_PIXEL, 3)
            .number(tags::PLANAR_CONFIGURATION, planar)
    }

    pub fn frames(&mut self, frames: usize) -> &mut Self {
        self.text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.to_string())
    }

    pub fn regions(&mut self, regions: &[Region]) -> &mut Self {
        let items: Vec<_> = regions.iter().map(Region::item).collect();
        self.object.put(DataElement::new(
            tags::SEQUENCE_OF_ULTRASOUND_REGIONS,
            VR::SQ,
            DataSetSequence::from(items),
        ));
        self
    }

    /// The file's bytes with these pixels, uncompressed.
    pub fn native(&mut self, pixels: &[u8]) -> Vec<u8> {
        let value = PrimitiveValue::from(pixels.to_vec());
        self.object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
        self.bytes()
    }

    /// The file's bytes with these fragments.
    pub fn fragments(&mut self, fragments: Vec<Vec<u8>>) -> Vec<u8> {
        let even = fragments.into_iter().map(|mut fragment| {
            fragment.resize(fragment.len().next_multiple_of(2), 0);
            fragment
        });
        let sequence = PixelFragmentSequence::new_fragments(even.collect::<Vec<_>>());
        self.object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, sequence));
        self.bytes()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.3.1")
            .media_storage_sop_instance_uid("1.2.3.4")
            .transfer_syntax(self.syntax);
        let mut bytes = Vec::new();
        self.object.clone().with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
        bytes
    }
}

/// An item of the Sequence Of Ultrasound Regions.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    pub spatial_format: u16,
    pub data_type: u16,
    pub flags: u32,
    /// First and last column, first and last row.
    pub columns: [u32; 2],
    pub rows: [u32; 2],
    pub units: [u16; 2],
    pub delta: [f64; 2],
    /// Reference pixel and its physical value.
    pub reference: Option<([i32; 2], [f64; 2])>,
}

impl Default for Region {
    fn default() -> Self {
        Self {
            spatial_format: 1,
            data_type: 1,
            flags: 0,
            columns: [4, 11],
            rows: [2, 9],
            units: [3, 3],
            delta: [0.02, 0.03],
            reference: None,
        }
    }
}

impl Region {
    fn item(&self) -> InMemDicomObject {
        let mut item = InMemDicomObject::new_empty();
        let mut put = |tag, vr, value: PrimitiveValue| item.put(DataElement::new(tag, vr, value));
        put(tags::REGION_SPATIAL_FORMAT, VR::US, self.spatial_format.into());
        put(tags::REGION_DATA_TYPE, VR::US, self.data_type.into());
        put(tags::REGION_FLAGS, VR::UL, self.flags.into());
        put(tags::REGION_LOCATION_MIN_X0, VR::UL, self.columns[0].into());
        put(tags::REGION_LOCATION_MAX_X1, VR::UL, self.columns[1].into());
        put(tags::REGION_LOCATION_MIN_Y0, VR::UL, self.rows[0].into());
        put(tags::REGION_LOCATION_MAX_Y1, VR::UL, self.rows[1].into());
        put(tags::PHYSICAL_UNITS_X_DIRECTION, VR::US, self.units[0].into());
        put(tags::PHYSICAL_UNITS_Y_DIRECTION, VR::US, self.units[1].into());
        put(tags::PHYSICAL_DELTA_X, VR::FD, self.delta[0].into());
        put(tags::PHYSICAL_DELTA_Y, VR::FD, self.delta[1].into());
        if let Some((pixel, value)) = self.reference {
            put(tags::REFERENCE_PIXEL_X0, VR::SL, pixel[0].into());
            put(tags::REFERENCE_PIXEL_Y0, VR::SL, pixel[1].into());
            put(tags::REFERENCE_PIXEL_PHYSICAL_VALUE_X, VR::FD, value[0].into());
            put(tags::REFERENCE_PIXEL_PHYSICAL_VALUE_Y, VR::FD, value[1].into());
        }
        item
    }
}
