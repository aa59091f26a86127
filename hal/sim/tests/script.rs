//! Scripts: reading, writing, errors with the number of the line, and playing.

use proptest::prelude::*;
use sonotrace_hal::command::PromptKind;
use sonotrace_hal::frame::{FrameError, flags};
use sonotrace_hal::geometry::Geometry;
use sonotrace_hal::ring::{FrameRing, RingError};
use sonotrace_sim::script::{Delivery, Expected, Fault, LATE_FRAMES, Request, Script, ScriptedScan, Step};
use sonotrace_sim::{SimConfig, Simulator};

const TEN_MINUTES: &str = include_str!("data/ten_minutes.scan");

/// Small frames at 10 a second, so that frame times are tenths.
const HEAD: &str = "lines 16\nsamples 48\nrate 10 hz\ndensity 0.03\nduration 3 s\n";

fn script(events: &str) -> Script {
    Script::parse(&format!("{HEAD}{events}")).expect("a valid script")
}

fn play(events: &str) -> Vec<Step> {
    ScriptedScan::new(&script(events)).expect("a valid scan").collect()
}

fn refused(text: &str) -> String {
    Script::parse(text).expect_err("a bad script").to_string()
}

#[test]
fn errors_name_the_line() {
    let cases = [
        ("lines 64\nlnes 3", "script line 2: expected a setting (phantom, "),
        ("# one\n\nlines x", "script line 3: expected a whole number, found `x`"),
        ("lines", "script line 1: expected a whole number, found the end of the line"),
        ("lines 1", "script line 1: the number of lines is 1, not within 2..=4096"),
        ("depth 150", "script line 1: expected the unit `mm`, found the end of the line"),
        ("depth 150 cm", "script line 1: expected the unit `mm`, found `cm`"),
        ("depth nan mm", "script line 1: the depth is NaN, not within 20..=400"),
        ("seed 1\nseed 2", "script line 2: `seed` was set on line 1 already"),
        ("probe square", "script line 1: expected `phased`, `convex` or `linear`, found `square`"),
        (
            "probe linear 40 mm\nsector 60 deg",
            "script line 2: expected `width`, because a linear probe has no sector",
        ),
        ("at 1 s width 3 mm", "script line 1: expected `sector`, because only a linear probe has a width"),
        ("at 1 s\n", "script line 1: expected an action (click, "),
        ("at 1 s explode\n", "resume, shadow, late, duplicate, missing, short_payload"),
        (
            "duration 5 s\nat 6 s late",
            "script line 2: the time of an event within the scan is 6, not within 0..=5",
        ),
        (
            "at 1 s late\nlines 3",
            "script line 2: expected `at`, because settings come before the first event, found `lines`",
        ),
        ("at 1 s late late", "script line 1: expected the end of the line, found `late`"),
        ("at 1 s gain +80 dB\n", "script line 1: the gain, all changes added up, is 80, not within -60..=60"),
        ("at 2 s gain +40 dB\nat 1 s gain +30 dB", "script line 1: the gain, all changes added up, is 70"),
        ("at 1 s shadow 5 deg -3 dB", "script line 1: expected `off` or a range such as `20..30`, found `5`"),
        ("at 1 s shadow 9..5 deg -3 dB", "script line 1: the width of a shadow is -4, not within 0.1..=180"),
        ("at 1 s click 0 \"left ventricle\"", "script line 1: the number of an object is 0, not within 1..="),
        ("at 1 s click 1 left", "script line 1: expected a name in quotation marks, found `left`"),
        (
            "at 1 s click 1 \"liver\"",
            "script line 1: the phantom has no object \"liver\", only [\"left ventricle\", ",
        ),
        ("phantom head\nat 1 s box 1 \"left atrium\"", "script line 2: the phantom has no object"),
        ("lines 64\nat 1 s large 64 lines", "script line 2: the number of lines is 64, not within 65..=8192"),
        (
            "probe convex 60 mm\nsector 179 deg\nat 1 s slide 3 mm",
            "script line 3: expected `over`, found the end of",
        ),
    ];
    for (text, expected) in cases {
        let seen = refused(text);
        assert!(seen.contains(expected), "{text:?}: {seen}");
    }
}

