//! The runtime remembers, learns and sees as the reference in `models/` does: `models/tests/following_cases.json`, to which
//! Python is held too (`make_following_cases.py` there says how the inputs are made).

use serde_json::Value;
use sonotrace::exec::{Executor, ExecutorConfig, ExecutorLayout};
use sonotrace::format::{
    AlignedBytes, EVIDENCE, EVIDENCE_NAMES, Judgement, Model, RegressionRecord, TrackingRecord,
};
use sonotrace::kernels::arch::Instructions;
use sonotrace::kernels::pixels;
use sonotrace::tracking::attention::{Keys, TOGETHER, attend};
use sonotrace::tracking::evidence::{Checked, Comparison, Known, evidence_of, judge};
use sonotrace::tracking::looks::{Figures, FrameView, Looks, Sizes};
use sonotrace::tracking::memory::{FrameCopies, MEMORIES, MEMORY_COPIES, Memory, SLOTS};
use sonotrace::tracking::programs::{IDS, TrackerPrograms};
use sonotrace::tracking::warp::{Flow, Overlap, Reach, inside};
use sonotrace::tracking::{Gate, Objects, PLACES, vectors};
use std::path::Path;

fn cases() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/following_cases.json");
    let text = std::fs::read_to_string(&path).expect("the cases are in the repository");
    serde_json::from_str(&text).expect("JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is a number"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is a list"))
}

fn objects(value: &Value) -> Objects {
    list(value).iter().map(|place| number(place) as usize).fold(Objects::default(), Objects::with)
}

fn rules(cases: &Value) -> TrackingRecord {
    let of = |name: &str| number(&cases["rules"][name]);
    TrackingRecord {
        kept_every: of("kept_every") as u32,
        anchored_every: of("anchored_every") as u32,
        anchor_dice: of("anchor_dice") as f32,
        lost_below: of("lost_below") as f32,
        found_from: of("found_from") as f32,
        held_frames: of("held_frames") as u32,
        trust: of("trust") as f32,
        ..bytemuck::Zeroable::zeroed()
    }
}

const MASK: usize = 32;

/// Shares of two objects, whose squares of 8 pixels begin at these columns, with a soft edge.
fn squares(case: &Value) -> [Vec<f32>; 2] {
    [0, 1].map(|number_of_object| {
        let left = number(&list(&case["squares"])[number_of_object]) as usize;
        let share = |(row, column): (usize, usize)| match column.checked_sub(left) {
            Some(0..8) if row / 8 == number_of_object => 1.0,
            Some(8) if row / 8 == number_of_object => 0.4,
            _ => 0.0,
        };
        (0..MASK * MASK).map(|at| (at / MASK, at % MASK)).map(share).collect()
    })
}

/// The frames that a bank's copies hold.
type Held = [u64; MEMORY_COPIES as usize];

