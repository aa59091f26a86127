//! The tracker's two programs, found in the model by name, and the copies that their slots are bound to.

use super::looks::Sizes;
use super::memory::{FrameCopies, MEMORIES, MEMORY_COPIES, Memory, SLOTS};
use super::{Objects, PLACES};
use crate::format::{Model, PortRecord, ProgramRecord, SLOTS_MAX};

/// Ids of a mask: the background, and each place.
pub const IDS: usize = PLACES + 1;

/// Errors of finding the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// The file does not say how to follow objects.
    #[error("the model has no tracking constants: compile it with the conventions of its export")]
    Tracking,
    /// A program is missing.
    #[error("the model has no program `{name}`: export it with its tracker")]
    Program {
        /// Its name.
        name: &'static str,
    },
    /// A port is missing or has another size.
    #[error("port `{name}` of the tracker has {seen} elements, {needed} are needed")]
    Port {
        /// Its name.
        name: &'static str,
        /// Elements found; 0 for a missing port.
        seen: u64,
        /// Elements needed.
        needed: u64,
    },
    /// A slot of state has a name that no session knows, has the name of another slot, or is written although another frame needs it.
    #[error("slot {index} of program `{program}` is not one that a session binds")]
    Slot {
        /// The program's name.
        program: &'static str,
        /// Index of the slot.
        index: usize,
    },
    /// The encoder writes its features elsewhere.
    #[error("the encoder does not write to the bank `features`, which the tracker reads")]
    Features,
    /// A bank has fewer copies than the session needs.
    #[error("bank `{name}` has {seen} copies, {needed} are needed")]
    Copies {
        /// The bank's name.
        name: &'static str,
        /// Copies found.
        seen: u32,
        /// Copies needed.
        needed: u32,
    },
}

/// What a slot of a program is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    FrameFeatures,
    AnchorFeatures,
    /// A slot of the long-term memory.
    Slot(usize),
    Previous,
    FrameMemory,
    FrameMotion,
    SoFar,
    FrameShares,
    AnchorShares,
}

impl Role {
    /// Bank and slot of each role, by name.
    const ALL: [(&'static str, &'static str, Self); 12] = [
        ("features", "frame", Self::FrameFeatures),
        ("features", "anchor", Self::AnchorFeatures),
        ("memory", "reference", Self::Slot(0)),
        ("memory", "recent1", Self::Slot(1)),
        ("memory", "recent2", Self::Slot(2)),
        ("memory", "recent3", Self::Slot(3)),
        ("memory", "previous", Self::Previous),
        ("memory", "frame", Self::FrameMemory),
        ("motion", "frame", Self::FrameMotion),
        ("motion", "previous", Self::SoFar),
        ("shares", "frame", Self::FrameShares),
        ("shares", "anchor", Self::AnchorShares),
    ];
}

/// A program's slots.
#[derive(Debug, Clone, Copy)]
struct Slots {
    roles: [Role; SLOTS_MAX],
    count: usize,
}

impl Slots {
    fn find(model: &Model<'_>, record: &ProgramRecord, program: &'static str) -> Result<Self, TrackerError> {
        let mut slots = Self { roles: [Role::FrameFeatures; SLOTS_MAX], count: record.slots().len() };
        for (index, (role, slot)) in slots.roles.iter_mut().zip(record.slots()).enumerate() {
            let bank =
                model.header().banks().get(slot.bank as usize).map_or("", |bank| model.name(bank.name));
            let of = (bank, model.name(slot.name));
            let found = Role::ALL.iter().find(|(bank, name, _)| (*bank, *name) == of);
            *role = found.ok_or(TrackerError::Slot { program, index })?.2;
        }
        for (index, slot) in record.slots().iter().enumerate() {
            let role = slots.roles[index];
            let is_of_frame = matches!(role, Role::FrameMemory | Role::FrameMotion | Role::FrameShares);
            if slots.roles[..index].contains(&role) || (slot.is_written != 0 && !is_of_frame) {
                return Err(TrackerError::Slot { program, index });
            }
        }
        Ok(slots)
    }

