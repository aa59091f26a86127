//! `latency.svg`: latency by percentile, on the axis of HdrHistogram's plots, and frame by frame.

use super::plot::{
    COLUMNS, Chart, DASH_PX, DROP_COLOUR, GAP_PX, LEFT, LIMIT_COLOUR, RIGHT, axes, legend_entry,
    milliseconds, picture,
};
use super::stages::{StageTimes, TOTAL};
use super::svg::{Area, COLOURS, fine, label, stroke};
use anyhow::Result;
use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordu64;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

const HEIGHT: u32 = 660;
/// Units of one nine on the axis of percentiles.
const NINE: u64 = 1_000_000_000;
/// Steps in which the curves of percentiles are drawn.
const STEPS: u64 = 300;
const TOTAL_COLOUR: RGBColor = RGBColor(0x1a, 0x1a, 0x1a);

/// Latency of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLatency {
    /// Its sequence number.
    pub seq: u64,
    /// From its commit to its overlay's commit; none for a frame that was dropped.
    pub latency_ns: Option<u64>,
}

/// What a plot calls what it shows.
struct Words {
    /// Above the curves of percentiles.
    quantity: &'static str,
    /// Above the plot of each one.
    of_each: &'static str,
    one: &'static str,
    /// In the legend.
    total: &'static str,
    limit: &'static str,
}

const FRAMES: Words =
    Words { quantity: "latency", of_each: "total latency", one: "frame", total: TOTAL, limit: "budget" };
const WAKE_UPS: Words =
    Words { quantity: "delay", of_each: "delay", one: "wake-up", total: "delay", limit: "limit" };

/// The plot of a run as the text of an SVG file. Above: each stage's and the total's latency by percentile, on an axis
/// on which every nine has the same length, with the budget dashed. Below: the total of each frame (the longest, if
/// several share a pixel), misses as red dots, dropped frames as ticks on the axis.
///
/// # Errors
/// None is expected, because the text is written to memory.
pub fn latency_svg(
    title: &str,
    times: &StageTimes,
    frames: &[FrameLatency],
    budget_ns: u64,
) -> Result<String> {
    plot(&FRAMES, title, times, frames, budget_ns)
}

/// The same of a thread's wake-ups: how late each of them was, with the latest that is good dashed.
///
/// # Errors
/// As [`latency_svg`].
pub fn wake_up_svg(
    title: &str,
    times: &StageTimes,
    wake_ups: &[FrameLatency],
    limit_ns: u64,
) -> Result<String> {
    plot(&WAKE_UPS, title, times, wake_ups, limit_ns)
}

fn plot(
    words: &Words,
    title: &str,
    times: &StageTimes,
    frames: &[FrameLatency],
    budget_ns: u64,
) -> Result<String> {
    let longest_ns = frames.iter().filter_map(|frame| frame.latency_ns).max().unwrap_or(0);
    let longest_ns = longest_ns.max(times.quantile_ns(TOTAL, 1.0).unwrap_or(0)).max(budget_ns);
    let y_max_ms = 1.08 * milliseconds(longest_ns).max(1e-3);
    picture(title, HEIGHT, |root| {
        let (upper, lower) = root.split_vertically(fine(390));
        percentile_plot(words, &upper, times, budget_ns, y_max_ms)?;
        frame_plot(words, &lower, frames, budget_ns, y_max_ms)
    })
}

/// Place of a share on the axis of percentiles, on which every nine has the same length.
fn nines(share: f64) -> u64 {
    (-(1.0 - share).log10() * NINE as f64).round() as u64
}

/// The share at a place on the axis of percentiles.
fn share(at: u64) -> f64 {
    1.0 - 10f64.powf(-(at as f64) / NINE as f64)
}

fn percentile_plot(
    words: &Words,
    area: &Area<'_>,
    times: &StageTimes,
    budget_ns: u64,
    y_max_ms: f64,
) -> Result<()> {
    // The axis ends at the highest percentile that so many frames resolve, rounded up to a whole nine.
    let x_max = NINE * (times.frames().max(1) as f64).log10().ceil().clamp(2.0, 6.0) as u64;
    let ticks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999].map(nines);
    let ticks = ticks.into_iter().filter(|&at| at <= x_max).collect();
    let percent = |&at: &u64| format!("{}%", (share(at) * 1e6).round() / 1e4);
    label(area, &format!("{} (ms) by percentile", words.quantity), [LEFT, 44], HPos::Left)?;
    let mut chart = axes(area, 58, [0, x_max], ticks, &percent, y_max_ms, 6)?;
    let count = times.names().count();
    for (line, index) in (0..count).rev().enumerate() {
        let Some(name) = times.names().nth(index) else { continue };
        let is_total = name == TOTAL;
        let (colour, width_px) =
            if is_total { (TOTAL_COLOUR, 2.4) } else { (COLOURS[index % COLOURS.len()], 1.6) };
        let points = (0..=STEPS).map(|step| {
            let at = x_max * step / STEPS;
            let time_ns = times.quantile_ns(name, share(at)).unwrap_or(0);
            (at, milliseconds(time_ns))
        });
        chart.draw_series(LineSeries::new(points, stroke(colour, width_px)))?;
        let name = if is_total { words.total } else { name };
        legend_entry(area, line, name, stroke(colour, width_px), 0)?;
    }
    budget_line(&mut chart, [0, x_max], budget_ns)?;
    let budget = format!("{} {:.1} ms", words.limit, milliseconds(budget_ns));
    legend_entry(area, count, &budget, stroke(LIMIT_COLOUR, 1.4), GAP_PX)
}

