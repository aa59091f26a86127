//! The four rings of a session: frames and commands in, overlays and events out.

use super::{CommandRing, EventRing, FrameRing, OverlayRing, RingError};

/// How much each ring of a session queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSizes {
    /// Frames.
    pub frames: u32,
    /// Most bytes of samples in a frame.
    pub payload_bytes: usize,
    /// Overlays.
    pub overlays: u32,
    /// Commands.
    pub commands: u32,
    /// Events.
    pub events: u32,
}

impl RingSizes {
    /// Bytes of the region of each ring: frames, overlays, commands, events. Align each to [`super::ALIGN`].
    ///
    /// # Errors
    /// As [`super::region_bytes`].
    pub fn region_bytes(&self) -> Result<[usize; 4], RingError> {
        Ok([
            FrameRing::region_bytes(self.frames, self.payload_bytes)?,
            OverlayRing::region_bytes(self.overlays)?,
            CommandRing::region_bytes(self.commands)?,
            EventRing::region_bytes(self.events)?,
        ])
    }
}

/// The four rings of a session.
pub struct Rings<'a> {
    /// From the acquisition to the session.
    pub frames: FrameRing<'a>,
    /// From the session to the display.
    pub overlays: OverlayRing<'a>,
    /// From the user to the session.
    pub commands: CommandRing<'a>,
    /// From the session to the log.
    pub events: EventRing<'a>,
}

impl<'a> Rings<'a> {
    /// Lays out empty rings in the regions of [`RingSizes::region_bytes`], in the same order.
    ///
    /// # Errors
    /// As [`super::SlotRing::create`].
    pub fn create(regions: [&'a mut [u8]; 4], sizes: &RingSizes) -> Result<Self, RingError> {
        let [frames, overlays, commands, events] = regions;
        Ok(Self {
            frames: FrameRing::create(frames, sizes.frames, sizes.payload_bytes)?,
            overlays: OverlayRing::create(overlays, sizes.overlays)?,
            commands: CommandRing::create(commands, sizes.commands)?,
            events: EventRing::create(events, sizes.events)?,
        })
    }
}