#[test]
fn frames_are_remembered_as_by_the_reference() {
    let cases = cases();
    let rules = rules(&cases);
    let followed = Objects::first(2);
    // Features have as many copies here that none is ever used again.
    let copies = |frame: u64, memory: &Memory| FrameCopies {
        features: frame as u32,
        memory: memory.free_memory(),
        motion: memory.free_motion(),
        shares: memory.free_shares(),
    };
    let start = FrameCopies { features: 0, memory: 0, motion: 0, shares: 0 };
    let mut memory = Memory::of_reference(&start, followed);
    let (mut in_memory, mut in_motion): (Held, Held) = Default::default();
    let mut in_shares: [[Vec<f32>; 2]; 2] = Default::default();
    in_shares[0] = squares(&serde_json::json!({"squares": [4, 12]}));
    let mut flow_is_zero = [true, false];
    for (frame, case) in (1..).zip(list(&cases["memory"])) {
        let written = copies(frame, &memory);
        in_memory[written.memory as usize] = frame;
        in_motion[written.motion as usize] = frame;
        flow_is_zero[written.motion as usize] = false;
        in_shares[written.shares as usize] = squares(case);
        memory.pass();
        let trusted = objects(&case["trusted"]);
        if !trusted.is_empty() {
            let flow = vec![1e-6; 2 * MASK / 2 * MASK / 2];
            let fits = |place: usize| {
                let (was, is) = (memory.anchor().shares as usize, written.shares as usize);
                let mut overlap = Overlap::default();
                let flow = Flow { values: &flow, side: MASK / 2 };
                let mut bits = [0; MASK * MASK / 64];
                inside(&in_shares[is][place], &mut bits);
                let reach = Reach::of(&in_shares[was][place], MASK, &flow);
                overlap.add(&in_shares[was][place], &bits, MASK, &flow, &reach, 0..MASK);
                memory.anchor().known.contains(place) && overlap.dice() >= rules.anchor_dice
            };
            let anchors = memory.anchor_is_due(&rules) && !trusted.only(|place| !fits(place)).is_empty();
            memory.remember(&rules, &written, trusted, anchors);
            flow_is_zero[written.motion as usize] = anchors;
        }
        if case["is_corrected"] == true {
            memory.correct(&written, trusted, None);
            flow_is_zero[memory.so_far() as usize] = true;
        }
        let held = |value: &Value| (number(&value[0]) as u64, objects(&value[1]));
        let slots: Vec<_> =
            memory.slots().iter().flatten().map(|slot| (in_memory[slot.copy as usize], slot.known)).collect();
        assert_eq!(slots, list(&case["slots"]).iter().map(held).collect::<Vec<_>>(), "frame {frame}");
        let previous = memory.previous();
        assert_eq!(
            (in_memory[previous.copy as usize], previous.known),
            held(&case["previous"]),
            "frame {frame}"
        );
        let anchor = memory.anchor();
        assert_eq!((u64::from(anchor.features), anchor.known), held(&case["anchor"]), "frame {frame}");
        let so_far = memory.so_far() as usize;
        let motion = (in_motion[so_far], flow_is_zero[so_far]);
        assert_eq!(motion, (number(&case["so_far"]) as u64, case["flow_is_zero"] == true), "frame {frame}");
        let known = memory.known();
        assert_eq!(known[SLOTS], Some(previous.known));
        assert_eq!((known.len(), known[MEMORIES - 1]), (MEMORIES, Some(anchor.known)));
    }
}

#[test]
fn the_gate_is_the_references() {
    let cases = cases();
    let (rules, followed, mut gate) = (rules(&cases), Objects::first(3), Gate::default());
    for (frame, case) in list(&cases["gate"]).iter().enumerate() {
        if let Some(place) = case["corrected"].as_u64() {
            gate.find(place as usize);
        }
        let mut trusted = [0.0; PLACES];
        for (trusted, value) in trusted.iter_mut().zip(list(&case["trusted"])) {
            *trusted = number(value) as f32;
        }
        let learnt = gate.judge(&rules, followed, &trusted);
        assert_eq!(learnt, objects(&case["learnt"]), "frame {frame}");
        assert_eq!(gate.found(followed), objects(&case["found"]), "frame {frame}");
    }
}

