//! The committed C header matches the Rust source.
#![cfg(not(sonotrace_sanitizer))]
#![allow(clippy::unwrap_used)]

use sonotrace_hal::event::EventKind;
use sonotrace_hal::{frame, overlay};
use std::fmt::Write;
use std::path::Path;

/// A name in the form of C's constants: `FrameDropped` or `law_table` as `FRAME_DROPPED` or `LAW_TABLE`.
fn screaming(name: &str) -> String {
    let mut made = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !made.is_empty() {
            made.push('_');
        }
        made.push(letter.to_ascii_uppercase());
    }
    made
}

/// Kinds of events and fields of frames, which macros define: names, values and meanings.
fn codes() -> String {
    let mut made = String::from(
        "\n\n/* Kinds of events. The text of each names the meaning of `detail` and `value`. The detail of a dropped frame \
         is a\n * sonotrace_drop_reason_e, its value one of SONOTRACE_FRAME_FIELD_. Superseded and frozen frames, and those of \
         a close,\n * are counted without an event. */",
    );
    for kind in EventKind::ALL {
        let name = screaming(&format!("{kind:?}"));
        write!(made, "\n#define SONOTRACE_EVENT_{name} {} /* {} */", *kind as u32, kind.template()).unwrap();
    }
    made +=
        "\n\n/* The field that made a frame unusable: of the descriptor, but for the first and the last. */";
    for field in frame::FrameField::ALL {
        let name = screaming(field.name());
        write!(made, "\n#define SONOTRACE_FRAME_FIELD_{name} {}", field as u32).unwrap();
    }
    made
}

/// Functions of the header itself: they pass what the caller was compiled with.
const INLINE: &str = r#"/* The functions below are part of the caller: they tell the library the sizes that the caller was compiled with. */

/* Writes the settings for live scanning, and the sizes and the version of this header: newest frame only, 33 ms budget, a
 * 640 x 480 display, frames of up to 1 MiB. Returns SONOTRACE_STATUS_VERSION if this header is not that of the library. */
static inline sonotrace_status_e sonotrace_config_default(sonotrace_config_t *config) {
  sonotrace_status_e status = sonotrace_config_sized(config, (uint32_t)sizeof *config, SONOTRACE_ABI_VERSION);
  if (status == SONOTRACE_STATUS_OK) {
    config->descriptor_bytes = (uint32_t)sizeof(sonotrace_frame_descriptor_t);
    config->frame_slot_bytes = (uint32_t)sizeof(sonotrace_frame_slot_t);
    config->prompt_bytes = (uint32_t)sizeof(sonotrace_prompt_t);
    config->overlay_bytes = (uint32_t)sizeof(sonotrace_overlay_t);
    config->event_bytes = (uint32_t)sizeof(sonotrace_event_t);
  }
  return status;
}

/* Sets magic, version and size of a descriptor, and zeroes the rest. */
static inline sonotrace_status_e sonotrace_frame_descriptor_init(sonotrace_frame_descriptor_t *descriptor) {
  return sonotrace_frame_descriptor_sized(descriptor, sizeof *descriptor);
}

/* Reads the totals as of the last step: see sonotrace_counters_sized. */
static inline sonotrace_status_e sonotrace_counters(const sonotrace_session_t *session, sonotrace_counters_t *counters) {
  return sonotrace_counters_sized(session, counters, sizeof *counters);
}

/* Closes a session; `counters` may be null: see sonotrace_close_sized. */
static inline sonotrace_status_e sonotrace_close(sonotrace_session_t *session, sonotrace_counters_t *counters) {
  return sonotrace_close_sized(session, counters, sizeof *counters);
}
"#;

