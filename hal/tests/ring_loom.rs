//! The ring's protocol under loom: all interleavings, and all values that the memory model lets a load see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p sonotrace-hal --release --test ring_loom`
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use sonotrace_hal::ring::model::{IndexConsumer, IndexProducer, ModelMemory, Site, weaken};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The slots' bytes: loom fails on a write and another access that are not ordered.
type Slots = [UnsafeCell<u32>];

struct Shared {
    memory: ModelMemory,
    slots: Box<Slots>,
}

impl Shared {
    /// A ring whose positions wrap around after two steps.
    fn new(capacity: u32) -> Self {
        let memory = ModelMemory::new(capacity);
        let slots = (0..memory.layout().slot_count).map(|_| UnsafeCell::new(0)).collect();
        Self { memory, slots }
    }

    fn formatted(capacity: u32) -> Self {
        let shared = Self::new(capacity);
        shared.memory.control().format(shared.memory.layout(), u32::MAX - 1);
        shared
    }
}

/// A ring that lives until the end of a model's run, so that claimed handles can move into threads.
///
/// loom remembers only the last access to a word when it looks for interleavings to explore. A claim loads the words
/// that its side writes; in the thread itself, that load would hide the other side's loads.
struct Model(&'static Shared);

impl Model {
    fn new(capacity: u32) -> Self {
        Self(Box::leak(Box::new(Shared::formatted(capacity))))
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: from `Box::leak`; all threads of the model have been joined, and no handle is left.
            drop(unsafe { Box::from_raw(std::ptr::from_ref(self.0).cast_mut()) });
        }
    }
}

fn write(slots: &Slots, index: u32, value: u32) {
    // SAFETY: loom gives the pointer and checks that nobody else accesses the cell meanwhile.
    slots[index as usize].with_mut(|slot| unsafe { *slot = value });
}

fn read(slots: &Slots, index: u32) -> u32 {
    // SAFETY: loom gives the pointer and checks that nobody writes the cell meanwhile.
    slots[index as usize].with(|slot| unsafe { *slot })
}

/// Commits the next frame; returns the frame that this evicted.
fn produce(slots: &Slots, producer: &mut IndexProducer<'_>, seq: u32) -> Option<u32> {
    let index = producer.acquire().expect("the producer always finds a slot");
    write(slots, index, seq);
    if !producer.commit().evicted {
        return None;
    }
    // An evicted slot is the next to be filled, and holds what was committed.
    let index = producer.acquire().expect("the evicted slot");
    Some(read(slots, index))
}

/// Takes a frame. Every other one is released at once, the rest by the next take.
fn consume(slots: &Slots, consumer: &mut IndexConsumer<'_>) -> Option<u32> {
    let seq = consumer.take().map(|index| read(slots, index))?;
    if seq % 2 == 0 {
        consumer.release();
    }
    Some(seq)
}

fn increasing(seqs: &[u32]) -> bool {
    seqs.windows(2).all(|pair| pair[0] < pair[1])
}

/// The side that runs in the second thread; the other runs in the first. loom explores the threads in this order.
#[derive(Debug, Clone, Copy)]
enum Side {
    Producer,
    Consumer,
}

/// Runs both sides; returns their results.
fn side_by_side<P: 'static, C: 'static>(
    spawned: Side,
    produce: impl FnOnce() -> P + 'static,
    consume: impl FnOnce() -> C + 'static,
) -> (P, C) {
    match spawned {
        Side::Producer => {
            let producing = thread::spawn(produce);
            let consumed = consume();
            (producing.join().expect("the producer's own checks"), consumed)
        }
        Side::Consumer => {
            let consuming = thread::spawn(consume);
            let produced = produce();
            (produced, consuming.join().expect("the consumer's own checks"))
        }
    }
}

/// A producer of `frames` frames and a consumer that takes `takes` times; then every frame and slot is accounted for.
fn exchange(spawned: Side, capacity: u32, frames: u32, takes: u32) {
    let model = Model::new(capacity);
    let shared: &'static Shared = model.0;
    let control = shared.memory.control();
    let mut producer = control.producer().expect("the only producer");
    let mut consumer = control.consumer().expect("the only consumer");
    let (evicted, (mut delivered, mut consumer)) = side_by_side(
        spawned,
        move || (1..=frames).filter_map(|seq| produce(&shared.slots, &mut producer, seq)).collect::<Vec<_>>(),
        move || {
            let seqs = (0..takes).filter_map(|_| consume(&shared.slots, &mut consumer)).collect::<Vec<_>>();
            (seqs, consumer)
        },
    );

    let counters = control.counters();
    assert_eq!(counters.committed, frames);
    assert_eq!(counters.evicted as usize, evicted.len());
    assert_eq!(counters.taken as usize, delivered.len());
    assert_eq!(counters.committed, counters.evicted + counters.taken + control.queued());
    assert_eq!(counters.faults, 0);

    delivered.extend(core::iter::from_fn(|| consume(&shared.slots, &mut consumer)));
    assert!(increasing(&delivered) && increasing(&evicted), "{delivered:?} {evicted:?}");
    let mut all = [delivered, evicted].concat();
    all.sort_unstable();
    assert!(all.iter().copied().eq(1..=frames), "each frame exactly once: {all:?}");
    every_slot_once(shared, consumer);
}

