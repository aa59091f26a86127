//! Scripts of what happens in every examination: the probe slides away and comes back, shadows, other depths and gains, air,
//! another patient.
//!
//! They are the kinds of hard loops that the models are trained and evaluated on (`models/sonotrace_models/data/hard.py`), as
//! polar frames of a simulated scanner. Each says in its comments what happens on which frame.

/// Names and texts of the scripts, in the order of the kinds of hard loops. [`Script::parse`](crate::script::Script::parse)
/// reads each.
pub const SCRIPTS: [(&str, &str); 9] = [
    ("slide", include_str!("../scripts/slide.scan")),
    ("slide_long", include_str!("../scripts/slide_long.scan")),
    ("slide_tissue", include_str!("../scripts/slide_tissue.scan")),
    ("shadow", include_str!("../scripts/shadow.scan")),
    ("depth", include_str!("../scripts/depth.scan")),
    ("gain", include_str!("../scripts/gain.scan")),
    ("air", include_str!("../scripts/air.scan")),
    ("other_patient", include_str!("../scripts/other_patient.scan")),
    ("long", include_str!("../scripts/long.scan")),
];

/// The text of the script `name`; `None` if there is none of that name.
pub fn text(name: &str) -> Option<&'static str> {
    SCRIPTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
