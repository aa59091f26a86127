//! `tracking.svg`: confidence and state of each object, age of the contours, and rung, frame by frame.

use super::annotate::state_colour;
use super::plot::{
    COLUMNS, Chart, DASH_PX, DROP_COLOUR, GAP_PX, LEFT, LIMIT_COLOUR, RIGHT, axes, legend_entry,
    milliseconds, picture,
};
use super::svg::{Area, COLOURS, fine, label, stroke};
use anyhow::Result;
use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordu64;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use sonotrace_hal::overlay::{RUNG_NAMES, RUNGS, State};

const HEIGHT: u32 = 640;
/// Top edges of the parts below the first, and their height.
const AGE_TOP: i32 = 300;
const RUNGS_TOP: i32 = 490;
/// Colours of the rungs: the more was computed, the darker.
const RUNG_COLOURS: [RGBColor; RUNGS] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0xd5, 0x5e, 0x00),
];
/// States that are marked: those that warn.
const MARKED: [State; 3] = [State::Attention, State::Absent, State::Lost];

/// What is shown of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTracking {
    /// Its sequence number.
    pub seq: u64,
    /// Wire value of its overlay's rung; none for a frame that was dropped.
    pub rung: Option<u32>,
    /// Age of the contours on its overlay.
    pub age_ns: u64,
    /// Number, state and confidence of each object.
    pub objects: Vec<(u32, State, f32)>,
}

/// The plot of a run as the text of an SVG file. Above: each object's confidence (the least, if several frames share a pixel), with
/// a mark where its state warns, and the limit of attention dashed. In the middle: the age of the contours, with the budget dashed.
/// Below: the rung of each frame, the least that was computed if several share a pixel, and drops.
///
/// # Errors
/// None is expected, because the text is written to memory.
pub fn tracking_svg(
    title: &str,
    frames: &[FrameTracking],
    names: &[(u32, &str)],
    attention_below: f32,
    budget_ns: u64,
) -> Result<String> {
    let first = frames.iter().map(|frame| frame.seq).min().unwrap_or(0);
    let last = frames.iter().map(|frame| frame.seq).max().unwrap_or(0).max(first + 1);
    let ends = [first, last];
    picture(title, HEIGHT, |root| {
        let (upper, rest) = root.split_vertically(fine(AGE_TOP));
        let (middle, lower) = rest.split_vertically(fine(RUNGS_TOP - AGE_TOP));
        confidence_plot(&upper, frames, names, attention_below, ends)?;
        age_plot(&middle, frames, budget_ns, ends)?;
        rung_plot(&lower, frames, ends)
    })
}

fn frame_axes<'a>(
    area: &Area<'a>,
    top: i32,
    ends: [u64; 2],
    y_max: f64,
    y_labels: usize,
) -> Result<Chart<'a>> {
    let ticks = RangedCoordu64::from(ends[0]..ends[1]).key_points(10);
    axes(area, top, ends, ticks, &u64::to_string, y_max, y_labels)
}

/// Column of pixels of a frame.
fn column(seq: u64, ends: [u64; 2]) -> usize {
    ((seq - ends[0]) as f64 / (ends[1] - ends[0]) as f64 * (COLUMNS - 1) as f64).round() as usize
}

/// For each column that has one: the frame with the largest value, and the value.
fn largest<T: PartialOrd + Copy>(values: impl Iterator<Item = (u64, T)>, ends: [u64; 2]) -> Vec<(u64, T)> {
    let mut columns: Vec<Option<(u64, T)>> = vec![None; COLUMNS];
    for (seq, value) in values {
        let place = &mut columns[column(seq, ends)];
        if place.is_none_or(|(_, so_far)| value > so_far) {
            *place = Some((seq, value));
        }
    }
    columns.into_iter().flatten().collect()
}

fn dashed(chart: &mut Chart<'_>, ends: [u64; 2], y: f64) -> Result<()> {
    let style = stroke(LIMIT_COLOUR, 1.4);
    chart.draw_series(DashedLineSeries::new(ends.map(|x| (x, y)), fine(DASH_PX), fine(GAP_PX), style))?;
    Ok(())
}

fn confidence_plot(
    area: &Area<'_>,
    frames: &[FrameTracking],
    names: &[(u32, &str)],
    attention_below: f32,
    ends: [u64; 2],
) -> Result<()> {
    label(area, "confidence by frame", [LEFT, 44], HPos::Left)?;
    let mut chart = frame_axes(area, 58, ends, 1.05, 6)?;
    let mut ids: Vec<u32> = frames.iter().flat_map(|frame| &frame.objects).map(|(id, ..)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut line = 0;
    for (at, &id) in ids.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let of = |frame: &FrameTracking| {
            let found = frame.objects.iter().find(|(object, ..)| *object == id);
            found.map(|&(_, state, confidence)| (frame.seq, (-f64::from(confidence), state as u32)))
        };
        let points = largest(frames.iter().filter_map(of), ends);
        chart.draw_series(LineSeries::new(
            points.iter().map(|&(seq, (y, _))| (seq, -y)),
            stroke(colour, 1.6),
        ))?;
        for state in MARKED {
            let marked = points.iter().filter(|&&(_, (_, wire))| wire == state as u32);
            let [red, green, blue] = state_colour(state);
            let mark = |&(seq, (y, _)): &(u64, (f64, u32))| {
                Circle::new((seq, -y), fine(3), RGBColor(red, green, blue).filled())
            };
            chart.draw_series(marked.map(mark))?;
        }
        let name = names.iter().find(|(object, _)| *object == id).map(|(_, name)| *name);
        legend_entry(
            area,
            line,
            &name.map_or_else(|| format!("object {id}"), str::to_owned),
            stroke(colour, 1.6),
            0,
        )?;
        line += 1;
    }
    for state in MARKED {
        let [red, green, blue] = state_colour(state);
        legend_entry(area, line, state.name(), stroke(RGBColor(red, green, blue), 6.0), 0)?;
        line += 1;
    }
    dashed(&mut chart, ends, f64::from(attention_below))?;
    legend_entry(area, line, "attention below", stroke(LIMIT_COLOUR, 1.4), GAP_PX)
}