    fn copies(&self, memory: &Memory, frame: &FrameCopies) -> Copies {
        let mut copies = Copies { of: [0; SLOTS_MAX], count: self.count };
        for (copy, role) in copies.of.iter_mut().zip(&self.roles[..self.count]) {
            *copy = match role {
                Role::FrameFeatures => frame.features,
                Role::AnchorFeatures => memory.anchor().features,
                // Nothing knows an empty slot, so it does not matter what it holds.
                Role::Slot(slot) => memory.slots()[*slot].unwrap_or(memory.previous()).copy,
                Role::Previous => memory.previous().copy,
                Role::FrameMemory => frame.memory,
                Role::FrameMotion => frame.motion,
                Role::SoFar => memory.so_far(),
                Role::FrameShares => frame.shares,
                Role::AnchorShares => memory.anchor().shares,
            };
        }
        copies
    }
}

/// The copies of a program's slots, for [`crate::exec::Executor::begin`].
#[derive(Debug, Clone, Copy)]
pub struct Copies {
    of: [u32; SLOTS_MAX],
    count: usize,
}

impl Copies {
    /// Returns them, in the order of the slots.
    pub fn get(&self) -> &[u32] {
        &self.of[..self.count]
    }
}

/// Indices of the tracker's programs and ports.
#[derive(Debug, Clone, Copy)]
pub struct TrackerPrograms {
    /// The program that finds objects on a frame.
    pub tracker: usize,
    /// The program that makes the identity of a memory from shares.
    pub memory: usize,
    /// Tracker input, state: the frame's embedding, `[channels, tokens]`.
    pub embedding: usize,
    /// Tracker input: 1 for the ids that each memory knows, `[6, 11]`.
    pub known: usize,
    /// Tracker input, state: keys of each long-term slot, `[tokens, keys]`.
    pub slot_keys: [usize; SLOTS],
    /// Tracker input, state: the anchor's shares, `[11, side, side]`.
    pub anchor_shares: usize,
    /// Tracker input, state: the flow up to the previous frame, `[2, cells, cells]`.
    pub so_far_flow: usize,
    /// Tracker input, state: the change of the flow on the previous frame, of the same shape.
    pub so_far_step: usize,
    /// Tracker output: logits of each id, `[11, side, side]`.
    pub logits: usize,
    /// Tracker output, state: the frame's keys, `[tokens, keys]`.
    pub key: usize,
    /// Tracker output, state: the frame's values.
    pub value: usize,
    /// Tracker output, state: flow since the anchor, `[2, cells, cells]`.
    pub flow: usize,
    /// Tracker output, state: change of the flow on this frame, of the same shape.
    pub step: usize,
    /// Memory output, state: the frame's identity.
    pub identity: usize,
    /// Memory input, state: the frame's shares, `[11, side, side]`.
    pub shares: usize,
    /// Sizes of the tensors.
    pub sizes: Sizes,
    tracker_slots: Slots,
    memory_slots: Slots,
}

/// Names of the keys of the long-term slots.
const SLOT_KEYS: [&str; SLOTS] = ["reference_key", "recent1_key", "recent2_key", "recent3_key"];