/// The user draws objects on the last frame and on an earlier one, removes some, and corrects others.
#[test]
fn references_are_given_and_taken_as_by_the_reference() {
    let cases = cases();
    let rules = rules(&cases);
    let copies = |frame: u64, memory: &Memory| FrameCopies {
        features: frame as u32,
        memory: memory.free_memory(),
        motion: memory.free_motion(),
        shares: memory.free_shares(),
    };
    let start = FrameCopies { features: 0, memory: 0, motion: 0, shares: 0 };
    let mut followed = Objects::first(1);
    let mut memory = Memory::of_reference(&start, followed);
    let mut in_memory: Held = Default::default();
    let mut taken_over = 0;
    for (frame, case) in (1..).zip(list(&cases["references"])) {
        let written = copies(frame, &memory);
        in_memory[written.memory as usize] = frame;
        memory.pass();
        let trusted = objects(&case["trusted"]);
        if !trusted.is_empty() {
            let unknown = trusted.only(|place| !memory.anchor().known.contains(place));
            memory.remember(&rules, &written, trusted, memory.anchor_is_due(&rules) && !unknown.is_empty());
        }
        let (place, found) = (number(&case["place"]) as usize, objects(&case["found"]));
        let room = match case["act"].as_str().unwrap_or_default() {
            "correct" => {
                memory.correct(&written, found, None);
                None
            }
            "draw" => {
                let room = memory.room_to_correct(found);
                if room.is_some() {
                    let pinned = memory.references().iter().filter(|of| !of.is_empty()).count();
                    taken_over += usize::from(pinned == SLOTS);
                    followed = followed.with(place);
                    memory.correct(&written, found, Some(place));
                }
                room
            }
            "earlier" => {
                let room = memory.room_for(Objects::default().with(place));
                if room.is_some() {
                    let copy = memory.free_memory();
                    in_memory[copy as usize] = frame - 2;
                    followed = followed.with(place);
                    memory.insert(copy, place);
                }
                room
            }
            "remove" => {
                followed = followed.without(place);
                memory.forget(place);
                None
            }
            _ => None,
        };
        assert_eq!(room.map_or(-1, |slot| slot as i64), case["room"].as_i64().unwrap_or(-1), "frame {frame}");
        let slots: Vec<_> = memory
            .slots()
            .iter()
            .zip(memory.references())
            .filter_map(|(slot, references)| Some((slot.as_ref()?, references)))
            .map(|(slot, of)| (in_memory[slot.copy as usize], slot.known, *of))
            .collect();
        let held = |value: &Value| (number(&value[0]) as u64, objects(&value[1]));
        let expected = list(&case["slots"]).iter().map(|slot| {
            let (frame, known) = held(slot);
            (frame, known, objects(&slot[2]))
        });
        assert_eq!(slots, expected.collect::<Vec<_>>(), "frame {frame}");
        let (previous, anchor) = (memory.previous(), memory.anchor());
        assert_eq!(
            (in_memory[previous.copy as usize], previous.known),
            held(&case["previous"]),
            "frame {frame}"
        );
        assert_eq!((u64::from(anchor.features), anchor.known), held(&case["anchor"]), "frame {frame}");
    }
    assert!(taken_over > 5, "{taken_over} references were taken over");
}

/// A frame writes to copies in which nothing is remembered: the executor refuses any other. On the packaged model, over the
/// same frames as above.
#[test]
fn the_trackers_programs_are_bound_to_copies_that_are_free() {
    let cases = cases();
    let rules = rules(&cases);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/sonosamlite.sono");
    let file = AlignedBytes::new(&std::fs::read(path).expect("the packaged model"));
    let model = Model::parse(file.bytes()).expect("a model");
    let programs = TrackerPrograms::find(&model).expect("a tracker");
    assert_eq!(programs.sizes, SIZES);
    let config = ExecutorConfig { kept_frames: 3, ..ExecutorConfig::default() };
    let needed = ExecutorLayout::new(model.header(), &config).expect("a layout").required();
    let mut region = AlignedBytes::zeroed(needed.bytes);
    let mut executor = Executor::new(model, config, region.bytes_mut()).expect("an executor");
    let mut memory = Memory::of_reference(
        &FrameCopies { features: 0, memory: 0, motion: 0, shares: 0 },
        Objects::first(2),
    );
    for case in list(&cases["memory"]) {
        let features = (memory.anchor().features + 1) % 4;
        let (in_memory, motion, shares) = (memory.free_memory(), memory.free_motion(), memory.free_shares());
        let frame = FrameCopies { features, memory: in_memory, motion, shares };
        memory.pass();
        executor
            .begin(programs.tracker, programs.tracker_copies(&memory, &frame).get())
            .expect("free copies");
        let mut known = [0.5; MEMORIES * IDS];
        TrackerPrograms::fill_known(&memory, &mut known);
        let background = |at: usize| known[at * IDS] == 1.0;
        assert_eq!((0..SLOTS).map(background).collect::<Vec<_>>(), memory.slots().map(|slot| slot.is_some()));
        let first = |at: usize| known[at * IDS + 1] == 1.0;
        assert_eq!(
            [first(SLOTS), first(SLOTS + 1)],
            [memory.previous().known, memory.anchor().known].map(|of| of.contains(0))
        );
        executor.begin(programs.memory, programs.memory_copies(&memory, &frame).get()).expect("free copies");
        let trusted = objects(&case["trusted"]);
        if !trusted.is_empty() {
            memory.remember(&rules, &frame, trusted, memory.anchor_is_due(&rules));
        }
        if case["is_corrected"] == true {
            memory.correct(&frame, trusted, None);
        }
    }
}

