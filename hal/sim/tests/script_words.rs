//! The words of scripts for air, power, other patients, other tissue and moving shadows: reading, writing, and errors with the
//! number of the line.

use proptest::prelude::*;
use sonotrace_sim::script::Script;

#[test]
fn errors_name_line_and_fix() {
    let cases = [
        ("at 1 s power +3 dB", "script line 1: the power relative to full power is 3, not within -60..=0"),
        ("at 1 s power", "script line 1: expected a number, found the end of the line"),
        ("at 1 s air on", "script line 1: expected the end of the line, found `on`"),
        ("at 1 s patient cat", "script line 1: expected `own`, `heart` or `head`, found `cat`"),
        (
            "at 1 s patient heart size 10 %",
            "script line 1: the size of the patient is 10, not within 50..=150",
        ),
        ("at 1 s patient heart size 90", "script line 1: expected the unit `%`, found the end of the line"),
        ("at 1 s patient head seed x", "script line 1: expected a whole number, found `x`"),
        (
            "at 1 s patient head cycles 5 /min seed 3",
            "script line 1: expected `seed`, `size` and `cycles`, in this order, or the end of the line, found `seed`",
        ),
        ("at 1 s patient own heart", "script line 1: expected the end of the line, found `heart`"),
        ("beside 4 mm", "script line 1: expected `liver`, found `4`"),
        ("beside liver -1 mm", "the distance of the liver from the field of view is -1, not within 0..=150"),
        ("beside liver 1 mm\nbeside liver 2 mm", "script line 2: `beside` was set on line 1 already"),
        ("at 1 s slide 151 mm over 1 s", "script line 1: the slide is 151, not within -150..=150"),
        (
            "at 1 s shadow 1..9 deg -9 dB to 4 deg",
            "script line 1: expected a range such as `20..30`, found `4`",
        ),
        (
            "at 1 s shadow 1..9 deg -9 dB to 4..8 deg",
            "script line 1: expected `over`, found the end of the line",
        ),
        (
            "at 1 s shadow 1..9 deg -9 dB reflector +50 dB",
            "script line 1: the echo of a reflector is 50, not within -20..=40",
        ),
        (
            "at 1 s shadow 1..9 deg -9 dB reflector +5 dB below 3 mm",
            "script line 1: expected `below`, `reflector` and `to`, in this order, or the end of the line, found `below`",
        ),
    ];
    for (text, expected) in cases {
        let seen = Script::parse(text).expect_err("a bad script").to_string();
        assert!(seen.contains(expected), "{text:?}: {seen}");
    }
}

#[test]
fn another_patient_has_defaults() {
    let script = Script::parse("seed 6\nat 1 s patient head\n").expect("a valid script");
    assert!(
        script.to_string().ends_with("at 1 s patient head seed 7 size 100 % cycles 5 /min\n"),
        "{script}"
    );
}

fn event(unit: &'static str) -> impl Strategy<Value = String> {
    let band =
        || (-40.0..40.0f32, 0.2..40.0f32).prop_map(|(from, width)| format!("{from}..{}", from + width));
    let shadow = (
        (band(), -80.0..0.0f32),
        proptest::option::of(0.0..400.0f32),
        proptest::option::of(-20.0..40.0f32),
        proptest::option::of((band(), 0.0..600.0f32)),
    );
    let shadow = shadow.prop_map(move |((band, db), below, reflector, sweep)| {
        let below = below.map(|mm| format!(" below {mm} mm")).unwrap_or_default();
        let reflector = reflector.map(|db| format!(" reflector {db:+} dB")).unwrap_or_default();
        let sweep = sweep.map(|(band, s)| format!(" to {band} {unit} over {s} s")).unwrap_or_default();
        format!("shadow {band} {unit} {db} dB{below}{reflector}{sweep}")
    });
    let patient = (
        proptest::sample::select(vec!["heart", "head"]),
        proptest::option::of(any::<u64>()),
        proptest::option::of(50.0..150.0f32),
        proptest::option::of(0.0..300.0f32),
    );
    let patient = patient.prop_map(|(anatomy, seed, size, cycles)| {
        let seed = seed.map(|seed| format!(" seed {seed}")).unwrap_or_default();
        let size = size.map(|size| format!(" size {size} %")).unwrap_or_default();
        let cycles = cycles.map(|cycles| format!(" cycles {cycles} /min")).unwrap_or_default();
        format!("patient {anatomy}{seed}{size}{cycles}")
    });
    let action = prop_oneof![
        3 => shadow,
        3 => patient,
        1 => (-60.0..0.0f32).prop_map(|db| format!("power {db} dB")),
        1 => (-150.0..150.0f32, 0.0..5.0f32).prop_map(|(mm, s)| format!("slide {mm} mm over {s} s")),
        1 => proptest::sample::select(vec!["air", "air off", "patient own", "power 0 dB", "shadow off"])
            .prop_map(str::to_owned),
    ];
    (0.0..100.0f64, action).prop_map(|(at, action)| format!("at {at} s {action}\n"))
}

fn script_text() -> impl Strategy<Value = String> {
    let probe = prop_oneof![
        Just(("phased", "deg")),
        Just(("convex 45.5 mm", "deg")),
        Just(("linear 40.25 mm", "mm"))
    ];
    let beside = proptest::option::of(0.0..150.0f32);
    (probe, beside).prop_flat_map(|((probe, unit), beside)| {
        let beside = beside.map(|mm| format!("beside liver {mm} mm\n")).unwrap_or_default();
        let head = format!("probe {probe}\n{beside}duration 100 s\n");
        proptest::collection::vec(event(unit), 0..12)
            .prop_map(move |events| format!("{head}{}", events.concat()))
    })
}

proptest! {
    /// A script of these words that is written and read again is the same.
    #[test]
    fn scripts_round_trip(text in script_text()) {
        let script = Script::parse(&text);
        prop_assert!(script.is_ok(), "{:?}: {}", script, text);
        let written = script.as_ref().map(Script::to_string).unwrap_or_default();
        prop_assert_eq!(Script::parse(&written), script, "{}", written);
    }
}
