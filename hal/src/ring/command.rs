//! The command ring: each slot is one command.

use super::error::RingError;
use super::memory::{SlotConsumer, SlotProducer};
use super::slots::{SlotRing, region_bytes};
use crate::command::{COMMAND_MAGIC, Command, CommandError, CommandRecord, Prompt};

const SLOT_BYTES: usize = size_of::<CommandRecord>();

/// A ring of commands in caller memory.
pub struct CommandRing<'a>(SlotRing<'a>);

impl<'a> CommandRing<'a> {
    /// Bytes of the region for a ring that queues `capacity` commands. Align the region to
    /// [`super::ALIGN`].
    ///
    /// # Errors
    /// As [`region_bytes`].
    pub fn region_bytes(capacity: u32) -> Result<usize, RingError> {
        region_bytes(capacity, SLOT_BYTES)
    }

    /// Lays out an empty ring in `region`.
    ///
    /// # Errors
    /// As [`SlotRing::create`].
    pub fn create(region: &'a mut [u8], capacity: u32) -> Result<Self, RingError> {
        SlotRing::create(region, COMMAND_MAGIC, capacity, SLOT_BYTES).map(Self)
    }

    /// Claims the producer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a producer.
    pub fn producer(&self) -> Result<CommandProducer<'a>, RingError> {
        Ok(CommandProducer { slots: self.0.producer()?, capacity: self.0.capacity(), ticket: 0 })
    }

    /// Claims the consumer's side, until the handle is dropped.
    ///
    /// # Errors
    /// [`RingError::Claimed`] if there is a consumer.
    pub fn consumer(&self) -> Result<CommandConsumer<'a>, RingError> {
        self.0.consumer().map(CommandConsumer)
    }
}

/// The producer's side of a command ring: the device.
pub struct CommandProducer<'a> {
    slots: SlotProducer<'a>,
    capacity: u32,
    ticket: u32,
}

impl CommandProducer<'_> {
    /// Queues a prompt. Returns its ticket, which the reply contains.
    ///
    /// # Errors
    /// An invalid prompt, or [`CommandError::Full`]: unlike a frame, a queued command is never evicted.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn prompt(&mut self, prompt: Prompt) -> Result<u32, CommandError> {
        prompt.check()?;
        let ticket = self.ticket.wrapping_add(1);
        self.push(Command::Prompt { ticket, prompt })?;
        self.ticket = ticket;
        Ok(ticket)
    }

    /// Queues a command that the image is frozen, or live again.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn set_frozen(&mut self, is_frozen: bool) -> Result<(), CommandError> {
        self.push(if is_frozen { Command::Freeze } else { Command::Resume })
    }

    fn push(&mut self, command: Command) -> Result<(), CommandError> {
        // Only this side commits, so the backlog cannot grow before the commit below: nothing is evicted.
        if self.slots.backlog() >= self.capacity {
            return Err(CommandError::Full { capacity: self.capacity });
        }
        let mut slot = self.slots.acquire().map_err(|_| CommandError::NoFreeSlot)?;
        let record = CommandRecord::from(command);
        slot.bytes_mut()[..SLOT_BYTES].copy_from_slice(bytemuck::bytes_of(&record));
        let _ = slot.commit();
        Ok(())
    }

    /// Checks that the ring's memory is undamaged.
    ///
    /// # Errors
    /// As [`SlotProducer::check`].
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check(&self) -> Result<(), RingError> {
        self.slots.check()
    }
}

/// The consumer's side of a command ring: the session.
pub struct CommandConsumer<'a>(SlotConsumer<'a>);

impl CommandConsumer<'_> {
    /// Commands committed and not yet taken: at most the ring's capacity, whatever its memory holds.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn backlog(&self) -> u32 {
        self.0.backlog()
    }

    /// The next command, oldest first, checked.
    ///
    /// # Errors
    /// An invalid record. It is removed from the ring nevertheless.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take(&mut self) -> Option<Result<Command, CommandError>> {
        let slot = self.0.take()?;
        let record = bytemuck::pod_read_unaligned::<CommandRecord>(slot.get(..SLOT_BYTES)?);
        self.0.release();
        Some(record.check())
    }

    /// Checks that the ring's memory is undamaged.
    ///
    /// # Errors
    /// As [`SlotConsumer::check`].
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check(&self) -> Result<(), RingError> {
        self.0.check()
    }
}
