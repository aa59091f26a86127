//! The committed C header matches the Rust source.
#![allow(clippy::unwrap_used)]

use sonotrace_hal::{frame, overlay};
use std::fmt::Write;
use std::path::Path;

/// Constants that C needs besides the types: their names in C, and their values.
fn constants() -> Vec<(&'static str, u64)> {
    use overlay::{overlay_flags, valid};
    vec![
        ("SONOTRACE_FRAME_ABI_VERSION", frame::FRAME_ABI_VERSION.into()),
        ("SONOTRACE_OVERLAY_ABI_VERSION", overlay::OVERLAY_ABI_VERSION.into()),
        ("SONOTRACE_TGC_POINTS", frame::TGC_POINTS as u64),
        ("SONOTRACE_LINES_MAX", frame::LINES_MAX.into()),
        ("SONOTRACE_SAMPLES_MAX", frame::SAMPLES_MAX.into()),
        ("SONOTRACE_LAW_LINEAR", frame::LAW_LINEAR.into()),
        ("SONOTRACE_LAW_LOGARITHMIC", frame::LAW_LOGARITHMIC.into()),
        ("SONOTRACE_LAW_VENDOR_TABLE", frame::LAW_VENDOR_TABLE.into()),
        ("SONOTRACE_FRAME_FROZEN", frame::flags::FROZEN.into()),
        ("SONOTRACE_FRAME_BURNT_IN_OVERLAY", frame::flags::BURNT_IN_OVERLAY.into()),
        ("SONOTRACE_FRAME_REPLAYED", frame::flags::REPLAYED.into()),
        ("SONOTRACE_FRAME_GAP_BEFORE", frame::flags::GAP_BEFORE.into()),
        ("SONOTRACE_FRAME_CRC_PRESENT", frame::flags::CRC_PRESENT.into()),
        ("SONOTRACE_FRAME_TGC_PENDING", frame::flags::TGC_PENDING.into()),
        ("SONOTRACE_OBJECTS_MAX", overlay::OBJECTS_MAX as u64),
        ("SONOTRACE_CONTOUR_POINTS_MAX", overlay::CONTOUR_POINTS_MAX as u64),
        ("SONOTRACE_POLYGONS_MAX", overlay::POLYGONS_MAX as u64),
        ("SONOTRACE_ANSWERS_MAX", overlay::ANSWERS_MAX as u64),
        ("SONOTRACE_STAGES", overlay::STAGES as u64),
        ("SONOTRACE_OVERLAY_UPDATE", overlay_flags::UPDATE.into()),
        ("SONOTRACE_OVERLAY_GAP_BEFORE", overlay_flags::GAP_BEFORE.into()),
        ("SONOTRACE_OVERLAY_FROZEN", overlay_flags::FROZEN.into()),
        ("SONOTRACE_VALID_PIXELS", valid::PIXELS.into()),
        ("SONOTRACE_VALID_MILLIMETRES", valid::MILLIMETRES.into()),
        ("SONOTRACE_VALID_AT_BORDER", valid::AT_BORDER.into()),
        ("SONOTRACE_VALID_ELLIPSE", valid::ELLIPSE.into()),
    ]
}

/// Phrases in the docs of the Rust types that name other items, and their replacements for C.
const WORDS: [(&str, &str); 18] = [
    ("[`Domain`]", "sonotrace_domain_e"),
    ("[`SampleType`]", "sonotrace_sample_type_e"),
    ("[`GeometryKind`]", "sonotrace_geometry_e"),
    ("[`State`]", "sonotrace_state_e"),
    ("[`Rung`]", "sonotrace_rung_e"),
    ("[`PromptOutcome`]", "sonotrace_prompt_outcome_e"),
    ("[`EventKind`]", "event kind"),
    ("[`flags`]", "SONOTRACE_FRAME_"),
    ("[`overlay_flags`]", "SONOTRACE_OVERLAY_"),
    ("[`valid`]", "SONOTRACE_VALID_"),
    ("[`LAW_LINEAR`], [`LAW_LOGARITHMIC`], [`LAW_VENDOR_TABLE`]", "SONOTRACE_LAW_"),
    ("[`flags::CRC_PRESENT`]", "SONOTRACE_FRAME_CRC_PRESENT"),
    ("[`FRAME_ABI_VERSION`]", "SONOTRACE_FRAME_ABI_VERSION"),
    ("[`OVERLAY_ABI_VERSION`]", "SONOTRACE_OVERLAY_ABI_VERSION"),
    ("[`FRAME_MAGIC`]", "`SNTF` in memory order"),
    ("[`OVERLAY_MAGIC`]", "`SNTO` in memory order"),
    ("as [`STAGE_NAMES`] names them", "in order: queue, sample, encode, decode, contour"),
    (" is believed before [`Self::check`]", " is believed before it is checked"),
];

/// The header, generated from the current source.
fn header(folder: &Path) -> String {
    let mut config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut defines = String::new();
    for (name, value) in constants() {
        write!(defines, "\n#define {name} {value}").unwrap();
    }
    config.after_includes = Some(defines);
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
    for (name, _) in constants() {
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
