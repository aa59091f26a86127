//! The check of a frame's samples, at once or in parts.

use super::descriptor::{FrameDescriptor, flags};
use super::error::FrameError;
use crc32fast::Hasher;

/// The check of a payload in parts, so that a real-time caller can bound the time of each call.
///
/// It is small and `Copy`, and borrows nothing: the caller passes the payload to every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadCheck {
    /// The checksum that the payload must have; `None` if the descriptor has none.
    announced: Option<u32>,
    /// Bytes to hash.
    needed: usize,
    /// Bytes hashed so far.
    hashed: usize,
    /// CRC-32 of the bytes hashed so far.
    crc32: u32,
}

impl PayloadCheck {
    /// Begins the check of a payload of `payload_len` bytes. Call [`FrameDescriptor::check`] before: it limits the
    /// number of bytes to hash.
    ///
    /// # Errors
    /// [`FrameError::Payload`] if the payload is shorter than the descriptor announces.
    pub fn begin(descriptor: &FrameDescriptor, payload_len: usize) -> Result<Self, FrameError> {
        let needed = descriptor.payload_bytes as usize;
        let has_crc32 = descriptor.flags & flags::CRC_PRESENT != 0;
        let check = Self { announced: has_crc32.then_some(descriptor.crc32), needed, hashed: 0, crc32: 0 };
        check.check_len(payload_len)?;
        Ok(check)
    }

    /// Continues the check of `payload`, which must be the same in every call. Hashes at most `bytes_max` bytes (at
    /// least one, so that the check ends); no other work in a call grows with the payload. Returns `None` while bytes
    /// are left, then the result, also in every later call.
    ///
    /// The result is [`FrameError::Crc`] if the checksum differs, [`FrameError::Payload`] if `payload` is too short.
    pub fn advance(&mut self, payload: &[u8], bytes_max: usize) -> Option<Result<(), FrameError>> {
        if let Err(error) = self.check_len(payload.len()) {
            return Some(Err(error));
        }
        let Some(announced) = self.announced else { return Some(Ok(())) };
        let end = self.needed.min(self.hashed.saturating_add(bytes_max.max(1)));
        let mut hasher = Hasher::new_with_initial(self.crc32);
        hasher.update(&payload[self.hashed..end]);
        (self.hashed, self.crc32) = (end, hasher.finalize());
        if end < self.needed {
            return None;
        }
        let seen = self.crc32;
        Some(if seen == announced { Ok(()) } else { Err(FrameError::Crc { seen, announced }) })
    }

    fn check_len(&self, len: usize) -> Result<(), FrameError> {
        if len < self.needed {
            return Err(FrameError::Payload { seen: len as u64, needed: self.needed as u64 });
        }
        Ok(())
    }
}

impl FrameDescriptor {
    /// Checks in one call that `payload` is long enough and, if the descriptor has a checksum, undamaged. Hashes all of
    /// it, which takes milliseconds for the largest frames: see [`PayloadCheck`].
    ///
    /// # Errors
    /// [`FrameError::Payload`] or [`FrameError::Crc`].
    pub fn check_payload(&self, payload: &[u8]) -> Result<(), FrameError> {
        let mut check = PayloadCheck::begin(self, payload.len())?;
        loop {
            if let Some(result) = check.advance(payload, usize::MAX) {
                return result;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reference without `PayloadCheck`.
    fn reference(descriptor: &FrameDescriptor, payload: &[u8]) -> Result<(), FrameError> {
        let needed = descriptor.payload_bytes as usize;
        let Some(bytes) = payload.get(..needed) else {
            return Err(FrameError::Payload { seen: payload.len() as u64, needed: needed as u64 });
        };
        let (seen, announced) = (crc32fast::hash(bytes), descriptor.crc32);
        if descriptor.flags & flags::CRC_PRESENT != 0 && seen != announced {
            return Err(FrameError::Crc { seen, announced });
        }
        Ok(())
    }

    /// The result of a check in parts, and the number of calls that it took.
    fn in_parts(
        descriptor: &FrameDescriptor,
        payload: &[u8],
        mut bytes_max: impl FnMut() -> usize,
    ) -> (Result<(), FrameError>, usize) {
        let mut check = match PayloadCheck::begin(descriptor, payload.len()) {
            Ok(check) => check,
            Err(error) => return (Err(error), 0),
        };
        let mut calls = 0;
        loop {
            calls += 1;
            if let Some(result) = check.advance(payload, bytes_max()) {
                assert_eq!(check.advance(payload, bytes_max()), Some(result), "the result changed");
                return (result, calls);
            }
        }
    }

    proptest! {
        /// For good, damaged and short payloads, a check in parts of any size gives the result of the check at once.
        #[test]
        fn parts_give_the_result_of_the_whole(
            payload in prop::collection::vec(any::<u8>(), 0..3000),
            missing in prop_oneof![3 => Just(0), 1 => 1u32..40],
            has_crc32 in any::<bool>(),
            damage in prop::option::of((any::<prop::sample::Index>(), 0u32..8)),
            parts in prop::collection::vec(0usize..700, 1..20),
        ) {
            let mut payload = payload;
            let descriptor = FrameDescriptor {
                payload_bytes: payload.len() as u32 + missing,
                flags: if has_crc32 { flags::CRC_PRESENT } else { 0 },
                crc32: crc32fast::hash(&payload),
                ..FrameDescriptor::blank()
            };
            if let (Some((at, bit)), false) = (damage, payload.is_empty()) {
                let at = at.index(payload.len());
                payload[at] ^= 1 << bit;
            }
            let expected = reference(&descriptor, &payload);
            prop_assert_eq!(descriptor.check_payload(&payload), expected);
            let mut parts = parts.iter().cycle();
            let (result, _) = in_parts(&descriptor, &payload, || *parts.next().expect("endless"));
            prop_assert_eq!(result, expected);
        }
    }

    /// A call hashes at most `bytes_max` bytes.
    #[test]
    fn every_call_is_bounded() {
        let payload = [7; 1000];
        let crc32 = crc32fast::hash(&payload);
        let descriptor = FrameDescriptor {
            payload_bytes: 1000,
            flags: flags::CRC_PRESENT,
            crc32,
            ..FrameDescriptor::blank()
        };
        for (bytes_max, calls) in [(0, 1000), (1, 1000), (300, 4), (500, 2), (1000, 1), (usize::MAX, 1)] {
            assert_eq!(in_parts(&descriptor, &payload, || bytes_max), (Ok(()), calls), "{bytes_max}");
        }
        let unchecked = FrameDescriptor { flags: 0, ..descriptor };
        assert_eq!(in_parts(&unchecked, &payload, || 1), (Ok(()), 1));
        // A payload that becomes shorter between two calls is refused.
        let mut check = PayloadCheck::begin(&descriptor, 1000).expect("long enough");
        assert_eq!(check.advance(&payload, 10), None);
        assert_eq!(
            check.advance(&payload[..999], 10),
            Some(Err(FrameError::Payload { seen: 999, needed: 1000 }))
        );
    }
}