/// As [`exchange`], with a consumer that takes the newest frame only.
fn newest(spawned: Side, capacity: u32, frames: u32) {
    let model = Model::new(capacity);
    let shared: &'static Shared = model.0;
    let mut producer = shared.memory.control().producer().expect("the only producer");
    let mut consumer = shared.memory.control().consumer().expect("the only consumer");
    let look = |consumer: &mut IndexConsumer<'_>| match consumer.take_newest() {
        Some((index, superseded)) => (read(&shared.slots, index), superseded + 1),
        None => (0, 0),
    };
    let (evicted, ((first, passed), mut consumer)) = side_by_side(
        spawned,
        move || (1..=frames).filter_map(|seq| produce(&shared.slots, &mut producer, seq)).count() as u32,
        move || (look(&mut consumer), consumer),
    );
    let (last, passed_last) = look(&mut consumer);
    assert!(if passed_last == 0 { first == frames } else { first < last && last == frames });
    assert_eq!(passed + passed_last + evicted, frames);
    every_slot_once(shared, consumer);
}

/// A producer that commits only if the ring is not full, like the command ring's: no command is evicted, and all are
/// taken in order.
fn command(spawned: Side, capacity: u32, wanted: u32, takes: u32) {
    let model = Model::new(capacity);
    let shared: &'static Shared = model.0;
    let mut producer = shared.memory.control().producer().expect("the only producer");
    let mut consumer = shared.memory.control().consumer().expect("the only consumer");
    let (committed, (mut taken, mut consumer)) = side_by_side(
        spawned,
        move || {
            let mut committed = Vec::new();
            for number in 1..=wanted {
                if producer.backlog() < capacity {
                    assert_eq!(produce(&shared.slots, &mut producer, number), None, "a command was evicted");
                    committed.push(number);
                }
            }
            committed
        },
        move || {
            let taken = (0..takes).filter_map(|_| consume(&shared.slots, &mut consumer)).collect::<Vec<_>>();
            (taken, consumer)
        },
    );
    taken.extend(core::iter::from_fn(|| consume(&shared.slots, &mut consumer)));
    assert_eq!(taken, committed);
    every_slot_once(shared, consumer);
}

/// With an empty queue, every slot passes through the producer once, whichever side held it.
fn every_slot_once(shared: &Shared, consumer: IndexConsumer<'_>) {
    drop(consumer);
    let control = shared.memory.control();
    let mut producer = control.producer().expect("the first producer is gone");
    let mut consumer = control.consumer().expect("the first consumer is gone");
    let mut seen: Vec<u32> = (0..shared.slots.len())
        .map(|_| {
            let index = producer.acquire().expect("as many as there are slots");
            assert!(!producer.commit().evicted);
            assert_eq!(consumer.take(), Some(index));
            consumer.release();
            index
        })
        .collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..shared.slots.len() as u32));
}

/// One thread drops a producer's handle with a slot half filled, another thread claims it.
fn handover() {
    let shared = Arc::new(Shared::formatted(1));
    let other = shared.clone();
    let first = thread::spawn(move || {
        let mut producer = other.memory.control().producer().ok()?;
        let index = producer.acquire().expect("the producer always finds a slot");
        write(&other.slots, index, 1);
        Some(index)
    });
    let second = shared.memory.control().producer().ok().map(|mut producer| {
        let index = producer.acquire().expect("the producer always finds a slot");
        write(&shared.slots, index, 2);
        index
    });
    let first = first.join().expect("the first producer's own checks");
    assert!(first.is_some() || second.is_some(), "a free side can be claimed");
    if let (Some(first), Some(second)) = (first, second) {
        assert_eq!(first, second, "the slot being filled stays with the producer");
    }
}

/// One thread lays the ring out, another uses it as soon as it sees it.
fn publish() {
    let shared = Arc::new(Shared::new(1));
    let other = shared.clone();
    let creating = thread::spawn(move || {
        other.slots.iter().for_each(|slot| slot.with_mut(|_| ()));
        other.memory.control().format(other.memory.layout(), 7);
    });
    if shared.memory.is_published() {
        let mut producer = shared.memory.control().producer().expect("nobody else claims");
        assert_eq!(produce(&shared.slots, &mut producer, 1), None);
    }
    creating.join().expect("laid out");
}

/// The system's futex: a thread sleeps only if the word still has the value, and looks at it under the lock under which others are
/// woken.
#[derive(Default)]
struct Futex {
    lock: Mutex<()>,
    woken: Condvar,
}

