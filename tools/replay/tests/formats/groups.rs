//! Functional groups of enhanced multi-frame images.

use crate::common::dicom::{EXPLICIT, File, IMPLICIT};
use crate::common::{assert_sound, refusal};
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use sonotrace_hal::frame::GeometryKind;
use sonotrace_replay::{Options, Recording, dicom};
use std::path::Path;

fn read(bytes: &[u8]) -> Recording {
    let recording = dicom::read(Path::new("a.dcm"), bytes, &Options::default()).unwrap();
    assert_sound(&recording);
    recording
}

fn sequence(items: Vec<InMemDicomObject>, tag: Tag) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// One item of functional groups with one sequence of one item.
fn group(tag: Tag, elements: Vec<(Tag, VR, PrimitiveValue)>) -> InMemDicomObject {
    let inner = elements.into_iter().map(|(tag, vr, value)| DataElement::new(tag, vr, value));
    let inner = InMemDicomObject::from_element_iter(inner);
    InMemDicomObject::from_element_iter([sequence(vec![inner], tag)])
}

fn window(centre: &str) -> InMemDicomObject {
    let text = |tag, text: &str| (tag, VR::DS, PrimitiveValue::from(text));
    group(
        tags::FRAME_VOILUT_SEQUENCE,
        vec![text(tags::WINDOW_CENTER, centre), text(tags::WINDOW_WIDTH, "40")],
    )
}

fn rescale(slope: &str) -> InMemDicomObject {
    let text = |tag, text: &str| (tag, VR::DS, PrimitiveValue::from(text));
    group(
        tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
        vec![text(tags::RESCALE_SLOPE, slope), text(tags::RESCALE_INTERCEPT, "255")],
    )
}

fn spacing(mm: &str) -> InMemDicomObject {
    group(tags::PIXEL_MEASURES_SEQUENCE, vec![(tags::PIXEL_SPACING, VR::DS, PrimitiveValue::from(mm))])
}

fn temporal(position: u32) -> InMemDicomObject {
    group(tags::FRAME_CONTENT_SEQUENCE, vec![(tags::TEMPORAL_POSITION_INDEX, VR::UL, position.into())])
}

fn dimensions(values: &[u32]) -> InMemDicomObject {
    let values = PrimitiveValue::U32(values.iter().copied().collect());
    group(tags::FRAME_CONTENT_SEQUENCE, vec![(tags::DIMENSION_INDEX_VALUES, VR::UL, values)])
}

/// Three frames of 8x4 pixels of the levels 90, 100 and 110.
fn file(syntax: &'static str, shared: Option<InMemDicomObject>, frames: Vec<InMemDicomObject>) -> Vec<u8> {
    let mut file = File::new(syntax, 8, 4);
    if let Some(shared) = shared {
        file.object.put(sequence(vec![shared], tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE));
    }
    if !frames.is_empty() {
        file.object.put(sequence(frames, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE));
    }
    file.frames(3).native(&[[90; 32], [100; 32], [110; 32]].concat())
}

fn levels(recording: &Recording) -> Vec<u8> {
    recording.frames.iter().map(|frame| frame.payload[0]).collect()
}

fn refused(bytes: &[u8]) -> String {
    refusal(dicom::read(Path::new("a.dcm"), bytes, &Options::default()))
}

#[test]
fn windows_and_rescaling_are_read_from_the_groups() {
    for syntax in [EXPLICIT, IMPLICIT] {
        // From 80 to 119.
        let expected = [65, 131, 196];
        assert_eq!(levels(&read(&file(syntax, Some(window("100")), vec![]))), expected);
        let alike = ["100"; 3].map(window).to_vec();
        assert_eq!(levels(&read(&file(syntax, None, alike))), expected);
    }
    let text = refused(&file(EXPLICIT, None, ["100", "100", "90"].map(window).to_vec()));
    assert!(text.contains("(0028,1050) WindowCenter: the window differs between frames; --window"), "{text}");
    let some = vec![window("100"), temporal(2), temporal(3)];
    assert!(refused(&file(EXPLICIT, None, some)).contains("the window differs between frames"));
    let options = Options { window: Some((100.0, 40.0).into()), ..Options::default() };
    let differing = file(EXPLICIT, None, ["100", "100", "90"].map(window).to_vec());
    let given = dicom::read(Path::new("a.dcm"), &differing, &options).unwrap();
    assert_eq!(levels(&given), [65, 131, 196]);
    assert_eq!(levels(&read(&file(EXPLICIT, Some(rescale("-1")), vec![]))), [165, 155, 145]);
    assert_eq!(levels(&read(&file(EXPLICIT, None, ["-1"; 3].map(rescale).to_vec()))), [165, 155, 145]);
    let text = refused(&file(EXPLICIT, None, ["1", "-1", "1"].map(rescale).to_vec()));
    assert!(
        text.contains("(0028,1053) RescaleSlope: the rescaling differs between frames; export"),
        "{text}"
    );
}