/// Constants that C needs besides the types: their names in C, their values, and what they mean if the name does not say
/// it.
fn constants() -> Vec<(&'static str, u64, &'static str)> {
    use overlay::{overlay_flags, valid};
    vec![
        ("SONOTRACE_FRAME_ABI_VERSION", frame::FRAME_ABI_VERSION.into(), ""),
        ("SONOTRACE_OVERLAY_ABI_VERSION", overlay::OVERLAY_ABI_VERSION.into(), ""),
        ("SONOTRACE_TGC_POINTS", frame::TGC_POINTS as u64, ""),
        ("SONOTRACE_LINES_MAX", frame::LINES_MAX.into(), ""),
        ("SONOTRACE_FRAME_FIELDS", frame::FRAME_FIELDS as u64, ""),
        ("SONOTRACE_SAMPLES_MAX", frame::SAMPLES_MAX.into(), ""),
        (
            "SONOTRACE_LAW_LINEAR",
            frame::LAW_LINEAR.into(),
            "proportional to the echo: the library compresses over law_range_db",
        ),
        (
            "SONOTRACE_LAW_LOGARITHMIC",
            frame::LAW_LOGARITHMIC.into(),
            "compressed already: 0 to full scale are law_range_db",
        ),
        (
            "SONOTRACE_LAW_VENDOR_TABLE",
            frame::LAW_VENDOR_TABLE.into(),
            "compressed already by table law_table of the configuration",
        ),
        (
            "SONOTRACE_FRAME_FROZEN",
            frame::flags::FROZEN.into(),
            "the image is frozen: the frame is dropped and counted",
        ),
        (
            "SONOTRACE_FRAME_BURNT_IN_OVERLAY",
            frame::flags::BURNT_IN_OVERLAY.into(),
            "text or graphics are burnt into the samples (for records: it changes nothing)",
        ),
        (
            "SONOTRACE_FRAME_REPLAYED",
            frame::flags::REPLAYED.into(),
            "a recorded cine, not a live frame (for records: it changes nothing)",
        ),
        (
            "SONOTRACE_FRAME_GAP_BEFORE",
            frame::flags::GAP_BEFORE.into(),
            "frames are missing before this one: its overlay says so too",
        ),
        (
            "SONOTRACE_FRAME_CRC_PRESENT",
            frame::flags::CRC_PRESENT.into(),
            "crc32 holds the checksum of the payload, and a step checks it",
        ),
        (
            "SONOTRACE_FRAME_TGC_PENDING",
            frame::flags::TGC_PENDING.into(),
            "the library applies tgc and gain_db; without it they have been applied",
        ),
        ("SONOTRACE_OBJECTS_MAX", overlay::OBJECTS_MAX as u64, ""),
        ("SONOTRACE_CONTOUR_POINTS_MAX", overlay::CONTOUR_POINTS_MAX as u64, ""),
        ("SONOTRACE_POLYGONS_MAX", overlay::POLYGONS_MAX as u64, ""),
        ("SONOTRACE_ANSWERS_MAX", overlay::ANSWERS_MAX as u64, ""),
        ("SONOTRACE_STAGES", overlay::STAGES as u64, ""),
        ("SONOTRACE_RUNGS", overlay::RUNGS as u64, ""),
        (
            "SONOTRACE_OVERLAY_UPDATE",
            overlay_flags::UPDATE.into(),
            "a further overlay of a frozen frame, after prompts changed its contours",
        ),
        (
            "SONOTRACE_OVERLAY_GAP_BEFORE",
            overlay_flags::GAP_BEFORE.into(),
            "frames are missing before this one, by its number or by its own flag",
        ),
        ("SONOTRACE_OVERLAY_FROZEN", overlay_flags::FROZEN.into(), "the image is frozen"),
        (
            "SONOTRACE_VALID_PIXELS",
            valid::PIXELS.into(),
            "area_px2, centroid_px; contour_px always holds `points` points",
        ),
        (
            "SONOTRACE_VALID_MILLIMETRES",
            valid::MILLIMETRES.into(),
            "contour_mm, area_mm2, perimeter_mm, both axes, centroid_mm: the scale is known",
        ),
        (
            "SONOTRACE_VALID_AT_BORDER",
            valid::AT_BORDER.into(),
            "the contour touches the border of the field of view or a sector's side: it may be cut off",
        ),
        ("SONOTRACE_VALID_ELLIPSE", valid::ELLIPSE.into(), "ellipse"),
        (
            "SONOTRACE_VALID_VOLUME",
            valid::VOLUME.into(),
            "volume; never of a contour at the border, which is cut off",
        ),
        ("SONOTRACE_VALID_BEAT", valid::BEAT.into(), "beat; only together with the volume"),
        (
            "SONOTRACE_VALID_ATTENTION",
            valid::ATTENTION.into(),
            "the user should check the contour: its state is attention, or was when it was computed, if it is stale now",
        ),
    ]
}