impl TrackerPrograms {
    /// Finds programs and ports, whose sizes are those that the header states.
    ///
    /// # Errors
    /// What is missing, or has another size.
    pub fn find(model: &Model<'_>) -> Result<Self, TrackerError> {
        if model.tracking().is_none() {
            return Err(TrackerError::Tracking);
        }
        let sizes = Sizes::of(model.header());
        let program = |name: &'static str| model.program(name).ok_or(TrackerError::Program { name });
        let (tracker, tracker_record) = program("tracker")?;
        let (memory, memory_record) = program("memory")?;
        let at = |ports: &[PortRecord], name: &'static str| {
            let at = ports.iter().position(|port| model.name(port.name) == name);
            at.map(|at| (at, model.tensor_of(&ports[at]).elements))
        };
        let find = |ports: &[PortRecord], name: &'static str, needed: u64| match at(ports, name) {
            Some((at, seen)) if seen == needed => Ok(at),
            seen => Err(TrackerError::Port { name, seen: seen.map_or(0, |(_, seen)| seen), needed }),
        };
        let any = |ports: &[PortRecord], name: &'static str| match at(ports, name) {
            Some((at, _)) => Ok(at),
            None => Err(TrackerError::Port { name, seen: 0, needed: 1 }),
        };
        let (inputs, outputs) = (model.inputs(tracker_record), model.outputs(tracker_record));
        let flow = sizes.flow_values() as u64;
        let shares = (IDS * sizes.pixels()) as u64;
        let [embedding, keys] =
            [sizes.channels, sizes.keys].map(|channels| (sizes.tokens() * channels) as u64);
        let mut slot_keys = [0; SLOTS];
        for (port, name) in slot_keys.iter_mut().zip(SLOT_KEYS) {
            *port = find(inputs, name, keys)?;
        }
        let found = Self {
            tracker,
            memory,
            embedding: find(inputs, "embedding", embedding)?,
            known: find(inputs, "known", (MEMORIES * IDS) as u64)?,
            slot_keys,
            anchor_shares: find(inputs, "anchor_shares", shares)?,
            so_far_flow: find(inputs, "so_far_flow", flow)?,
            so_far_step: find(inputs, "so_far_step", flow)?,
            logits: find(outputs, "logits", shares)?,
            key: find(outputs, "key", keys)?,
            value: any(outputs, "value")?,
            flow: find(outputs, "flow", flow)?,
            step: find(outputs, "step", flow)?,
            identity: any(model.outputs(memory_record), "identity")?,
            shares: find(model.inputs(memory_record), "shares", shares)?,
            sizes,
            tracker_slots: Slots::find(model, tracker_record, "tracker")?,
            memory_slots: Slots::find(model, memory_record, "memory")?,
        };
        let features = model.program("encoder").and_then(|(_, encoder)| encoder.slots().first());
        let features = features.and_then(|slot| model.header().banks().get(slot.bank as usize));
        if features.is_none_or(|bank| model.name(bank.name) != "features" || bank.per_kept_frame != 1) {
            return Err(TrackerError::Features);
        }
        for (name, needed) in [("features", 1), ("memory", MEMORY_COPIES), ("motion", 2), ("shares", 2)] {
            let bank = model.header().banks().iter().find(|bank| model.name(bank.name) == name);
            let seen = bank.map_or(0, |bank| bank.copies);
            if seen < needed {
                return Err(TrackerError::Copies { name, seen, needed });
            }
        }
        Ok(found)
    }

    /// Returns the copies for a run of the tracker, or to read what it wrote.
    pub fn tracker_copies(&self, memory: &Memory, frame: &FrameCopies) -> Copies {
        self.tracker_slots.copies(memory, frame)
    }

    /// Returns the copies for a run of the memory program.
    pub fn memory_copies(&self, memory: &Memory, frame: &FrameCopies) -> Copies {
        self.memory_slots.copies(memory, frame)
    }

    /// Fills the tracker's input `known`: 1 for the ids that each memory knows; the background where there is a memory.
    pub fn fill_known(memory: &Memory, known: &mut [f32]) {
        for (row, of) in known.chunks_exact_mut(IDS).zip(memory.known()) {
            row[0] = f32::from(of.is_some());
            let objects = of.unwrap_or(Objects::default());
            for (place, value) in row[1..].iter_mut().enumerate() {
                *value = f32::from(objects.contains(place));
            }
        }
    }
}
