//! No number that is infinite or NaN becomes a contour: the object is lost, and an event says so.
#![allow(clippy::unwrap_used)]

mod common;
use common::{AlignedBytes, Memory, boxed, disc, every_frame, frame, only, section_record, state};
use sonotrace::format::{Dtype, Model, OpRecord, SectionKind, TensorSpace};
use sonotrace::hal::clock::ManualClock;
use sonotrace::hal::event::EventKind;
use sonotrace::hal::overlay::{OverlayObject, State};

/// Returns the small model without stored outputs, so that no self-test refuses it, with `value` as the first weight of the last
/// operation of a program that reads f32 or f16 weights.
fn with_weight(program: &str, value: f32) -> AlignedBytes {
    with_weight_of(program, 0, value).expect("an operation with weights")
}

/// The same for the operation with so many others of its kind behind it; `None` if there is none.
fn with_weight_of(program: &str, behind: usize, value: f32) -> Option<AlignedBytes> {
    let mut file = AlignedBytes::new(disc());
    let model = Model::parse(disc()).unwrap();
    let (_, record) = model.program(program).unwrap();
    let weights = |op: &OpRecord| {
        let read = op.operands[1..].iter().filter_map(|operand| model.tensors().get(operand.tensor as usize));
        read.copied().find(|tensor| {
            tensor.space() == Some(TensorSpace::Weights)
                && matches!(tensor.dtype(), Some(Dtype::F32 | Dtype::F16))
        })
    };
    let tensor = model.program_ops(record).iter().rev().filter_map(weights).nth(behind)?;
    let at = (section_record(disc(), SectionKind::Weights).offset + tensor.offset) as usize;
    match tensor.dtype() {
        Some(Dtype::F32) => file.bytes_mut()[at..at + 4].copy_from_slice(&value.to_le_bytes()),
        _ => file.bytes_mut()[at..at + 2].copy_from_slice(&half::f16::from_f32(value).to_le_bytes()),
    }
    let stored = |kind| matches!(kind, SectionKind::Golden | SectionKind::GoldenData);
    // The changed content gets its hash.
    Some(common::with_sections(file.bytes(), |kind| stored(kind).then_some(&[])))
}

/// Scans three frames with a box on the first; returns the object on each, and whether there was an event of a number that is not
/// finite. There is no object if a frame's features are not finite.
fn scanned(file: &AlignedBytes) -> (Vec<Option<OverlayObject>>, bool) {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let model = Model::parse(file.bytes()).unwrap();
    let mut scan = memory.try_open(model, every_frame(), &clock).unwrap();
    scan.prompt(boxed(1, [-5.0, 15.0, 5.0, 25.0])).unwrap();
    let objects = (1..=3).map(|seq| scan.overlay_of(&frame(seq)).objects().first().copied()).collect();
    (objects, scan.event_kinds().contains(&EventKind::NotFinite))
}

#[test]
fn no_contour_is_shown_of_values_that_are_not_finite() {
    for program in ["encoder", "decoder", "tracker"] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let file = with_weight(program, value);
            let clock = ManualClock::new(0);
            let mut memory = Memory::of(&every_frame());
            let model = Model::parse(file.bytes()).unwrap();
            let mut scan = memory.try_open(model, every_frame(), &clock).unwrap();
            scan.prompt(boxed(1, [-5.0, 15.0, 5.0, 25.0])).unwrap();
            for seq in 1..4 {
                let overlay = scan.overlay_of(&frame(seq));
                let shown = overlay.objects().iter().filter(|object| object.points > 0).count();
                assert_eq!(shown, 0, "{program}, {value}");
                assert!(
                    overlay.objects().iter().all(|object| state(object) == State::Lost),
                    "{program}, {value}"
                );
            }
            assert!(scan.event_kinds().contains(&EventKind::NotFinite), "{program}, {value}");
        }
    }
}

/// The same files with finite weights show the object.
#[test]
fn a_contour_is_shown_of_finite_values() {
    let file = with_weight("decoder", 0.5);
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    let mut scan = memory.try_open(Model::parse(file.bytes()).unwrap(), every_frame(), &clock).unwrap();
    scan.prompt(boxed(1, [-5.0, 15.0, 5.0, 25.0])).unwrap();
    let overlay = scan.overlay_of(&frame(1));
    assert!(only(&overlay).points > 0);
    assert!(!scan.event_kinds().contains(&EventKind::NotFinite));
}

/// Wherever a NaN gets in (into the mask, a score, or the tracker's memory), the object is lost with an event; if it has no effect, the
/// contours are the right ones.
#[test]
fn a_nan_anywhere_is_an_event_or_has_no_effect() {
    let (expected, _) = scanned(&AlignedBytes::new(disc()));
    let shows = |object: &Option<OverlayObject>| object.is_some_and(|object| object.points > 0);
    assert!(expected.iter().all(shows));
    for program in ["encoder", "decoder", "tracker"] {
        let mut lost = 0;
        for behind in 0.. {
            let Some(file) = with_weight_of(program, behind, f32::NAN) else { break };
            let (objects, is_told) = scanned(&file);
            for (seen, expected) in objects.iter().zip(&expected) {
                let same = seen.as_ref().map(bytemuck::bytes_of) == expected.as_ref().map(bytemuck::bytes_of);
                let is_lost = |object: &OverlayObject| state(object) == State::Lost && object.points == 0;
                assert!(same || is_told && seen.as_ref().is_none_or(is_lost), "{program}, {behind}");
            }
            if is_told {
                assert!(!shows(&objects[2]), "{program}, {behind}");
                lost += 1;
            }
        }
        assert!(lost > 2, "{lost} of {program}");
    }
}