#[test]
fn defaults_follow_phantom_and_probe() {
    let config = |text: &str| Script::parse(text).expect("a valid script").settings().config();
    assert_eq!(config(""), SimConfig::default());
    assert_eq!(config("phantom head"), SimConfig::fetal_head());
    // A probe's line may come after a setting whose default it changes.
    assert_eq!(
        config("sector 50 deg\nprobe convex 60 mm\nphantom head"),
        config("phantom head\nsector 50 deg")
    );
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{1,9}",
        (-400.0..400.0f32).prop_map(|value| value.to_string()),
        prop_oneof![
            "at",
            "s",
            "mm",
            "deg",
            "dB",
            "hz",
            "click",
            "shadow",
            "\"left atrium\"",
            "1..2",
            "over",
            "#",
            "\n"
        ],
    ]
}

/// An event line of any kind, with numbers that need all their digits.
fn event() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("left ventricle"), Just("left atrium"), Just("myocardium")];
    let number = |limits: core::ops::Range<f32>| limits;
    let action = prop_oneof![
        number(-9.0..9.0).prop_map(|db| format!("gain {db:+} dB")),
        (-60.0..60.0f32, 0.0..5.0f32).prop_map(|(mm, s)| format!("slide {mm} mm over {s} s")),
        (0.0..5.0f32).prop_map(|s| format!("return over {s} s")),
        number(40.0..200.0).prop_map(|mm| format!("depth {mm} mm")),
        number(20.0..120.0).prop_map(|deg| format!("sector {deg} deg")),
        (-30.0..0.0f32, 1.0..40.0f32, -80.0..0.0f32)
            .prop_map(|(from, width, db)| format!("shadow {from}..{} deg {db} dB", from + width)),
        (-30.0..0.0f32, 0.0..40.0f32).prop_map(|(db, mm)| format!("shadow -5..5 deg {db} dB below {mm} mm")),
        (1u32..9, name.clone(), 0u32..65)
            .prop_map(|(object, name, ago)| format!("click {object} \"{name}\" {ago} frames ago")),
        (1u32..9, name.clone()).prop_map(|(object, name)| format!("click {object} not \"{name}\"")),
        (1u32..9, name).prop_map(|(object, name)| format!("box {object} \"{name}\"")),
        (1u32..9).prop_map(|object| format!("remove {object}")),
        (1u32..99).prop_map(|frames| format!("missing {frames}")),
        (600u32..900).prop_map(|lines| format!("large {lines} lines")),
        proptest::sample::select(vec![
            "shadow off",
            "freeze",
            "resume",
            "late",
            "duplicate",
            "short_payload",
            "short_announced",
            "long_payload",
            "corrupt",
            "bad_geometry",
            "impossible_geometry",
            "clock_restart",
            "seq_restart",
        ])
        .prop_map(str::to_owned),
    ];
    (0.0..100.0f64, action).prop_map(|(at, action)| format!("at {at} s {action}\n"))
}

proptest! {
    /// Arbitrary words give a script or an error, never a panic.
    #[test]
    fn arbitrary_words_never_panic(words in proptest::collection::vec(word(), 0..40)) {
        let _ = Script::parse(&words.join(" "));
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
        let _ = Script::parse(&text);
        let _ = Script::parse(&format!("at 1 s click 1 {text}"));
        let _ = Script::parse(&format!("at 1 s shadow {text}"));
    }

    /// A script that is written and read again is the same.
    #[test]
    fn scripts_round_trip(
        seed in any::<u64>(),
        (lines, samples, depth) in (2u32..600, 2u32..900, 40.0..300.0f32),
        (rate, range, density) in (1.0..100.0f32, 1.0..200.0f32, 0.01..2.0f32),
        output in proptest::sample::select(vec!["log", "linear", "iq"]),
        probe in prop_oneof![
            Just("phased".to_owned()),
            (5.0..200.0f32).prop_map(|radius| format!("convex {radius} mm")),
        ],
        events in proptest::collection::vec(event(), 0..12),
    ) {
        let text = format!(
            "probe {probe}\nseed {seed}\nlines {lines}\nsamples {samples}\ndepth {depth} mm\nrate {rate} hz\n\
             range {range} dB\ndensity {density}\noutput {output}\nduration 100 s\n{}",
            events.concat()
        );
        match Script::parse(&text) {
            Ok(script) => {
                let written = script.to_string();
                prop_assert_eq!(Script::parse(&written), Ok(script), "{}", written);
            }
            // Only the sum of the gains can be out of its limits.
            Err(error) => prop_assert!(error.to_string().contains("all changes added up"), "{error}"),
        }
    }
}

