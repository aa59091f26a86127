//! Commands of the device while a scan runs: prompts, and freezing. The user interface's thread writes them, the session
//! reads them. Fixed layout, `repr(C)`: a command is one slot of the command ring.

use crate::geometry::Point;
use bytemuck::{Pod, Zeroable};

/// First four bytes of every command, `SNTC` in memory order.
pub const COMMAND_MAGIC: u32 = u32::from_le_bytes(*b"SNTC");
/// Version of this layout.
pub const COMMAND_ABI_VERSION: u32 = 1;

/// The coordinate space of a prompt's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum PointSpace {
    /// The probe's plane: millimetres, or source pixels where the scale is unknown.
    Plane = 1,
    /// Line (y) and sample (x) of the frame; for a picture its row and column.
    LineSample = 2,
    /// Pixels of the declared display raster.
    Display = 3,
}

/// What a prompt marks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PromptKind {
    /// One click.
    Click {
        /// Where the click is.
        at: Point,
        /// True inside the object, false on something that is not part of it.
        is_positive: bool,
    },
    /// A box around the object.
    Box {
        /// One corner.
        from: Point,
        /// The opposite one.
        to: Point,
    },
    /// Stop following the object.
    Remove,
}

/// A prompt. It names the frame that it was made on, which is no longer the newest when the prompt arrives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prompt {
    /// The device's number for the object, from 1. A new number starts a new object, a known number corrects one.
    pub object: u32,
    /// Sequence number of the displayed frame; 0 for the next frame, or on a frozen image for the frozen one.
    pub seq: u64,
    /// The coordinate space of the points.
    pub space: PointSpace,
    /// What the prompt marks.
    pub kind: PromptKind,
}

/// A command to a session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// A prompt.
    Prompt {
        /// The prompt's number in order of arrival, from 1. The reply contains it.
        ticket: u32,
        /// The prompt.
        prompt: Prompt,
    },
    /// The image is frozen: new frames are dropped, and prompts are served on the displayed frame.
    Freeze,
    /// The image is live again.
    Resume,
}

/// Why a command was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The ring is full.
    #[error("command ring is full: {capacity} commands are queued, send at most one per frame")]
    Full {
        /// Commands that the ring can queue.
        capacity: u32,
    },
    /// Objects are numbered from 1.
    #[error("object number 0 is not allowed: number objects from 1")]
    ObjectZero,
    /// A coordinate is NaN or infinite.
    #[error("a prompt's coordinate is not finite")]
    NotFinite,
    /// A field holds an invalid value.
    #[error("command field `{field}` is {seen}, which is not a valid value")]
    Unknown {
        /// Name of the field.
        field: &'static str,
        /// The value found.
        seen: u32,
    },
    /// The session has broken the protocol of the ring.
    #[error("command ring has no free slot: the consumer does not release its slots")]
    NoFreeSlot,
}

/// A command as it is stored in a slot. It is not trusted before [`CommandRecord::check`].
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct CommandRecord {
    /// [`COMMAND_MAGIC`].
    pub magic: u32,
    /// [`COMMAND_ABI_VERSION`].
    pub abi_version: u32,
    /// One of [`kind`].
    pub kind: u32,
    /// Ticket of a prompt.
    pub ticket: u32,
    /// Sequence number of the frame that a prompt was made on.
    pub seq: u64,
    /// The object's number.
    pub object: u32,
    /// A [`PointSpace`].
    pub space: u32,
    /// Whether a click is positive: 0 or 1.
    pub is_positive: u32,
    /// Zero.
    pub reserved: u32,
    /// Position of a click, or the first corner of a box: x, y.
    pub from: [f32; 2],
    /// The opposite corner of a box: x, y.
    pub to: [f32; 2],
}

/// Wire values of [`CommandRecord::kind`].
pub mod kind {
    /// [`super::PromptKind::Click`].
    pub const CLICK: u32 = 1;
    /// [`super::PromptKind::Box`].
    pub const BOX: u32 = 2;
    /// [`super::PromptKind::Remove`].
    pub const REMOVE: u32 = 3;
    /// [`super::Command::Freeze`].
    pub const FREEZE: u32 = 4;
    /// [`super::Command::Resume`].
    pub const RESUME: u32 = 5;
}

impl From<Command> for CommandRecord {
    fn from(command: Command) -> Self {
        let blank = Self { magic: COMMAND_MAGIC, abi_version: COMMAND_ABI_VERSION, ..Self::zeroed() };
        let (ticket, prompt) = match command {
            Command::Freeze => return Self { kind: kind::FREEZE, ..blank },
            Command::Resume => return Self { kind: kind::RESUME, ..blank },
            Command::Prompt { ticket, prompt } => (ticket, prompt),
        };
        let Prompt { object, seq, space, kind } = prompt;
        let record = Self { ticket, object, seq, space: space as u32, ..blank };
        let pair = |point: Point| [point.x, point.y];
        match kind {
            PromptKind::Click { at, is_positive } => {
                Self { kind: kind::CLICK, from: pair(at), is_positive: is_positive.into(), ..record }
            }
            PromptKind::Box { from, to } => {
                Self { kind: kind::BOX, from: pair(from), to: pair(to), ..record }
            }
            PromptKind::Remove => Self { kind: kind::REMOVE, ..record },
        }
    }
}