fn frame_plot(
    words: &Words,
    area: &Area<'_>,
    frames: &[FrameLatency],
    budget_ns: u64,
    y_max_ms: f64,
) -> Result<()> {
    let first = frames.iter().map(|frame| frame.seq).min().unwrap_or(0);
    let last = frames.iter().map(|frame| frame.seq).max().unwrap_or(0).max(first + 1);
    let misses =
        frames.iter().filter(|frame| frame.latency_ns.is_some_and(|latency| latency > budget_ns)).count();
    let drops = frames.iter().filter(|frame| frame.latency_ns.is_none()).count();
    let Words { of_each, one, limit, .. } = words;
    let mut counts = format!("{of_each} (ms) by {one}: {} {one}s, {misses} over {limit}", frames.len());
    if drops > 0 {
        counts += &format!(", {drops} dropped");
    }
    label(area, &counts, [LEFT, 22], HPos::Left)?;
    label(area, one, [(LEFT + RIGHT) / 2, 258], HPos::Center)?;
    let ticks = RangedCoordu64::from(first..last).key_points(10);
    let mut chart = axes(area, 36, [first, last], ticks, &u64::to_string, y_max_ms, 6)?;
    budget_line(&mut chart, [first, last], budget_ns)?;
    let column = |seq: u64| (seq - first) as f64 / (last - first) as f64 * (COLUMNS - 1) as f64;
    let mut longest: Vec<Option<(u64, u64)>> = vec![None; COLUMNS];
    for frame in frames {
        let place = &mut longest[column(frame.seq).round() as usize];
        if let Some(latency_ns) = frame.latency_ns {
            if place.is_none_or(|(_, so_far)| latency_ns > so_far) {
                *place = Some((frame.seq, latency_ns));
            }
        } else {
            let tick = vec![(frame.seq, 0.0), (frame.seq, 0.03 * y_max_ms)];
            chart.draw_series([PathElement::new(tick, stroke(DROP_COLOUR, 1.0))])?;
        }
    }
    let longest = || longest.iter().flatten().map(|&(seq, latency_ns)| (seq, milliseconds(latency_ns)));
    chart.draw_series(LineSeries::new(longest(), stroke(TOTAL_COLOUR, 1.2)))?;
    let misses = longest().filter(|&(_, ms)| ms > milliseconds(budget_ns));
    chart.draw_series(misses.map(|at| Circle::new(at, fine(3), LIMIT_COLOUR.filled())))?;
    Ok(())
}

