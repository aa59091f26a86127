//! Which side owns which slot: the protocol of the ring, over slot indices only.
//!
//! Works on references to atomics, so that the same code runs over caller memory and in a model checker.

use super::counters::{CommitOutcome, RingCounters};
use super::error::RingError;
use super::index_queue::{FreeQueue, ReadyQueue};
use super::layout::{HEADER_NAMES, HEADER_WORDS, RING_MAGIC, RingLayout};
use super::order::Site;
use crate::sync::{
    AtomicU32,
    Ordering::{Acquire, Relaxed},
};

/// Means no slot index.
const NO_SLOT: u32 = u32::MAX;

/// Words that only the producer writes, on a separate cache line.
#[repr(C, align(64))]
#[derive(Default)]
pub struct ProducerWords {
    claimed: AtomicU32,
    ready_write: AtomicU32,
    free_read: AtomicU32,
    /// The slot that the producer fills, kept for its next handle.
    spare: AtomicU32,
    committed: AtomicU32,
    evicted: AtomicU32,
    faults: AtomicU32,
}

/// Words that only the consumer writes, on a separate cache line.
#[repr(C, align(64))]
#[derive(Default)]
pub struct ConsumerWords {
    claimed: AtomicU32,
    free_write: AtomicU32,
    /// The slot that the consumer reads, kept for its next handle.
    held: AtomicU32,
    taken: AtomicU32,
    faults: AtomicU32,
    /// Whether the consumer sleeps, or is about to.
    waiting: AtomicU32,
}

/// The one word that both sides write, on a separate cache line.
#[repr(C, align(64))]
#[derive(Default)]
pub struct SharedWord {
    ready_read: AtomicU32,
}

/// The start of every region.
#[repr(C, align(64))]
#[derive(Default)]
pub struct ControlBlock {
    header: [AtomicU32; HEADER_WORDS],
    producer: ProducerWords,
    consumer: ConsumerWords,
    shared: SharedWord,
}

impl ControlBlock {
    /// The words of the header; all zero but the first if the magic is wrong.
    pub fn header(&self) -> [u32; HEADER_WORDS] {
        let mut words = [0; HEADER_WORDS];
        // E2, with E1: a thread that sees the magic, which is the first word, sees a ring that is laid out.
        words[0] = self.header[0].load(Site::HeaderObserve.order());
        if words[0] == RING_MAGIC {
            for (word, shared) in words.iter_mut().zip(&self.header).skip(1) {
                *word = shared.load(Relaxed);
            }
        }
        words
    }
}

/// The control part of a ring.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    block: &'a ControlBlock,
    ready: ReadyQueue<'a>,
    free: FreeQueue<'a>,
    slot_count: u32,
    /// What the header must contain.
    header: [u32; HEADER_WORDS],
}

impl<'a> Control<'a> {
    /// Joins the parts. The numbers of cells are those of `layout`.
    pub fn new(
        block: &'a ControlBlock,
        ready_cells: &'a [AtomicU32],
        free_cells: &'a [AtomicU32],
        layout: &RingLayout,
    ) -> Self {
        let ready = ReadyQueue {
            write: &block.producer.ready_write,
            read: &block.shared.ready_read,
            cells: ready_cells,
            capacity: layout.capacity,
        };
        let free = FreeQueue {
            write: &block.consumer.free_write,
            read: &block.producer.free_read,
            cells: free_cells,
        };
        Self { block, ready, free, slot_count: layout.slot_count, header: layout.header() }
    }

    /// Lays out an empty ring whose queues start at `position`, and publishes its header.
    pub fn format(&self, layout: &RingLayout, position: u32) {
        let Self { block, ready, free, .. } = self;
        for word in [ready.write, ready.read, free.write, free.read] {
            word.store(position, Relaxed);
        }
        let (producer, consumer) = (&block.producer, &block.consumer);
        for word in [&producer.spare, &consumer.held] {
            word.store(NO_SLOT, Relaxed);
        }
        let counters =
            [&producer.committed, &producer.evicted, &producer.faults, &consumer.taken, &consumer.faults];
        for word in counters.into_iter().chain([&producer.claimed, &consumer.claimed, &consumer.waiting]) {
            word.store(0, Relaxed);
        }
        let mut free_write = position;
        for index in 0..self.slot_count {
            free.push(&mut free_write, index);
        }
        for (word, value) in block.header.iter().zip(layout.header()).skip(1) {
            word.store(value, Relaxed);
        }
        // E1, with E2: all of the above is written before the magic.
        block.header[0].store(layout.header()[0], Site::HeaderPublish.order());
    }