/// Values in [-0.5, 0.5) that any language computes with the same bits.
fn noise(seed: u32, count: usize) -> Vec<f32> {
    let value = |at: u32| {
        let mut x = at.wrapping_add(seed * 1_000_003).wrapping_mul(0x9E37_79B1);
        x = (x ^ (x >> 15)).wrapping_mul(0x85EB_CA77);
        x ^= x >> 13;
        (x >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count as u32).map(value).collect()
}

const SIZES: Sizes = Sizes { mask_side: 128, grid: 16, channels: 256, keys: 128, flow_side: 64 };

/// Odds of a disc with a soft edge.
fn disc([x, y, radius]: [f32; 3]) -> Vec<f32> {
    let at = |at: usize| ((at % SIZES.mask_side) as f32, (at / SIZES.mask_side) as f32);
    let odds =
        |(column, row): (f32, f32)| radius - ((column - x) * (column - x) + (row - y) * (row - y)).sqrt();
    (0..SIZES.pixels()).map(at).map(odds).collect()
}

/// Sum of two vectors.
fn sum(a: Vec<f32>, b: Vec<f32>) -> Vec<f32> {
    a.into_iter().zip(b).map(|(a, b)| a + b).collect()
}

/// A frame of noise with its two objects.
struct Frame {
    embedding: Vec<f32>,
    keys: Vec<f32>,
    grey: Vec<f32>,
    odds: [Vec<f32>; 2],
    iou: [f32; 2],
}

/// The first object's disc in the reference, the frame before, and now.
const DISCS: [[f32; 3]; 3] = [[64.0, 64.0, 22.0], [58.0, 52.0, 20.5], [60.0, 50.0, 19.0]];
const NOW: usize = 2;

fn frame(index: usize) -> Frame {
    let (seed, side) = (1 + index as u32, SIZES.mask_side);
    let [tokens, key_values] = [SIZES.channels * SIZES.tokens(), SIZES.keys * SIZES.tokens()];
    let full: Vec<f32> =
        noise(20 + seed, 4 * SIZES.pixels()).iter().map(|x| (x + 0.5) * (0.25 * seed as f32)).collect();
    let pooled = |at: usize| {
        let corner = at / side * 4 * side + at % side * 2;
        (full[corner] + full[corner + 1] + full[corner + 2 * side] + full[corner + 2 * side + 1]) / 4.0
    };
    let second = if index == NOW { vec![-3.0; SIZES.pixels()] } else { disc([100.0, 30.0, 6.0]) };
    Frame {
        embedding: sum(noise(0, tokens), noise(seed, tokens)),
        keys: sum(noise(10, key_values), noise(10 + seed, key_values)),
        grey: (0..SIZES.pixels()).map(pooled).collect(),
        odds: [disc(DISCS[index]), second],
        iou: [1.0 - 0.125 * seed as f32, if index == NOW { 0.0 } else { 0.5 }],
    }
}

#[test]
fn evidence_and_probabilities_are_the_references() {
    let cases = cases();
    let frames = [0, 1, 2].map(frame);
    let mut figures = [Figures::default(); 6];
    let mut words = vec![0; 6 * SIZES.mask_words()];
    let mut floats = vec![0.0; 6 * SIZES.look_floats()];
    let mut looks = Looks::new(SIZES, &mut figures, &mut words, &mut floats);
    for (index, frame) in frames.iter().enumerate() {
        let (mut scales, mut whole) = (vec![0.0; SIZES.tokens()], vec![0.0; SIZES.channels]);
        vectors::scales_of_columns(&frame.embedding, &mut scales);
        vectors::mean_direction(Instructions::best(), &frame.embedding, &scales, &mut whole);
        let view =
            FrameView { embedding: &frame.embedding, scales: &scales, whole: &whole, grey: &frame.grey };
        for object in 0..2 {
            let odds = &frame.odds[object];
            looks.describe(2 * index + object, &view, odds, frame.iou[object], Instructions::best());
        }
    }
    let mut scales = [0, NOW].map(|index| {
        let mut scales = vec![0.0; SIZES.tokens()];
        vectors::scales_of_rows(&frames[index].keys, &mut scales);
        scales
    });
    let [of_reference, of_now] = &mut scales;
    let reference = Keys { values: &frames[0].keys, scales: of_reference };
    let now = Keys { values: &frames[NOW].keys, scales: of_now };
    let tokens = SIZES.tokens();
    let (mut best, mut found, mut likes) =
        (vec![0.0; tokens], vec![0.0; 2 * tokens], vec![0.0; TOGETHER * tokens]);
    let cells = [0, 1].map(|object| (object, looks.get(object).cells()));
    // In parts, as a slice of a frame is.
    for range in [0..1, 1..100, 100..tokens] {
        attend(
            Instructions::best(),
            &now,
            &reference,
            cells.into_iter(),
            range,
            &mut best,
            &mut found,
            &mut likes,
        );
    }
    let record = TrackingRecord {
        regressions: [0, 1, 2].map(|at| RegressionRecord {
            weights: noise(30 + at, EVIDENCE).try_into().expect("as many"),
            bias: noise(40 + at, 1)[0],
        }),
        ..bytemuck::Zeroable::zeroed()
    };
    for object in 0..2 {
        let odds = &frames[NOW].odds[object];
        let tracked: Vec<f32> = odds.iter().map(|odds| odds + 0.75).collect();
        let drawn: Vec<f32> =
            if object == 1 { tracked.clone() } else { odds.iter().map(|odds| odds - 0.5).collect() };
        let of = [2 * NOW, 2, 0].map(|first| looks.get(first + object));
        let checked = Checked::new(&Comparison::of(Instructions::best(), &tracked, &drawn), &of[0], &of[2]);
        let known = Known { best: &best, found: &found[object * tokens..][..tokens] };
        let evidence = evidence_of(Instructions::best(), &SIZES, of.each_ref(), odds, &known, &checked, 3);
        let values: [f32; EVIDENCE] = bytemuck::cast(evidence);
        for (name, value) in EVIDENCE_NAMES.iter().zip(values) {
            let expected = number(&cases["seen"]["evidence"][name][object]);
            assert!(
                (f64::from(value) - expected).abs() <= 2e-5,
                "{name} of {object}: {value}, not {expected}"
            );
        }
        for (judgement, value) in Judgement::ALL.iter().zip(judge(&record, &evidence)) {
            let expected = number(&cases["seen"]["judged"][judgement.name()][object]);
            assert!(
                (f64::from(value) - expected).abs() <= 2e-5,
                "{judgement:?} of {object}: {value}, not {expected}"
            );
        }
    }
}

#[test]
fn odds_and_shares_are_the_references() {
    const PIXELS: usize = 6;
    let cases = cases();
    let (rules, followed, instructions) = (rules(&cases), Objects::first(3), Instructions::best());
    let close = |values: &[f32], expected: &Value, limit: f64| {
        for (value, expected) in values.iter().zip(list(expected)) {
            let expected = number(expected);
            assert!((f64::from(*value) - expected).abs() <= limit, "{value}, not {expected}");
        }
    };
    let mut values: Vec<f32> = noise(50, (PLACES + 1) * PIXELS).iter().map(|x| 24.0 * x).collect();
    for range in [0..1, 1..PIXELS] {
        pixels::softmax(instructions, &mut values, PIXELS, &[0, 1, 2, 3], range);
    }
    let mut odds = [0.0; PIXELS];
    // Odds near certainty are those of a probability that has few digits left.
    for id in 0..4 {
        pixels::logits(instructions, &values[id * PIXELS..][..PIXELS], &mut odds);
        close(&odds, &cases["pixels"]["odds"][id], 0.1);
    }
    let drawn: Vec<f32> = noise(51, PIXELS).iter().map(|x| 30.0 * x).collect();
    pixels::blend(instructions, &mut values[PIXELS..2 * PIXELS], &drawn, rules.trust);
    pixels::logits(instructions, &values[PIXELS..2 * PIXELS], &mut odds);
    close(&odds, &cases["pixels"]["mixed"], 1e-3);
    let mut shares = [0.0; (PLACES + 1) * PIXELS];
    for range in [0..4, 4..PIXELS] {
        pixels::shares(instructions, &values, PIXELS, &followed.ids(), &mut shares, range);
    }
    for id in 0..4 {
        close(&shares[id * PIXELS..][..PIXELS], &cases["pixels"]["shares"][id], 1e-4);
    }
    assert_eq!(shares[4 * PIXELS..], [0.0; (PLACES - 3) * PIXELS]);
}