#[test]
fn linear_scripts_round_trip() {
    let text = "phantom head\nprobe linear 40 mm\nat 1 s width 30.5 mm\nat 2 s shadow -4..3.25 mm -9 dB\n";
    let script = Script::parse(text).expect("a valid script");
    assert_eq!(Script::parse(&script.to_string()), Ok(script));
}

/// Without events, a scripted scan has the simulator's frames.
#[test]
fn a_script_without_events_is_a_plain_scan() {
    let steps = play("");
    assert_eq!(steps.len(), 30);
    let sim = Simulator::new(script("").settings().config()).expect("a valid configuration");
    for step in &steps {
        let [delivery] = &step.deliveries[..] else {
            panic!("frame {}: {:?}", step.index, step.deliveries.len())
        };
        let frame = sim.frame(step.index);
        assert_eq!((delivery.descriptor, &delivery.payload), (frame.descriptor, &frame.payload));
        assert_eq!(delivery.truth, frame.truth);
        assert_eq!((delivery.expected, delivery.fault, step.fault), (Expected::Good, None, None));
        assert!(step.requests.is_empty());
    }
}

fn good(delivery: &Delivery) {
    delivery.descriptor.check().expect("a good descriptor");
    delivery.descriptor.check_payload(&delivery.payload).expect("a good payload");
    assert_eq!(delivery.truth.len(), 3);
}

/// Sequence number and time in ms of each delivery of a step.
fn numbers(step: &Step) -> Vec<(u64, u64)> {
    step.deliveries.iter().map(|d| (d.descriptor.seq, d.descriptor.t_acq_ns / 1_000_000)).collect()
}

#[test]
fn faults_of_order_and_time() {
    let steps = play(
        "at 0.5 s late\nat 1 s duplicate\nat 1.2 s missing 3\nat 2 s clock_restart\nat 2.5 s seq_restart\n",
    );
    assert_eq!((steps[5].fault, steps[5].deliveries.len()), (Some(Fault::Late), 0));
    assert_eq!(numbers(&steps[6]), [(7, 600)]);
    let overtaken = &steps[5 + LATE_FRAMES as usize];
    assert_eq!(numbers(overtaken), [(8, 700), (6, 500)]);
    assert_eq!(overtaken.deliveries[1].expected, Expected::OutOfOrder);
    assert_eq!(overtaken.deliveries[1].fault, Some(Fault::Late));
    assert_eq!(numbers(&steps[10]), [(11, 1000), (11, 1000)]);
    assert_eq!(steps[10].deliveries[0].payload, steps[10].deliveries[1].payload);
    let expected: Vec<Expected> = steps[10].deliveries.iter().map(|delivery| delivery.expected).collect();
    assert_eq!(expected, [Expected::Good, Expected::OutOfOrder]);
    for step in &steps[12..15] {
        assert!(step.deliveries.is_empty() && matches!(step.fault, Some(Fault::Missing { .. })));
    }
    assert_eq!(numbers(&steps[15]), [(16, 1500)]);
    assert_eq!(steps[15].deliveries[0].descriptor.flags & flags::GAP_BEFORE, flags::GAP_BEFORE);
    assert_eq!(steps[16].deliveries[0].descriptor.flags & flags::GAP_BEFORE, 0);
    assert_eq!(numbers(&steps[20]), [(21, 0)]);
    assert_eq!(steps[20].deliveries[0].expected, Expected::Restarted);
    assert_eq!(numbers(&steps[21]), [(22, 100)]);
    assert_eq!(steps[21].deliveries[0].expected, Expected::Good);
    assert_eq!(numbers(&steps[25]), [(1, 500)]);
    assert_eq!(steps[25].deliveries[0].expected, Expected::Restarted);
    for delivery in steps.iter().flat_map(|step| &step.deliveries) {
        delivery.descriptor.check().expect("well formed");
        delivery.descriptor.check_payload(&delivery.payload).expect("well formed");
        if matches!(delivery.expected, Expected::Good | Expected::Restarted) {
            good(delivery);
        } else {
            assert!(delivery.truth.is_empty());
        }
    }
}

