//! The protocol over memory that loom owns, for the model tests. loom's atomics are larger than the machine's, so a region
//! cannot hold them.

use super::protocol::{Control, ControlBlock};
use crate::sync::AtomicU32;
use std::boxed::Box;

pub use super::layout::RingLayout;
pub use super::order::{Site, weaken};
pub use super::protocol::{IndexConsumer, IndexProducer};

/// The parts of a region except the slots.
pub struct ModelMemory {
    block: ControlBlock,
    ready_cells: Box<[AtomicU32]>,
    free_cells: Box<[AtomicU32]>,
    layout: RingLayout,
}

impl ModelMemory {
    /// Memory for a ring that queues `capacity` slots, not laid out yet.
    pub fn new(capacity: u32) -> Self {
        let layout = RingLayout::new(0, capacity, 1).expect("a model's capacity is small");
        let cells = |count: u32| (0..count).map(|_| AtomicU32::new(0)).collect();
        Self {
            block: ControlBlock::default(),
            ready_cells: cells(layout.ready_cells),
            free_cells: cells(layout.free_cells),
            layout,
        }
    }

    /// The layout. A model uses only its counts.
    pub fn layout(&self) -> &RingLayout {
        &self.layout
    }

    /// The control part.
    pub fn control(&self) -> Control<'_> {
        Control::new(&self.block, &self.ready_cells, &self.free_cells, &self.layout)
    }

    /// Whether the ring has been laid out and published, by its header.
    pub fn is_published(&self) -> bool {
        RingLayout::from_header(&self.block.header(), 0).is_ok()
    }
}