/// Phrases in the docs of the Rust types that name other items, and their replacements for C.
const WORDS: [(&str, &str); 20] = [
    ("[`Domain`]", "sonotrace_domain_e"),
    ("[`SampleType`]", "sonotrace_sample_type_e"),
    ("[`GeometryKind`]", "sonotrace_geometry_e"),
    ("[`State`]", "sonotrace_state_e"),
    ("[`Rung`]", "sonotrace_rung_e"),
    ("[`PromptOutcome`]", "sonotrace_prompt_outcome_e"),
    ("[`EventKind`]", "SONOTRACE_EVENT_"),
    ("[`DropReason`]", "sonotrace_drop_reason_e"),
    ("[`FrameField`]", "SONOTRACE_FRAME_FIELD_"),
    ("[`flags`]", "SONOTRACE_FRAME_"),
    ("[`overlay_flags`]", "SONOTRACE_OVERLAY_"),
    ("[`valid`]", "SONOTRACE_VALID_"),
    ("[`LAW_LINEAR`], [`LAW_LOGARITHMIC`], [`LAW_VENDOR_TABLE`]", "SONOTRACE_LAW_"),
    ("[`flags::CRC_PRESENT`]", "SONOTRACE_FRAME_CRC_PRESENT"),
    ("[`FRAME_ABI_VERSION`]", "SONOTRACE_FRAME_ABI_VERSION"),
    ("[`OVERLAY_ABI_VERSION`]", "SONOTRACE_OVERLAY_ABI_VERSION"),
    ("[`FRAME_MAGIC`]", "`SNTF` in memory order"),
    ("[`OVERLAY_MAGIC`]", "`SNTO` in memory order"),
    ("as [`STAGE_NAMES`] names them", "in order: queue, sample, encode, track, decode, contour"),
    (" is believed before [`Self::check`]", " is believed before it is checked"),
];

/// The header, generated from the current source.
fn header(folder: &Path) -> String {
    let mut config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut defines = String::new();
    for (name, value, meaning) in constants() {
        write!(defines, "\n#define {name} {value}").unwrap();
        if !meaning.is_empty() {
            write!(defines, " /* {meaning} */").unwrap();
        }
    }
    config.after_includes = Some(defines + &codes());
    config.trailer = Some(INLINE.to_owned());
    let enums: Vec<String> = config
        .export
        .rename
        .values()
        .filter(|name| name.ends_with("_e"))
        .map(|name| name.to_uppercase())
        .collect();
    let mut made = Vec::new();
    cbindgen::generate_with_config(folder, config).unwrap().write(&mut made);
    let mut made = String::from_utf8(made).unwrap();
    for name in enums {
        // SONOTRACE_STATUS_E_OK reads better without the type's suffix.
        made = made.replace(&format!("{name}_"), &format!("{}_", name.trim_end_matches("_E")));
    }
    for (rust, c) in WORDS {
        made = made.replace(rust, c);
    }
    // Each constant that is left out leaves an empty line.
    while made.contains("\n\n\n") {
        made = made.replace("\n\n\n", "\n\n");
    }
    // Lengths of arrays.
    for (name, ..) in constants() {
        made = made.replace(&format!("[{}]", name.trim_start_matches("SONOTRACE_")), &format!("[{name}]"));
    }
    made
}

/// `SONOTRACE_BLESS=1` rewrites the header.
#[test]
fn the_committed_header_matches_the_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = header(folder);
    let path = folder.join("include/sonotrace.h");
    if std::env::var_os("SONOTRACE_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "{} is not up to date: run with SONOTRACE_BLESS=1", path.display());
}
