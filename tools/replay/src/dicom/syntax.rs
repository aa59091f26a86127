//! How a file is encoded, by its transfer syntax (PS3.5 annex A).

use super::elements::Elements;
use crate::error::{Place, ReplayError, Source};

/// Transfer Syntax UID.
const TRANSFER_SYNTAX: u32 = 0x0002_0010;

/// How pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are.
    Native,
    /// Run lengths (PS3.5 annex G).
    RunLength,
    /// JPEG of eight bits, one picture per frame.
    Jpeg,
}

/// How a file is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    /// Whether elements bear their type.
    pub is_explicit: bool,
    /// How pixels are stored.
    pub coding: Coding,
}

impl Syntax {
    /// Reads the file's meta information and stops in front of the data set.
    pub fn read(source: Source<'_>, meta: &mut Elements<'_>) -> Result<Self, ReplayError> {
        let place = Place::Attribute(TRANSFER_SYNTAX, "TransferSyntaxUID");
        let mut syntax = None;
        while meta.peek().is_some_and(|tag| tag >> 16 == 2) {
            let Some(element) = meta.next()? else { break };
            if element.tag == TRANSFER_SYNTAX {
                syntax = Some(element.value);
            }
        }
        let Some(uid) = syntax else {
            return Err(source.malformed(place, "missing: it is not known how to read the file"));
        };
        let uid = uid.strip_suffix(b"\0").unwrap_or(uid);
        let (is_explicit, coding) = match uid {
            b"1.2.840.10008.1.2" => (false, Coding::Native),
            b"1.2.840.10008.1.2.1" => (true, Coding::Native),
            b"1.2.840.10008.1.2.5" => (true, Coding::RunLength),
            // Baseline, and extended: of the latter those with twelve bits are refused by the decoder.
            b"1.2.840.10008.1.2.4.50" | b"1.2.840.10008.1.2.4.51" => (true, Coding::Jpeg),
            _ => {
                let what = format!("transfer syntax {} is not read here", name(uid));
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

/// What is commonly met and not read here, in words.
fn name(uid: &[u8]) -> String {
    let Some(tail) = uid.strip_prefix(b"1.2.840.10008.1.2.") else { return "of an unknown kind".to_owned() };
    let name = match tail {
        b"1.99" => "deflated",
        b"2" => "big endian",
        b"4.57" | b"4.70" => "lossless JPEG",
        b"4.80" | b"4.81" => "JPEG-LS",
        b"4.90" | b"4.91" => "JPEG 2000",
        b"4.100" | b"4.101" => "MPEG-2",
        b"4.102" | b"4.103" | b"4.104" | b"4.105" | b"4.106" => "MPEG-4",
        b"4.107" | b"4.108" => "HEVC",
        _ => "of an unknown kind",
    };
    name.to_owned()
}