fn age_plot(area: &Area<'_>, frames: &[FrameTracking], budget_ns: u64, ends: [u64; 2]) -> Result<()> {
    let ages = frames.iter().filter(|frame| frame.rung.is_some() && !frame.objects.is_empty());
    let ages = largest(ages.map(|frame| (frame.seq, frame.age_ns)), ends);
    let most_ns = ages.iter().map(|(_, age_ns)| *age_ns).max().unwrap_or(0).max(budget_ns);
    label(area, "age of the contours (ms) by frame", [LEFT, 10], HPos::Left)?;
    let mut chart = frame_axes(area, 24, ends, 1.08 * milliseconds(most_ns).max(1e-3), 4)?;
    let points = ages.iter().map(|&(seq, age_ns)| (seq, milliseconds(age_ns)));
    chart.draw_series(LineSeries::new(points, stroke(COLOURS[3], 1.6)))?;
    dashed(&mut chart, ends, milliseconds(budget_ns))?;
    let budget = format!("budget {:.1} ms", milliseconds(budget_ns));
    legend_entry(area, 0, &budget, stroke(LIMIT_COLOUR, 1.4), GAP_PX)
}

fn rung_plot(area: &Area<'_>, frames: &[FrameTracking], ends: [u64; 2]) -> Result<()> {
    label(area, "rung by frame", [LEFT, 10], HPos::Left)?;
    label(area, "frame", [(LEFT + RIGHT) / 2, 138], HPos::Center)?;
    let mut chart = frame_axes(area, 24, ends, 1.0, 0)?;
    // A dropped frame is less than the least rung.
    let worst = largest(frames.iter().map(|frame| (frame.seq, frame.rung.unwrap_or(RUNGS as u32))), ends);
    let frame_px = f64::from(RIGHT - LEFT) / (ends[1] - ends[0]) as f64;
    for (seq, rung) in worst {
        let colour = RUNG_COLOURS.get(rung as usize).copied().unwrap_or(DROP_COLOUR);
        let height = if (rung as usize) < RUNGS { 1.0 - 0.2 * f64::from(rung) } else { 0.1 };
        let bar = [(seq, 0.0), (seq, height)];
        chart.draw_series([PathElement::new(bar, stroke(colour, (0.8 * frame_px).clamp(1.0, 12.0)))])?;
    }
    for (rung, (name, colour)) in RUNG_NAMES.iter().zip(RUNG_COLOURS).enumerate() {
        let count = frames.iter().filter(|frame| frame.rung == Some(rung as u32)).count();
        legend_entry(area, rung, &format!("{name}: {count}"), stroke(colour, 6.0), 0)?;
    }
    let drops = frames.iter().filter(|frame| frame.rung.is_none()).count();
    legend_entry(area, RUNGS, &format!("dropped: {drops}"), stroke(DROP_COLOUR, 6.0), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64) -> FrameTracking {
        let rung = match seq % 10 {
            0 => None,
            1..=4 => Some(0),
            5 | 6 => Some(1),
            7 => Some(2),
            _ => Some(3),
        };
        let state = if seq % 25 == 3 { State::Attention } else { State::Tracked };
        let objects = vec![(1, state, 0.9), (2, State::Tracked, 0.5 + (seq % 7) as f32 * 0.05)];
        FrameTracking { seq, rung, age_ns: 20_000_000 + seq % 10 * 1_000_000, objects }
    }

    fn plot(count: u64) -> String {
        let frames: Vec<FrameTracking> = (1..=count).map(frame).collect();
        tracking_svg("a scan", &frames, &[(1, "ventricle")], 0.7, 33_000_000).unwrap()
    }

    fn has_text(svg: &str, text: &str) -> bool {
        svg.contains(&format!(">\n{text}\n</text>"))
    }

    #[test]
    fn states_rungs_and_drops_are_counted_and_marked() {
        let svg = plot(100);
        assert_eq!(svg.matches("<circle").count(), 4);
        let counts =
            ["full: 40", "tracked: 20", "spread: 10", "repeat: 20", "dropped: 10", "ventricle", "object 2"];
        for text in counts {
            assert!(has_text(&svg, text), "{text}");
        }
    }

    #[test]
    fn no_frames_and_many_give_plots_of_a_bounded_size() {
        let empty = tracking_svg("empty", &[], &[], 0.7, 0).unwrap();
        assert!(empty.starts_with("<svg") && !empty.contains("NaN") && !empty.contains("inf"));
        assert!(plot(100_000).len() < 600_000);
    }
}