#[test]
fn malformed_faults_are_refused() {
    let steps = play(
        "at 0.1 s short_payload\nat 0.2 s short_announced\nat 0.3 s long_payload\nat 0.4 s corrupt\n\
         at 0.5 s bad_geometry\nat 0.6 s impossible_geometry\nat 0.7 s large 20 lines\n",
    );
    let mut region = vec![0u8; 65_536];
    let skip = region.as_ptr().align_offset(sonotrace_hal::ring::ALIGN);
    let ring = FrameRing::create(&mut region[skip..], 2, 16 * 48).expect("a ring");
    let (mut producer, mut consumer) = (ring.producer().expect("free"), ring.consumer().expect("free"));
    let mut push = |delivery: &Delivery| producer.push(&delivery.descriptor, &delivery.payload).map(|_| ());
    for (index, step) in steps.iter().enumerate() {
        let [delivery] = &step.deliveries[..] else { panic!("frame {index}") };
        let pushed = push(delivery);
        assert_eq!(delivery.descriptor.seq, index as u64 + 1);
        if !(1..8).contains(&index) {
            good(delivery);
            assert_eq!(pushed, Ok(()));
            continue;
        }
        assert_eq!((delivery.expected, delivery.fault), (Expected::Malformed, step.fault));
        assert!(delivery.truth.is_empty());
        let checked = delivery.descriptor.check();
        match delivery.fault.expect("a fault") {
            Fault::ShortPayload => {
                assert_eq!(pushed, Err(RingError::PayloadShort { announced: 768, given: 720 }));
            }
            Fault::LongPayload => {
                assert_eq!(pushed, Err(RingError::PayloadTooLarge { given: 816, capacity: 768 }));
                assert_eq!(checked, Err(FrameError::Payload { seen: 816, needed: 768 }));
            }
            Fault::Large { lines: 20 } => {
                assert_eq!(pushed, Err(RingError::PayloadTooLarge { given: 960, capacity: 768 }));
                let checked = checked.expect("a consistent descriptor");
                assert_eq!((checked.lines, checked.payload_bytes), (20, 960));
                delivery.descriptor.check_payload(&delivery.payload).expect("a consistent payload");
            }
            Fault::ShortAnnounced => assert_eq!(checked, Err(FrameError::Payload { seen: 720, needed: 768 })),
            Fault::Corrupt => {
                checked.expect("a good descriptor");
                let damage = delivery.descriptor.check_payload(&delivery.payload);
                assert!(matches!(damage, Err(FrameError::Crc { .. })));
            }
            Fault::BadGeometry | Fault::ImpossibleGeometry => {
                assert!(matches!(checked, Err(FrameError::Range { field: "last_depth_mm", .. })));
            }
            other => panic!("{other:?}"),
        }
        if pushed.is_ok() {
            let view = consumer.take_newest().expect("the pushed frame").0;
            let refused =
                view.descriptor().check().and_then(|_| view.descriptor().check_payload(view.payload()));
            assert!(refused.is_err(), "{:?}", delivery.fault);
        }
    }
}

#[test]
fn frozen_image_repeats_the_last_frame() {
    let steps = play("at 1 s freeze\nat 1.2 s depth 100 mm\nat 1.2 s corrupt\nat 1.5 s resume\n");
    assert_eq!(steps[10].requests, [Request::Freeze]);
    assert_eq!(steps[15].requests, [Request::Resume]);
    let last = &steps[9].deliveries[0];
    for (index, step) in steps.iter().enumerate().take(15).skip(10) {
        let [frozen] = &step.deliveries[..] else { panic!("frame {index}") };
        assert_eq!((frozen.expected, &frozen.payload), (Expected::Frozen, &last.payload));
        assert_eq!(numbers(step), [(index as u64 + 1, 100 * index as u64)]);
        assert!(frozen.descriptor.check().expect("well formed").has(flags::FROZEN));
        assert_eq!(frozen.descriptor.geometry_epoch, 1);
    }
    // A fault waits for a live frame, which also has the new depth.
    assert_eq!(steps[15].fault, Some(Fault::Corrupt));
    let live = &steps[16].deliveries[0];
    assert_eq!((live.descriptor.geometry_epoch, live.descriptor.last_depth_mm), (2, 100.0));
    assert_eq!(live.descriptor.flags & flags::FROZEN, 0);
}

