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
    /// JPEG, one image per frame.
    Jpeg,
    /// JPEG-LS, one image per frame.
    JpegLs,
    /// MPEG-2, H.264 or HEVC: one bitstream.
    Video,
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
            // The JPEG decoder refuses twelve bits, which the extended and progressive processes allow.
            uids::JPEG_BASELINE8_BIT
            | uids::JPEG_EXTENDED12_BIT
            | SPECTRAL_SELECTION
            | FULL_PROGRESSION
            | uids::JPEG_LOSSLESS
            | uids::JPEG_LOSSLESS_SV1 => (true, Coding::Jpeg),
            uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => (true, Coding::JpegLs),
            uid if is_video(uid) => (true, Coding::Video),
            _ => {
                let name =
                    TransferSyntaxRegistry.get(uid).map_or("of an unknown kind", |syntax| syntax.name());
                let what = format!("transfer syntax {name} is not supported");
                return Err(source.unsupported(place, what, remedy(uid)));
            }
        };
        Ok(Self { is_explicit, coding })
    }
}

/// Explicit VR Big Endian, retired.
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Retired progressive processes: 6 and 8, 10 and 12.
const SPECTRAL_SELECTION: &str = "1.2.840.10008.1.2.4.53";
const FULL_PROGRESSION: &str = "1.2.840.10008.1.2.4.55";

/// Whether the pixels are a video. Those whose names end with `.1` have their bitstream in several fragments.
fn is_video(uid: &str) -> bool {
    matches!(
        uid.strip_suffix(".1").filter(|uid| uid.len() > uids::EXPLICIT_VR_LITTLE_ENDIAN.len()).unwrap_or(uid),
        uids::MPEG2MPML
            | uids::MPEG2MPHL
            | uids::MPEG4HP41
            | uids::MPEG4HP41BD
            | uids::MPEG4HP422D
            | uids::MPEG4HP423D
            | uids::MPEG4HP42STEREO
            | uids::HEVCMP51
            | uids::HEVCM10P51
    )
}

/// How a user can convert a file of this transfer syntax.
fn remedy(uid: &str) -> &'static str {
    match uid {
        BIG_ENDIAN | uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => "convert it with `dcmconv +te IN OUT`",
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 => "decompress it with `gdcmconv --raw IN OUT`",
        _ => "export it again as uncompressed (Explicit VR Little Endian)",
    }
}