    /// Repairs an unused ring after handles were lost at any point of the protocol: queued slots stay queued, all
    /// others become free.
    pub fn recover(&self) -> Result<(), RingError> {
        let Self { block, ready, free, slot_count, .. } = self;
        let (producer, consumer) = (&block.producer, &block.consumer);
        let write = ready.write.load(Relaxed);
        let mut read = ready.read.load(Relaxed);
        let seen = write.wrapping_sub(read);
        if seen > ready.capacity + 1 {
            return Err(RingError::Damaged { what: "queued slots", seen, limit: ready.capacity });
        }
        let queued = |from: u32| {
            let positions = (0..write.wrapping_sub(from)).map(move |ahead| from.wrapping_add(ahead));
            positions.map(|position| ready.cells[position as usize & (ready.cells.len() - 1)].load(Relaxed))
        };
        for (ahead, index) in queued(read).enumerate() {
            if index >= *slot_count {
                return Err(RingError::Damaged { what: "slot index", seen: index, limit: slot_count - 1 });
            }
            if queued(read).take(ahead).any(|other| other == index) {
                return Err(RingError::Damaged { what: "repetition of slot", seen: index, limit: 0 });
            }
        }
        if seen > ready.capacity {
            // The producer stopped between a push and its eviction.
            read = read.wrapping_add(1);
            ready.read.store(read, Relaxed);
            add_one(&producer.evicted);
        }
        producer.spare.store(NO_SLOT, Relaxed);
        consumer.held.store(NO_SLOT, Relaxed);
        producer.claimed.store(0, Relaxed);
        consumer.claimed.store(0, Relaxed);
        let mut free_write = free.write.load(Relaxed);
        free.read.store(free_write, Relaxed);
        for index in (0..*slot_count).filter(|&index| queued(read).all(|other| other != index)) {
            free.push(&mut free_write, index);
        }
        // A side may have stopped between a step and counting it.
        let gone = producer.evicted.load(Relaxed).wrapping_add(consumer.taken.load(Relaxed));
        producer.committed.store(gone.wrapping_add(write.wrapping_sub(read)), Relaxed);
        Ok(())
    }

    /// Claims the producer's side.
    pub fn producer(&self) -> Result<IndexProducer<'a>, RingError> {
        claim(&self.block.producer.claimed, "producer")?;
        let words = &self.block.producer;
        Ok(IndexProducer {
            control: *self,
            spare: self.valid(words.spare.load(Relaxed)),
            ready_write: words.ready_write.load(Relaxed),
            free_read: words.free_read.load(Relaxed),
            faults: words.faults.load(Relaxed),
        })
    }

    /// Claims the consumer's side.
    pub fn consumer(&self) -> Result<IndexConsumer<'a>, RingError> {
        claim(&self.block.consumer.claimed, "consumer")?;
        let words = &self.block.consumer;
        // The last consumer's process may have ended while it waited.
        words.waiting.store(0, Relaxed);
        Ok(IndexConsumer {
            control: *self,
            held: self.valid(words.held.load(Relaxed)),
            free_write: words.free_write.load(Relaxed),
            faults: words.faults.load(Relaxed),
        })
    }

    /// The counters; they add up when neither side is in a call.
    pub fn counters(&self) -> RingCounters {
        let (producer, consumer) = (&self.block.producer, &self.block.consumer);
        RingCounters {
            committed: producer.committed.load(Relaxed),
            evicted: producer.evicted.load(Relaxed),
            taken: consumer.taken.load(Relaxed),
            faults: producer.faults.load(Relaxed).wrapping_add(consumer.faults.load(Relaxed)),
        }
    }

    /// Slots committed and not yet taken or evicted.
    pub fn queued(&self) -> u32 {
        self.ready.len()
    }

    /// Looks for a state that the two sides cannot have written: something else writes into this memory, such as a
    /// frame that is longer than its slot. The header lies in front, so that a write past the memory before it is seen.
    fn check(&self) -> Result<(), RingError> {
        for ((word, &expected), field) in self.block.header.iter().zip(&self.header).zip(HEADER_NAMES) {
            let seen = word.load(Relaxed);
            if seen != expected {
                return Err(RingError::Header { field, seen, expected });
            }
        }
        // The distance is only meaningful if the read position did not move meanwhile. It moves seldom, so that a
        // damaged position does not stay hidden.
        let read = self.ready.read.load(Acquire);
        let seen = self.ready.write.load(Acquire).wrapping_sub(read);
        if self.ready.read.load(Relaxed) == read && seen > self.ready.capacity + 1 {
            return Err(RingError::Damaged { what: "queued slots", seen, limit: self.ready.capacity });
        }
        Ok(())
    }

    /// An index read from shared memory, if it is that of a slot.
    #[inline]
    fn valid(&self, index: u32) -> Option<u32> {
        (index < self.slot_count).then_some(index)
    }
}