#[test]
fn new_settings_change_geometry_and_epoch_not_the_anatomy() {
    let steps = play(
        "at 0.5 s depth 120 mm\nat 1 s sector 60 deg\nat 1.5 s depth 150 mm\nat 1.5 s sector 75 deg\nat 2 s gain +6 dB\n",
    );
    let plain = play("");
    let seen = |index: usize| {
        let delivery = &steps[index].deliveries[0];
        let frame = delivery.descriptor.check().expect("a good descriptor");
        let Geometry::Sector(sector) = frame.geometry else { panic!("a phased probe has a sector") };
        assert_eq!(delivery.truth, plain[index].deliveries[0].truth, "frame {index}");
        (
            frame.geometry_epoch,
            delivery.descriptor.last_depth_mm,
            (-2.0 * sector.first_angle_rad).to_degrees(),
        )
    };
    for (index, epoch, depth_mm, sector_deg) in [
        (4, 1, 150.0, 75.0),
        (5, 2, 120.0, 75.0),
        (10, 3, 120.0, 60.0),
        (15, 4, 150.0, 75.0),
        (29, 4, 150.0, 75.0),
    ] {
        let (seen_epoch, seen_depth_mm, seen_deg) = seen(index);
        assert_eq!((seen_epoch, seen_depth_mm), (epoch, depth_mm), "frame {index}");
        assert!((seen_deg - sector_deg).abs() < 0.01, "frame {index}: {seen_deg}");
    }
    let brightness = |steps: &[Step], index: usize| {
        let payload = &steps[index].deliveries[0].payload;
        payload.iter().map(|grey| f64::from(*grey)).sum::<f64>() / payload.len() as f64
    };
    // 6 dB of 50 dB are 31 grey levels, for pixels that are not black or white.
    let more = brightness(&steps, 20) - brightness(&plain, 20);
    assert!((22.0..32.0).contains(&more), "{more}");
    assert_eq!(steps[20].deliveries[0].descriptor.gain_db, 6.0);
    assert_eq!(steps[20].deliveries[0].descriptor.geometry_epoch, 4);
}

#[test]
fn slide_goes_and_returns_in_time() {
    let steps = play("at 0.5 s slide 12 mm over 1 s\nat 2 s return over 0.5 s\n");
    let plain = play("");
    let shift = |index: usize| {
        let of = |steps: &[Step]| steps[index].deliveries[0].truth[0].contour_mm[0];
        let (moved, still) = (of(&steps), of(&plain));
        assert!((moved.y - still.y).abs() < 1e-4);
        moved.x - still.x
    };
    let shifts: Vec<f32> = (0..30).map(shift).collect();
    for (index, expected) in [(0, 0.0), (5, 0.0), (10, 6.0), (15, 12.0), (20, 12.0), (25, 0.0), (29, 0.0)] {
        assert!((shifts[index] - expected).abs() < 0.01, "frame {index}: {}", shifts[index]);
    }
    assert!(shifts[5..15].windows(2).all(|pair| pair[1] > pair[0]));
}