fn budget_line(chart: &mut Chart<'_>, ends: [u64; 2], budget_ns: u64) -> Result<()> {
    let points = ends.map(|x| (x, milliseconds(budget_ns)));
    let style = stroke(LIMIT_COLOUR, 1.4);
    chart.draw_series(DashedLineSeries::new(points, fine(DASH_PX), fine(GAP_PX), style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::plot::WIDTH;
    use super::super::svg::FINE;
    use super::*;

    fn run(frames: u64, budget_ns: u64) -> String {
        let mut times = StageTimes::new(&["encode", "decode"]).unwrap();
        let mut list = Vec::new();
        for seq in 1..=frames {
            // 10 ms, every tenth 40 ms, every 25th dropped.
            let total = if seq % 10 == 0 { 40_000_000 } else { 10_000_000 };
            let is_dropped = seq % 25 == 0;
            if !is_dropped {
                times.record(&[total / 2, total / 4], total);
            }
            list.push(FrameLatency { seq, latency_ns: (!is_dropped).then_some(total) });
        }
        latency_svg("a < b & c", &times, &list, budget_ns).unwrap()
    }

    /// The points of every line of a colour, in pixels of the picture.
    fn curves(svg: &str, colour: RGBColor) -> Vec<Vec<[f64; 2]>> {
        let stroke = format!(r##"stroke="#{:02X}{:02X}{:02X}""##, colour.0, colour.1, colour.2);
        let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(&stroke));
        let points = |line: &str| {
            let points = line.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
            let pair = |point: &str| {
                let (x, y) = point.split_once(',').unwrap();
                [x, y].map(|at| at.parse::<f64>().unwrap() / f64::from(FINE))
            };
            points.split_whitespace().map(pair).collect()
        };
        lines.map(points).collect()
    }

    fn has_text(svg: &str, text: &str) -> bool {
        svg.contains(&format!(">\n{text}\n</text>"))
    }

    #[test]
    fn misses_and_drops_are_marked() {
        let svg = run(100, 33_000_000);
        // Of the ten slow frames, 50 and 100 are among the four dropped ones.
        assert_eq!(svg.matches("<circle").count(), 8);
        assert_eq!(curves(&svg, DROP_COLOUR).len(), 4);
        assert!(has_text(&svg, "total latency (ms) by frame: 100 frames, 8 over budget, 4 dropped"));
        assert!(has_text(&svg, "budget 33.0 ms"));
        assert_eq!(run(100, 50_000_000).matches("<circle").count(), 0);
        // The budget's dashes lie at its height in both sets of axes, and in the legend.
        let heights: std::collections::BTreeSet<i64> =
            curves(&svg, LIMIT_COLOUR).iter().flatten().map(|[_, y]| y.round() as i64).collect();
        let height = |bottom: f64, of: f64| (bottom - of * 33.0 / (1.08 * 40.0)).round() as i64;
        assert_eq!(Vec::from_iter(heights), [68 + 3 * 18, height(350.0, 292.0), height(620.0, 194.0)]);
    }

    #[test]
    fn wake_ups_are_not_called_frames() {
        let mut times = StageTimes::new(&[]).unwrap();
        let late_ns = [30_000, 90_000, 250_000];
        late_ns.iter().for_each(|&ns| times.record(&[], ns));
        let each = (1..).zip(late_ns).map(|(seq, ns)| FrameLatency { seq, latency_ns: Some(ns) });
        let svg = wake_up_svg("wake-ups", &times, &each.collect::<Vec<_>>(), 100_000).unwrap();
        assert!(has_text(&svg, "delay (ms) by wake-up: 3 wake-ups, 1 over limit"));
        assert!(has_text(&svg, "limit 0.1 ms") && !svg.contains("frame") && !svg.contains("budget"));
    }

    #[test]
    fn there_is_a_curve_for_each_stage_the_total_and_the_frames() {
        let svg = run(100, 33_000_000);
        let drawn = |colour| curves(&svg, colour).iter().filter(|points| points.len() > 2).count();
        assert_eq!([COLOURS[0], COLOURS[1], TOTAL_COLOUR].map(drawn), [1, 1, 2]);
        for name in ["encode", "decode", "total", "0%", "50%", "90%", "99%", "a &lt; b &amp; c"] {
            assert!(has_text(&svg, name), "{name}");
        }
        assert!(!has_text(&svg, "99.9%"), "a hundred frames do not resolve the 99.9th percentile");
        assert!(has_text(&run(20_000, 33_000_000), "99.99%"));
    }

    /// The total's curve starts at the shortest time and ends at the longest, at the right heights on the axis.
    #[test]
    fn curves_are_to_scale() {
        let svg = run(100, 33_000_000);
        let curves = curves(&svg, TOTAL_COLOUR);
        let total = &curves[0];
        let y = |ms: f64| 350.0 - 292.0 * ms / (1.08 * 40.0);
        let ([left, low], [right, high]) = (total[0], total[total.len() - 1]);
        assert!((low - y(10.0)).abs() < 0.2, "{low} for 10 ms, not {}", y(10.0));
        assert!((high - y(40.0)).abs() < 0.2);
        assert!((left - f64::from(LEFT)).abs() < 0.2 && (right - f64::from(RIGHT)).abs() < 0.2);
    }

    #[test]
    fn long_runs_stay_small_and_keep_every_column_with_a_miss() {
        let svg = run(200_000, 33_000_000);
        let misses = svg.matches("<circle").count();
        // Every tenth frame is a miss unless it was dropped, so every column has one.
        assert_eq!(misses, COLUMNS);
        let curves = curves(&svg, TOTAL_COLOUR);
        assert!(curves.iter().all(|points| points.len() <= COLUMNS));
    }

    #[test]
    fn no_data_gives_an_empty_plot() {
        let svg = latency_svg("empty", &StageTimes::new(&[]).unwrap(), &[], 0).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn ticks_are_round() {
        let svg = run(100, 33_000_000);
        for tick in ["0", "10", "20", "30", "40", "60", "80", "100"] {
            assert!(has_text(&svg, tick), "{tick}");
        }
    }

    #[test]
    fn the_picture_has_its_size() {
        let head =
            format!(r#"<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {} {}""#, 8 * WIDTH, 8 * HEIGHT);
        assert!(run(10, 1).starts_with(&head));
    }
}