/// Increments `word`, which has no other writer.
#[inline]
fn add_one(word: &AtomicU32) {
    word.store(word.load(Relaxed).wrapping_add(1), Relaxed);
}

/// Compares a word that only one side writes with that side's own copy.
fn own(what: &'static str, word: &AtomicU32, expected: u32) -> Result<(), RingError> {
    match word.load(Relaxed) {
        seen if seen == expected => Ok(()),
        seen => Err(RingError::Header { field: what, seen, expected }),
    }
}

fn claim(claimed: &AtomicU32, side: &'static str) -> Result<(), RingError> {
    // D2, with D1: this handle continues where the last handle of its side stopped.
    match claimed.compare_exchange(0, 1, Site::Claim.order(), Relaxed) {
        Ok(_) => Ok(()),
        Err(_) => Err(RingError::Claimed { side }),
    }
}

/// The producer's side. Owns at most one slot, the one being filled.
pub struct IndexProducer<'a> {
    control: Control<'a>,
    spare: Option<u32>,
    ready_write: u32,
    free_read: u32,
    /// Faults counted before this handle.
    faults: u32,
}

impl IndexProducer<'_> {
    /// Checks that the ring's memory holds a state that the two sides can have written.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check(&self) -> Result<(), RingError> {
        self.control.check()?;
        let words = &self.control.block.producer;
        own("producer claimed", &words.claimed, 1)?;
        own("ready_write", &words.ready_write, self.ready_write)?;
        own("free_read", &words.free_read, self.free_read)?;
        own("spare", &words.spare, self.spare.unwrap_or(NO_SLOT))?;
        own("producer faults", &words.faults, self.faults)?;
        let seen = self.control.free.write.load(Relaxed).wrapping_sub(self.free_read);
        if seen > self.control.slot_count {
            return Err(RingError::Damaged { what: "free slots", seen, limit: self.control.slot_count });
        }
        Ok(())
    }

    /// The slot to fill: the producer owns it until [`Self::commit`].
    ///
    /// There always is one. Of N + 2 slots, at most N are queued: a push beyond N evicts one, which becomes the spare, or
    /// fails to evict because the consumer took one. The consumer holds at most one, because it releases the held slot
    /// before it takes the next. So if the producer has no spare, at least one slot is in the free queue. The producer
    /// sees it there: B2 or B3 of the last commit saw the take (B1) that made room, which came after the release of the
    /// slot held before. A consumer that stopped in the middle of a call has lost one slot, which counts as the one it
    /// held.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn acquire(&mut self) -> Result<u32, RingError> {
        if let Some(index) = self.spare {
            return Ok(index);
        }
        let words = &self.control.block.producer;
        // The first iteration finds a slot unless the consumer is faulty, and the producer never waits.
        for _ in 0..self.control.slot_count {
            let Some(seen) = self.control.free.pop(&mut self.free_read) else { break };
            if let Some(index) = self.control.valid(seen) {
                words.spare.store(index, Relaxed);
                self.spare = Some(index);
                return Ok(index);
            }
            add_one(&words.faults);
        }
        Err(RingError::NoFreeSlot)
    }

    /// Queues the slot being filled. Does nothing if none was acquired since the last commit.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn commit(&mut self) -> CommitOutcome {
        let Some(index) = self.spare.take() else { return CommitOutcome { evicted: false } };
        let words = &self.control.block.producer;
        words.spare.store(NO_SLOT, Relaxed);
        let evicted = self.control.ready.push(&mut self.ready_write, index);
        add_one(&words.committed);
        if let Some(seen) = evicted {
            add_one(&words.evicted);
            self.spare = self.control.valid(seen);
            match self.spare {
                Some(index) => words.spare.store(index, Relaxed),
                None => add_one(&words.faults),
            }
        }
        CommitOutcome { evicted: evicted.is_some() }
    }

    /// The word that the consumer sleeps on, if it may be asleep: to call after a commit, and to wake whoever sleeps on it. Never
    /// waits.
    #[inline]
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn sleeper(&self) -> Option<&AtomicU32> {
        // F1, with F2: between the commit's store of the write position and the load of the flag.
        Site::WaiterObserve.fence();
        let is_waiting = self.control.block.consumer.waiting.load(Relaxed) != 0;
        is_waiting.then_some(self.control.ready.write)
    }

    /// Slots committed and not yet taken or evicted.
    pub fn backlog(&self) -> u32 {
        self.control.queued()
    }
}

