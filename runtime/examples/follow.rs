//! Follows masks through given frames, as a session does: to compare the runtime with its reference.
//!
//! `follow MODEL.sono FRAMES MASKS EVENTS CHECKS_A_FRAME OUT [correct-lost]`: FRAMES and MASKS are files of f32: the grey levels of square
//! frames, 0 to 1, and the odds of masks. EVENTS is a text: a line `AFTER ACT PLACE [ON]` for each thing that the user does,
//! in order. Each but `remove` takes the next mask.
//!
//! * `AFTER`: the frame, counted from 0, that was followed last.
//! * `ACT`: `draw` a new object, or `correct` or `remove` one.
//! * `ON`: the frame on which a new object is drawn; `AFTER` by default.
//!
//! OUT gets for each frame after the first one, for each place up to the highest in EVENTS, the odds, and then `right`, `trusted`,
//! `absent`, `age` and whether it is found, before the events of the frame.

use sonotrace::exec::{Executor, ExecutorConfig, ExecutorLayout};
use sonotrace::format::{AlignedBytes, Model};
use sonotrace::kernels::arch::Instructions;
use sonotrace::session::Programs;
use sonotrace::tracking::follower::{BufferLengths, Buffers, Checks, Drawn, Follower, Following};
use sonotrace::tracking::looks::Figures;
use sonotrace::tracking::programs::TrackerPrograms;
use std::error::Error;

/// Frames whose features are kept.
const KEPT: u32 = 4;

/// What the user does.
struct Event<'a> {
    after: usize,
    act: &'a str,
    place: usize,
    on: usize,
}

fn events(text: &str) -> Result<Vec<Event<'_>>, Box<dyn Error>> {
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [after, act, place, on @ ..] = &words[..] else { return Err(line.into()) };
            let after = after.parse()?;
            let on = on.first().map_or(Ok(after), |on| on.parse())?;
            Ok(Event { after, act, place: place.parse()?, on })
        })
        .collect()
}

fn floats(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// Grey levels at half the resolution.
fn halved(frame: &[f32], side: usize) -> Vec<f32> {
    let half = side / 2;
    let corners = (0..half * half).map(|at| at / half * 2 * side + at % half * 2);
    corners.map(|at| (frame[at] + frame[at + 1] + frame[at + side] + frame[at + side + 1]) / 4.0).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, frames, masks, text, checks, out, options @ ..] = &arguments[..] else {
        return Err("expected MODEL.sono FRAMES MASKS EVENTS CHECKS_A_FRAME OUT [correct-lost]".into());
    };
    let file = AlignedBytes::new(&std::fs::read(model)?);
    let model = Model::parse(file.bytes())?;
    let (frames, masks, text) = (floats(frames)?, floats(masks)?, std::fs::read_to_string(text)?);
    let events = events(&text)?;
    let places = events.iter().map(|event| event.place + 1).max().unwrap_or(0);
    let conventions = *model.conventions();
    let decoder = Programs::find(&model)?;
    let tracker = TrackerPrograms::find(&model)?;
    let config = ExecutorConfig { kept_frames: KEPT, ..ExecutorConfig::default() };
    let mut region = AlignedBytes::zeroed(ExecutorLayout::new(model.header(), &config)?.required().bytes);
    let mut executor = Executor::new(model, config, region.bytes_mut())?;
    let lengths = BufferLengths::of(&tracker.sizes);
    let buffers = Buffers {
        probabilities: &mut vec![0.0; lengths.probabilities],
        odds: &mut vec![0.0; lengths.odds],
        tokens: &mut vec![0.0; lengths.tokens],
        whole: &mut vec![0.0; lengths.whole],
        inside: &mut vec![0; lengths.inside],
        figures: &mut vec![Figures::default(); lengths.figures],
        words: &mut vec![0; lengths.words],
        floats: &mut vec![0.0; lengths.floats],
    };
    let rules = *model.tracking().ok_or("the model has no tracking constants")?;
    let input_size = conventions.input_size;
    let checks = Checks { a_frame: checks.parse()?, correct_lost: options.contains(&"correct-lost".into()) };
    let mut follower =
        Follower::new(tracker, decoder, rules, input_size, checks, Instructions::best(), buffers);
    let (side, pixels) = (input_size as usize, tracker.sizes.pixels());
    let mut masks = masks.chunks_exact(pixels);
    let mut written = Vec::new();
    // The frame that each copy of the features holds.
    let mut held = [None; KEPT as usize + 1];
    // In many slices.
    let mut calls = 0u32;
    let mut go_on = || {
        calls += 1;
        !calls.is_multiple_of(3)
    };
    let greys: Vec<Vec<f32>> = frames.chunks_exact(side * side).map(|frame| halved(frame, side)).collect();
    for (number, frame) in frames.chunks_exact(side * side).enumerate() {
        // The oldest copy that the anchor does not need.
        let anchor = follower.memory().map(|memory| memory.anchor().features as usize);
        let free = (0..held.len()).filter(|&copy| Some(copy) != anchor).min_by_key(|&copy| held[copy]);
        let features = free.ok_or("no copy is free")? as u32;
        held[features as usize] = Some(number);
        decoder.begin_encoder(&mut executor, features);
        for (to, grey) in executor.input_mut(decoder.image).iter_mut().zip(frame) {
            *to = (grey - conventions.mean) / conventions.std;
        }
        executor.finish();
        if follower.begin(&mut executor, features) {
            while follower.advance(&mut executor, &greys[number], &mut go_on) == Following::Paused {}
        }
        let outcomes: Vec<_> = (0..places).map(|place| follower.outcome(place)).collect();
        follower.accept(&mut executor);
        for (place, known) in outcomes.iter().enumerate().filter(|_| number > 0) {
            written.extend_from_slice(follower.odds(place));
            written.extend([known.right, known.trusted, known.absent, known.age as f32]);
            written.push(f32::from(known.is_found));
        }
        for event in events.iter().filter(|event| event.after == number) {
            if event.act == "remove" {
                follower.remove(event.place);
                continue;
            }
            let copy = held.iter().position(|of| *of == Some(event.on)).ok_or("the frame is too old")?;
            let (is_last, is_new) = (event.on == number, event.act == "draw");
            let drawn = Drawn { features: copy as u32, is_last, place: event.place, is_new };
            if !follower.has_room(&drawn) {
                return Err(format!("no room for object {} after frame {number}", event.place).into());
            }
            follower.begin_drawn(&mut executor, &drawn, masks.next().ok_or("too few masks")?);
            while follower.advance(&mut executor, &greys[event.on], &mut go_on) == Following::Paused {}
            follower.accept(&mut executor);
        }
    }
    let bytes: Vec<u8> = written.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok(std::fs::write(out, bytes)?)
}
