//! The encoding of a file, from its transfer syntax (PS3.5 annex A).

use super::elements::Elements;
use crate::error::{Place, ReplayError, Source};
use dicom_dictionary_std::tags::TRANSFER_SYNTAX_UID;
use dicom_dictionary_std::uids;
use dicom_encoding::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// Compression of the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Uncompressed.
    Native,
    /// Run lengths (PS3.5 annex G).
    RunLength,
    /// JPEG of eight bits, one image per frame.
    Jpeg,
}

/// The encoding of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    /// Whether elements have a type.
    pub is_explicit: bool,
    /// Compression of the pixels.
    pub coding: Coding,
}

impl Syntax {
    /// Reads the file's meta information, and stops before the data set.
    pub fn read(source: Source<'_>, meta: &mut Elements<'_>) -> Result<Self, ReplayError> {
        let place = Place::Attribute(TRANSFER_SYNTAX_UID);
        let mut syntax = None;
        while meta.peek().is_some_and(|tag| tag.group() == 2) {
            let Some(element) = meta.next()? else { break };
            if element.tag == TRANSFER_SYNTAX_UID {
                syntax = Some(element.value);
            }
        }
        let Some(uid) = syntax else {
            return Err(source.malformed(place, "missing: the encoding of the file is unknown"));
        };
        let uid = std::str::from_utf8(uid).unwrap_or_default().trim_end_matches(['\0', ' ']);
        let (is_explicit, coding) = match uid {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => (false, Coding::Native),
            uids::EXPLICIT_VR_LITTLE_ENDIAN => (true, Coding::Native),
            uids::RLE_LOSSLESS => (true, Coding::RunLength),
            // The JPEG decoder refuses twelve bits, which the extended process allows.
            uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT => (true, Coding::Jpeg),
            _ => {
                let name =
                    TransferSyntaxRegistry.get(uid).map_or("of an unknown kind", |syntax| syntax.name());
                let what = format!("transfer syntax {name} is not supported");
                return Err(source.unsupported(
                    place,
                    what,
                    "decompress it, for example with `dcmdjpeg IN OUT` or `gdcmconv --raw IN OUT`",
                ));
            }
        };
        Ok(Self { is_explicit, coding })
    }
}