impl Drop for IndexProducer<'_> {
    fn drop(&mut self) {
        // D1, with D2.
        self.control.block.producer.claimed.store(0, Site::Unclaim.order());
    }
}

/// The consumer's side. Owns at most one slot, the one being read.
pub struct IndexConsumer<'a> {
    control: Control<'a>,
    held: Option<u32>,
    free_write: u32,
    /// Faults counted before this handle.
    faults: u32,
}

impl IndexConsumer<'_> {
    /// Checks that the ring's memory holds a state that the two sides can have written.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn check(&self) -> Result<(), RingError> {
        self.control.check()?;
        let words = &self.control.block.consumer;
        own("consumer claimed", &words.claimed, 1)?;
        own("free_write", &words.free_write, self.free_write)?;
        own("held", &words.held, self.held.unwrap_or(NO_SLOT))?;
        own("consumer faults", &words.faults, self.faults)
    }

    /// Releases the held slot, then takes the oldest: the consumer owns it until the next take or [`Self::release`].
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take(&mut self) -> Option<u32> {
        self.release();
        let seen = self.control.ready.pop()?;
        let words = &self.control.block.consumer;
        add_one(&words.taken);
        self.held = self.control.valid(seen);
        match self.held {
            Some(index) => words.held.store(index, Relaxed),
            None => add_one(&words.faults),
        }
        self.held
    }

    /// Takes all queued slots and keeps the newest; also returns how many it supersedes. A slot that is committed during
    /// the call may stay queued.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn take_newest(&mut self) -> Option<(u32, u32)> {
        let mut newest = self.take()?;
        let mut superseded = 0;
        // A queue that is not empty stays so until this side takes: the producer evicts from a full queue only.
        while superseded < self.control.ready.capacity && self.backlog() > 0 {
            newest = self.take()?;
            superseded += 1;
        }
        Some((newest, superseded))
    }

    /// The ring's counters.
    pub fn counters(&self) -> RingCounters {
        self.control.counters()
    }

    /// The slot being read.
    pub fn held(&self) -> Option<u32> {
        self.held
    }

    /// Releases the held slot, if there is one.
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub fn release(&mut self) {
        if let Some(index) = self.held.take() {
            self.control.block.consumer.held.store(NO_SLOT, Relaxed);
            self.control.free.push(&mut self.free_write, index);
        }
    }

    /// Waits until a slot is queued or `sleep` returns false, and returns whether one is queued. `sleep` gets the word to sleep on
    /// and the value as long as which nothing is queued; it may return early.
    pub fn wait(&self, mut sleep: impl FnMut(&AtomicU32, u32) -> bool) -> bool {
        let Control { block, ready, .. } = &self.control;
        if ready.empty_at().is_none() {
            return true;
        }
        let waiting = &block.consumer.waiting;
        waiting.store(1, Relaxed);
        // F2, with F1: between the store of the flag and the load of the write position.
        Site::WaiterPublish.fence();
        let is_queued = loop {
            let Some(position) = ready.empty_at() else { break true };
            // The producer may move the position from here on; then it wakes this side, or the word has another value.
            if !sleep(ready.write, position) {
                break ready.empty_at().is_none();
            }
        };
        waiting.store(0, Relaxed);
        is_queued
    }

    /// Slots committed and not yet taken or evicted.
    pub fn backlog(&self) -> u32 {
        self.control.queued()
    }
}

impl Drop for IndexConsumer<'_> {
    fn drop(&mut self) {
        self.release();
        // D1, with D2.
        self.control.block.consumer.claimed.store(0, Site::Unclaim.order());
    }
}