impl Futex {
    fn sleep_while(&self, word: &AtomicU32, value: u32) {
        let lock = self.lock.lock().expect("no thread panics");
        if word.load(Ordering::Relaxed) == value {
            drop(self.woken.wait(lock).expect("no thread panics"));
        }
    }

    fn wake(&self) {
        let _lock = self.lock.lock().expect("no thread panics");
        self.woken.notify_one();
    }
}

/// A consumer that sleeps until there is a frame, without a time limit: if it is not woken, the model is stuck, which loom reports.
fn sleep(spawned: Side, frames: u32) {
    let model = Model::new(2);
    let shared: &'static Shared = model.0;
    let futex = Arc::new(Futex::default());
    let waking = futex.clone();
    let mut producer = shared.memory.control().producer().expect("the only producer");
    let mut consumer = shared.memory.control().consumer().expect("the only consumer");
    let ((), last) = side_by_side(
        spawned,
        move || {
            for seq in 1..=frames {
                produce(&shared.slots, &mut producer, seq);
                if producer.sleeper().is_some() {
                    waking.wake();
                }
            }
        },
        move || {
            let mut last = 0;
            while last < frames {
                let is_queued = consumer.wait(|word, position| {
                    futex.sleep_while(word, position);
                    true
                });
                assert!(is_queued);
                last = consume(&shared.slots, &mut consumer).expect("what was waited for");
            }
            last
        },
    );
    assert_eq!(last, frames);
}

/// Explores a model; `preemptions` bounds the preemptions of a run. Returns the number of interleavings.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) -> usize {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let inside = count.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        inside.fetch_add(1, SeqCst);
        model();
    });
    count.load(SeqCst)
}

/// Minimum number of interleavings of a model that works: see [`Model`].
const LEAST: usize = 200;

#[test]
fn each_frame_and_each_slot_is_accounted_for_producer_spawned() {
    for (capacity, frames, takes) in [(1, 3, 2), (1, 4, 2), (1, 4, 3), (2, 4, 2), (2, 5, 3)] {
        assert!(explore(3, move || exchange(Side::Producer, capacity, frames, takes)) > LEAST);
    }
}

#[test]
fn each_frame_and_each_slot_is_accounted_for_consumer_spawned() {
    for (capacity, frames, takes) in [(1, 3, 2), (1, 4, 2), (1, 4, 3), (2, 4, 2), (2, 5, 3)] {
        assert!(explore(3, move || exchange(Side::Consumer, capacity, frames, takes)) > LEAST);
    }
}

#[test]
fn the_newest_frame_is_taken_and_the_others_are_counted() {
    for spawned in [Side::Producer, Side::Consumer] {
        for (capacity, frames) in [(1, 3), (1, 4), (2, 4)] {
            assert!(explore(3, move || newest(spawned, capacity, frames)) > LEAST);
        }
    }
}

/// Only with the consumer spawned: a spawned producer that loads the backlog first hides the consumer's loads from loom
/// (see [`Model`]).
#[test]
fn commands_are_refused_but_never_evicted() {
    for (wanted, takes) in [(3, 3), (4, 2), (4, 4)] {
        assert!(explore(3, move || command(Side::Consumer, 2, wanted, takes)) > LEAST);
    }
}

#[test]
fn a_side_passes_from_one_thread_to_another() {
    explore(3, handover);
}

#[test]
fn a_ring_is_used_as_soon_as_its_magic_is_seen() {
    explore(3, publish);
}

#[test]
fn a_sleeping_consumer_is_woken_producer_spawned() {
    for frames in [1, 2] {
        assert!(explore(3, move || sleep(Side::Producer, frames)) > 10);
    }
}

#[test]
fn a_sleeping_consumer_is_woken_consumer_spawned() {
    for frames in [1, 2] {
        assert!(explore(3, move || sleep(Side::Consumer, frames)) > 10);
    }
}

/// Orderings that no model requires, with the reason.
const UNSEEN: [(Site, &str); 0] = [];

#[test]
fn no_ordering_can_be_weakened() {
    for site in Site::ALL {
        weaken::only(Some(site));
        let fails = |model: fn()| catch_unwind(AssertUnwindSafe(|| explore(3, model))).is_err();
        let seen = fails(handover)
            || fails(publish)
            || fails(|| sleep(Side::Producer, 1))
            || fails(|| sleep(Side::Consumer, 1))
            || fails(|| exchange(Side::Producer, 1, 3, 2))
            || fails(|| exchange(Side::Producer, 2, 4, 2))
            || fails(|| exchange(Side::Producer, 1, 4, 3))
            || fails(|| exchange(Side::Consumer, 1, 4, 3));
        weaken::only(None);
        assert_eq!(seen, !UNSEEN.iter().any(|(unseen, _)| *unseen == site), "{site:?}");
    }
}