#[test]
fn pixel_measures_give_millimetres() {
    let scale = |bytes: &[u8]| {
        let recording = read(bytes);
        let descriptor = recording.frames[2].descriptor;
        (descriptor.geometry, [descriptor.spacing_x_mm, descriptor.spacing_y_mm], recording.notes)
    };
    let known = GeometryKind::Raster as u32;
    // Vertical first.
    let (kind, mm, notes) = scale(&file(EXPLICIT, Some(spacing("0.3\\0.2")), vec![]));
    assert_eq!((kind, mm), (known, [0.2, 0.3]));
    assert!(notes.iter().any(|note| note.contains("0.2000 x 0.3000 mm per pixel, from the pixel spacing")));
    assert_eq!(scale(&file(EXPLICIT, None, ["0.3\\0.2"; 3].map(spacing).to_vec())).1, [0.2, 0.3]);
    let differing = ["0.3\\0.2", "0.3\\0.2", "0.4\\0.2"].map(spacing).to_vec();
    for (bytes, reason) in [
        (file(EXPLICIT, None, differing), "the pixel spacing differs between frames"),
        (
            file(EXPLICIT, Some(spacing("30\\20")), vec![]),
            "0.005 to 1.9 mm are possible (the file must give millimetres)",
        ),
        (file(EXPLICIT, Some(spacing("0.3")), vec![]), "no ultrasound region"),
        (file(EXPLICIT, Some(spacing("x\\0.2")), vec![]), "the pixel spacing: its pixels would be"),
    ] {
        let (kind, _, notes) = scale(&bytes);
        assert_eq!(kind, GeometryKind::RasterUnknown as u32);
        assert!(notes.iter().any(|note| note.contains(reason)), "{notes:?}");
    }
}

#[test]
fn frames_are_read_in_the_order_of_time() {
    let read_in = |frames: Vec<InMemDicomObject>| {
        let recording = read(&file(EXPLICIT, None, frames));
        (levels(&recording), recording.notes.join("; "))
    };
    let (seen, notes) = read_in([2, 3, 1].map(temporal).to_vec());
    assert!(
        seen == [110, 90, 100] && notes.contains("in the order of their temporal positions"),
        "{seen:?}: {notes}"
    );
    let (seen, notes) = read_in([1, 2, 5].map(temporal).to_vec());
    assert!(seen == [90, 100, 110] && !notes.contains("order"), "{seen:?}: {notes}");
    let (seen, notes) = read_in([[1, 3], [1, 1], [1, 2]].map(|values| dimensions(&values)).to_vec());
    assert!(
        seen == [100, 110, 90] && notes.contains("in the order of their dimension indices"),
        "{seen:?}: {notes}"
    );
    for frames in [
        [1, 1, 2].map(temporal).to_vec(),
        [[2, 1], [1, 1], [1, 2]].map(|values| dimensions(&values)).to_vec(),
    ] {
        let (seen, notes) = read_in(frames);
        assert!(
            seen == [90, 100, 110] && notes.contains("slices of a volume and not a cine"),
            "{seen:?}: {notes}"
        );
    }
    let (seen, notes) = read_in([2, 1].map(temporal).to_vec());
    assert!(
        seen == [90, 100, 110] && notes.contains("2 functional groups for 3 frames"),
        "{seen:?}: {notes}"
    );
}