impl CommandRecord {
    /// Checks every field that the command's kind uses.
    ///
    /// # Errors
    /// The first field that is wrong, with its value.
    pub fn check(&self) -> Result<Command, CommandError> {
        let unknown = |field, seen| Err(CommandError::Unknown { field, seen });
        if self.magic != COMMAND_MAGIC {
            return unknown("magic", self.magic);
        }
        if self.abi_version != COMMAND_ABI_VERSION {
            return unknown("abi_version", self.abi_version);
        }
        let [from, to] = [self.from, self.to].map(|[x, y]| Point { x, y });
        let kind = match self.kind {
            kind::FREEZE => return Ok(Command::Freeze),
            kind::RESUME => return Ok(Command::Resume),
            kind::CLICK => match self.is_positive {
                0 => PromptKind::Click { at: from, is_positive: false },
                1 => PromptKind::Click { at: from, is_positive: true },
                seen => return unknown("is_positive", seen),
            },
            kind::BOX => PromptKind::Box { from, to },
            kind::REMOVE => PromptKind::Remove,
            seen => return unknown("kind", seen),
        };
        let space = match self.space {
            1 => PointSpace::Plane,
            2 => PointSpace::LineSample,
            3 => PointSpace::Display,
            seen => return unknown("space", seen),
        };
        let prompt = Prompt { object: self.object, seq: self.seq, space, kind };
        prompt.check()?;
        Ok(Command::Prompt { ticket: self.ticket, prompt })
    }
}

impl Prompt {
    /// Checks what can be checked without a frame.
    ///
    /// # Errors
    /// [`CommandError::ObjectZero`] or [`CommandError::NotFinite`].
    pub fn check(&self) -> Result<(), CommandError> {
        if self.object == 0 {
            return Err(CommandError::ObjectZero);
        }
        let is_finite = |point: Point| point.x.is_finite() && point.y.is_finite();
        let all_finite = match self.kind {
            PromptKind::Click { at, .. } => is_finite(at),
            PromptKind::Box { from, to } => is_finite(from) && is_finite(to),
            PromptKind::Remove => true,
        };
        if all_finite { Ok(()) } else { Err(CommandError::NotFinite) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prompts() -> impl Strategy<Value = Prompt> {
        let point = || (-1e6..1e6f32, -1e6..1e6f32).prop_map(|(x, y)| Point { x, y });
        let kind = prop_oneof![
            (point(), any::<bool>()).prop_map(|(at, is_positive)| PromptKind::Click { at, is_positive }),
            (point(), point()).prop_map(|(from, to)| PromptKind::Box { from, to }),
            Just(PromptKind::Remove),
        ];
        let space =
            prop_oneof![Just(PointSpace::Plane), Just(PointSpace::LineSample), Just(PointSpace::Display)];
        (1..=u32::MAX, any::<u64>(), space, kind).prop_map(|(object, seq, space, kind)| Prompt {
            object,
            seq,
            space,
            kind,
        })
    }

    proptest! {
        #[test]
        fn records_round_trip(prompt in prompts(), ticket in any::<u32>()) {
            let command = Command::Prompt { ticket, prompt };
            prop_assert_eq!(CommandRecord::from(command).check(), Ok(command));
        }

        /// Arbitrary bytes give a command or an error, never a panic.
        #[test]
        fn arbitrary_bytes_are_checked(bytes in proptest::array::uniform32(any::<u8>()), kind in 0u32..8) {
            let mut record = CommandRecord::from(Command::Freeze);
            bytemuck::bytes_of_mut(&mut record)[12..44].copy_from_slice(&bytes);
            record.kind = kind;
            if let Ok(Command::Prompt { prompt, .. }) = record.check() {
                prop_assert!(prompt.check().is_ok());
            }
        }
    }

    #[test]
    fn errors_name_the_field() {
        let good = CommandRecord::from(Command::Prompt {
            ticket: 1,
            prompt: Prompt {
                object: 1,
                seq: 2,
                space: PointSpace::Plane,
                kind: PromptKind::Click { at: Point::default(), is_positive: true },
            },
        });
        let refused = |record: CommandRecord| record.check().unwrap_err().to_string();
        assert!(refused(CommandRecord { magic: 7, ..good }).contains("`magic` is 7"));
        assert!(refused(CommandRecord { abi_version: 9, ..good }).contains("`abi_version` is 9"));
        assert!(refused(CommandRecord { kind: 0, ..good }).contains("`kind` is 0"));
        assert!(refused(CommandRecord { space: 4, ..good }).contains("`space` is 4"));
        assert!(refused(CommandRecord { is_positive: 2, ..good }).contains("`is_positive` is 2"));
        assert!(refused(CommandRecord { object: 0, ..good }).contains("object number 0"));
        assert!(refused(CommandRecord { from: [f32::NAN, 0.0], ..good }).contains("not finite"));
        assert_eq!(CommandRecord::from(Command::Resume).check(), Ok(Command::Resume));
    }
}