#[test]
fn prompts_are_made_on_the_displayed_frame() {
    let steps = play(
        "at 0 s click 1 \"left ventricle\"\nat 1 s click 1 not \"left atrium\" 3 frames ago\n\
         at 1.2 s missing 2\nat 1.3 s box 2 \"left atrium\"\nat 2 s remove 1\n",
    );
    let prompt = |index: usize| match steps[index].requests[..] {
        [Request::Prompt(prompt)] => prompt,
        ref other => panic!("frame {index}: {other:?}"),
    };
    let first = prompt(0);
    assert_eq!((first.object, first.seq), (1, 0));
    let PromptKind::Click { at, is_positive: true } = first.kind else { panic!("{:?}", first.kind) };
    assert_eq!(at, steps[0].deliveries[0].truth[0].click_mm);
    let correction = prompt(10);
    // The newest displayed frame before this one is number 10.
    assert_eq!(correction.seq, 7);
    let PromptKind::Click { at, is_positive: false } = correction.kind else {
        panic!("{:?}", correction.kind)
    };
    assert_eq!(at, steps[6].deliveries[0].truth[1].click_mm);
    let boxed = prompt(13);
    assert_eq!((boxed.object, boxed.seq), (2, 12));
    let PromptKind::Box { from, to } = boxed.kind else { panic!("{:?}", boxed.kind) };
    let atrium = &steps[11].deliveries[0].truth[1];
    assert!(atrium.contour_mm.iter().all(|p| p.x >= from.x && p.x <= to.x && p.y >= from.y && p.y <= to.y));
    assert_eq!(prompt(20).kind, PromptKind::Remove);
}

fn same(a: &Step, b: &Step) -> bool {
    // Compares bytes, because NaN is not equal to itself.
    let bytes = |delivery: &Delivery| bytemuck::bytes_of(&delivery.descriptor).to_vec();
    a.requests == b.requests
        && a.deliveries.len() == b.deliveries.len()
        && a.deliveries.iter().zip(&b.deliveries).all(|(a, b)| {
            bytes(a) == bytes(b) && a.payload == b.payload && a.truth == b.truth && a.expected == b.expected
        })
}

/// The sample script plays from end to end: it has every fault and every kind of event, its good frames pass the checks,
/// and a second scan of it has the same first steps.
#[test]
#[cfg_attr(
    target_arch = "aarch64",
    ignore = "long under emulation: the runtime's tests play this script there"
)]
fn ten_minutes_play() {
    // A fifth of its frame rate: all events, in less time.
    let text = TEN_MINUTES.replace("rate 20 hz", "rate 4 hz");
    let script = Script::parse(&text).expect("a valid script");
    assert_eq!(Script::parse(&script.to_string()), Ok(script.clone()));
    let scan = ScriptedScan::new(&script).expect("a valid scan");
    let bytes = scan.payload_bytes();
    let again = ScriptedScan::new(&script).expect("a valid scan");
    let (mut steps, mut late, mut prompts) = (0u64, 0, 0);
    let mut faults = std::collections::BTreeSet::new();
    let mut expected = [0u32; 5];
    let mut newest = 0;
    for (step, other) in scan.zip(again.map(Some).take(320).chain(std::iter::repeat(None))) {
        assert!(other.is_none_or(|other| same(&step, &other)), "frame {}", step.index);
        assert_eq!(step.index, steps);
        steps += 1;
        faults.extend(step.fault.map(Fault::name));
        prompts += step.requests.iter().filter(|request| matches!(request, Request::Prompt(_))).count();
        for delivery in &step.deliveries {
            expected[delivery.expected as usize] += 1;
            let seq = delivery.descriptor.seq;
            match delivery.expected {
                Expected::Good => {
                    good(delivery);
                    assert_eq!(delivery.payload.len(), bytes);
                    assert!(seq > newest, "frame {seq} after {newest}");
                    newest = seq;
                }
                Expected::Restarted => {
                    good(delivery);
                    newest = seq;
                }
                Expected::OutOfOrder => {
                    assert!(seq <= newest);
                    late += 1;
                }
                Expected::Frozen => assert!(delivery.descriptor.check().is_ok()),
                Expected::Malformed => {
                    let checked = delivery.descriptor.check();
                    let unharmed = delivery.descriptor.check_payload(&delivery.payload);
                    assert!(checked.is_err() || unharmed.is_err() || delivery.payload.len() > bytes);
                }
            }
        }
    }
    assert_eq!(steps, 2400);
    assert_eq!(faults.len(), 12, "{faults:?}");
    assert!(prompts >= 20 && late >= 5, "{prompts} prompts, {late} late");
    assert!(expected.iter().all(|count| *count > 0), "{expected:?}");
}
