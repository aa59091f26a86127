//! `latency.svg`: latency by percentile, as HdrHistogram plots it, and frame by frame.
//!
//! Written by hand: the plot needs an axis of percentiles, and no font may have to be found to lay it out.

use super::stages::{StageTimes, TOTAL};
use std::fmt::Write;

const WIDTH: f64 = 940.0;
const HEIGHT: f64 = 660.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 760.0;
/// Most points of the frame-by-frame line: one a pixel.
const COLUMNS: usize = (RIGHT - LEFT) as usize;
/// Colours that colour-blind readers tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = ["#56b4e9", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#999999"];
const TOTAL_COLOUR: &str = "#1a1a1a";
const MISS_COLOUR: &str = "#d00000";
/// The budget's line.
const DASHES: &str = "7 5";

/// What one frame took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLatency {
    /// Its sequence number.
    pub seq: u64,
    /// From its commit to its overlay's; none for a frame that was dropped.
    pub latency_ns: Option<u64>,
}

/// One set of axes.
struct Axes {
    top: f64,
    bottom: f64,
    x_max: f64,
    x_min: f64,
    y_max_ms: f64,
}

impl Axes {
    fn x(&self, value: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (value - self.x_min) / (self.x_max - self.x_min)
    }

    fn y(&self, ms: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (ms / self.y_max_ms).min(1.0)
    }
}

/// The plot of a run as the text of an SVG file. Above: each stage's and the total's latency by percentile, on a scale
/// on which every further nine takes as much room as the one before, with the budget dashed. Below: the total of each
/// frame (the longest, where several share a pixel), misses as red dots, dropped frames as ticks under the axis.
pub fn latency_svg(title: &str, times: &StageTimes, frames: &[FrameLatency], budget_ns: u64) -> String {
    let longest_ns = frames.iter().filter_map(|frame| frame.latency_ns).max().unwrap_or(0);
    let longest_ns = longest_ns.max(times.quantile_ns(TOTAL, 1.0).unwrap_or(0)).max(budget_ns);
    let y_max_ms = 1.08 * milliseconds(longest_ns).max(1e-3);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_plot(&mut out, title, times, frames, budget_ns, y_max_ms);
    out
}

fn write_plot(
    out: &mut String,
    title: &str,
    times: &StageTimes,
    frames: &[FrameLatency],
    budget_ns: u64,
    y_max_ms: f64,
) -> std::fmt::Result {
    writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#333">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
<text x="{LEFT}" y="26" font-size="16" font-weight="bold">{}</text>"##,
        escaped(title)
    )?;
    percentile_plot(out, times, budget_ns, y_max_ms)?;
    frame_plot(out, frames, budget_ns, y_max_ms)?;
    writeln!(out, "</svg>")
}

/// Where a share lies on the axis of percentiles: one unit for each nine.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn percentile_plot(out: &mut String, times: &StageTimes, budget_ns: u64, y_max_ms: f64) -> std::fmt::Result {
    // The last percentile that frames can tell: one in all of them; to the next whole nine, so that the axis ends on one.
    let x_max = (times.frames().max(1) as f64).log10().ceil().clamp(2.0, 6.0);
    let axes = Axes { top: 58.0, bottom: 350.0, x_min: 0.0, x_max, y_max_ms };
    writeln!(out, r#"<text x="{LEFT}" y="48">latency (ms) by percentile</text>"#)?;
    let shares = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
    let ticks = shares.into_iter().filter(|&share| nines(share) <= x_max + 1e-6);
    let ticks = ticks.map(|share| (nines(share), format!("{}%", (share * 1e8).round() / 1e6)));
    frame_and_ticks(out, &axes, ticks)?;
    budget_line(out, &axes, budget_ns)?;
    let mut legend_y = axes.top + 14.0;
    let count = times.names().count();
    for index in (0..count).rev() {
        let Some(name) = times.names().nth(index) else { continue };
        let is_total = name == TOTAL;
        let (colour, width) =
            if is_total { (TOTAL_COLOUR, 2.4) } else { (COLOURS[index % COLOURS.len()], 1.6) };
        let mut points = String::new();
        for step in 0..=300 {
            let at = x_max * f64::from(step) / 300.0;
            let time_ns = times.quantile_ns(name, 1.0 - 10f64.powf(-at)).unwrap_or(0);
            write!(points, "{:.1},{:.1} ", axes.x(at), axes.y(milliseconds(time_ns)))?;
        }
        polyline(out, &points, colour, width)?;
        let stroke = format!(r#"stroke="{colour}" stroke-width="{width}""#);
        legend_entry(out, legend_y, name, &stroke)?;
        legend_y += 18.0;
    }
    let stroke = format!(r#"stroke="{MISS_COLOUR}" stroke-width="1.4" stroke-dasharray="{DASHES}""#);
    legend_entry(out, legend_y, &format!("budget {:.1} ms", milliseconds(budget_ns)), &stroke)
}

fn frame_plot(out: &mut String, frames: &[FrameLatency], budget_ns: u64, y_max_ms: f64) -> std::fmt::Result {
    let first = frames.iter().map(|frame| frame.seq).min().unwrap_or(0) as f64;
    let last = (frames.iter().map(|frame| frame.seq).max().unwrap_or(0) as f64).max(first + 1.0);
    let axes = Axes { top: 426.0, bottom: 610.0, x_min: first, x_max: last, y_max_ms };
    let misses =
        frames.iter().filter(|frame| frame.latency_ns.is_some_and(|latency| latency > budget_ns)).count();
    let drops = frames.iter().filter(|frame| frame.latency_ns.is_none()).count();
    let counts = format!("{} frames, {misses} over budget, {drops} dropped", frames.len());
    writeln!(out, r#"<text x="{LEFT}" y="416">total latency (ms) by frame: {counts}</text>"#)?;
    let step = round_step((last - first) / 8.0).max(1.0);
    let ticks = std::iter::successors(Some((first / step).ceil() * step), |tick| Some(tick + step));
    frame_and_ticks(
        out,
        &axes,
        ticks.take_while(|&tick| tick <= last).map(|tick| (tick, format!("{tick}"))),
    )?;
    budget_line(out, &axes, budget_ns)?;
    let column = |seq: u64| ((seq as f64 - first) / (last - first) * (COLUMNS - 1) as f64).round() as usize;
    let mut longest: Vec<Option<(u64, u64)>> = vec![None; COLUMNS];
    for frame in frames {
        let place = &mut longest[column(frame.seq).min(COLUMNS - 1)];
        if let Some(latency_ns) = frame.latency_ns {
            if place.is_none_or(|(_, so_far)| latency_ns > so_far) {
                *place = Some((frame.seq, latency_ns));
            }
        } else {
            writeln!(
                out,
                r##"<line class="drop" x1="{0:.1}" y1="{1}" x2="{0:.1}" y2="{2}" stroke="#777" stroke-width="1"/>"##,
                axes.x(frame.seq as f64),
                axes.bottom,
                axes.bottom + 5.0
            )?;
        }
    }
    let mut points = String::new();
    for (seq, latency_ns) in longest.iter().flatten() {
        write!(points, "{:.1},{:.1} ", axes.x(*seq as f64), axes.y(milliseconds(*latency_ns)))?;
    }
    polyline(out, &points, TOTAL_COLOUR, 1.2)?;
    for (seq, latency_ns) in longest.iter().flatten().filter(|(_, latency_ns)| *latency_ns > budget_ns) {
        let (x, y) = (axes.x(*seq as f64), axes.y(milliseconds(*latency_ns)));
        writeln!(out, r#"<circle class="miss" cx="{x:.1}" cy="{y:.1}" r="3" fill="{MISS_COLOUR}"/>"#)?;
    }
    writeln!(out, r#"<text x="{}" y="648" text-anchor="middle">frame</text>"#, 0.5 * (LEFT + RIGHT))
}

/// Grid, border and labels of a set of axes.
fn frame_and_ticks(
    out: &mut String,
    axes: &Axes,
    ticks: impl Iterator<Item = (f64, String)>,
) -> std::fmt::Result {
    let step = round_step(axes.y_max_ms / 5.0);
    let mut ms = 0.0;
    while ms <= axes.y_max_ms {
        let y = axes.y(ms);
        // Steps of whole tenths of a decade: twelve digits hide what adding them up has rounded.
        let label = (ms * 1e12).round() / 1e12;
        writeln!(
            out,
            r##"<line x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}" stroke="#e4e4e4"/><text x="{}" y="{:.1}" text-anchor="end">{label}</text>"##,
            LEFT - 8.0,
            y + 4.0
        )?;
        ms += step;
    }
    for (at, label) in ticks {
        let x = axes.x(at);
        writeln!(
            out,
            r##"<line x1="{x:.1}" y1="{}" x2="{x:.1}" y2="{}" stroke="#e4e4e4"/><text x="{x:.1}" y="{}" text-anchor="middle">{label}</text>"##,
            axes.top,
            axes.bottom,
            axes.bottom + 19.0
        )?;
    }
    writeln!(
        out,
        r##"<rect x="{LEFT}" y="{}" width="{}" height="{}" fill="none" stroke="#777"/>"##,
        axes.top,
        RIGHT - LEFT,
        axes.bottom - axes.top
    )
}

fn budget_line(out: &mut String, axes: &Axes, budget_ns: u64) -> std::fmt::Result {
    let y = axes.y(milliseconds(budget_ns));
    writeln!(
        out,
        r#"<line class="budget" x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}" stroke="{MISS_COLOUR}" stroke-width="1.4" stroke-dasharray="{DASHES}"/>"#
    )
}

/// One line of the legend, to the right of the axes.
fn legend_entry(out: &mut String, y: f64, text: &str, stroke: &str) -> std::fmt::Result {
    let x = RIGHT + 16.0;
    writeln!(
        out,
        r#"<line x1="{x}" y1="{0:.1}" x2="{1}" y2="{0:.1}" {stroke}/><text x="{2}" y="{y:.1}">{3}</text>"#,
        y - 4.0,
        x + 22.0,
        x + 28.0,
        escaped(text)
    )
}

fn polyline(out: &mut String, points: &str, colour: &str, width: f64) -> std::fmt::Result {
    let points = points.trim_end();
    writeln!(
        out,
        r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>"#
    )
}

fn milliseconds(time_ns: u64) -> f64 {
    time_ns as f64 * 1e-6
}

/// The smallest of 1, 2, 5, 10, ... that is not below a value above zero.
fn round_step(least: f64) -> f64 {
    let decade = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].map(|step| step * decade).into_iter().find(|&step| step >= least).unwrap_or(10.0 * decade)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
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
        latency_svg("a < b & c", &times, &list, budget_ns)
    }

    #[test]
    fn misses_and_drops_are_marked() {
        let svg = run(100, 33_000_000);
        // Of the ten slow frames, 50 and 100 are among the four dropped ones.
        assert_eq!(svg.matches(r#"class="miss""#).count(), 8);
        assert_eq!(svg.matches(r#"class="drop""#).count(), 4);
        assert_eq!(svg.matches(r#"class="budget""#).count(), 2);
        assert!(svg.contains("100 frames, 8 over budget, 4 dropped"));
        assert_eq!(run(100, 50_000_000).matches(r#"class="miss""#).count(), 0);
    }

    #[test]
    fn there_is_a_curve_for_each_stage_the_total_and_the_frames() {
        let svg = run(100, 33_000_000);
        assert_eq!(svg.matches("<polyline").count(), 4);
        for name in ["encode", "decode", "total", "90%", "99%", "a &lt; b &amp; c"] {
            assert!(svg.contains(&format!(">{name}</text>")), "{name}");
        }
        assert!(!svg.contains("99.9%"), "a hundred frames do not tell the 99.9th percentile");
        assert!(run(20_000, 33_000_000).contains(">99.99%</text>"));
    }

    /// The total's curve starts at its shortest time and ends at its longest, at the heights of its axis.
    #[test]
    fn curves_are_to_scale() {
        let svg = run(100, 33_000_000);
        let line =
            svg.lines().find(|line| line.contains(TOTAL_COLOUR) && line.contains("<polyline")).unwrap();
        let points: Vec<f64> =
            line.split('"').nth(1).unwrap().split([' ', ',']).map(|n| n.parse().unwrap()).collect();
        let y = |ms: f64| 350.0 - 292.0 * ms / (1.08 * 40.0);
        assert!((points[1] - y(10.0)).abs() < 0.2, "{} for 10 ms, not {}", points[1], y(10.0));
        assert!((points[points.len() - 1] - y(40.0)).abs() < 0.2);
        assert!((points[0] - LEFT).abs() < 0.1 && (points[points.len() - 2] - RIGHT).abs() < 0.1);
    }

    #[test]
    fn long_runs_stay_small_and_keep_every_column_with_a_miss() {
        let svg = run(200_000, 33_000_000);
        assert!(svg.matches(r#"class="miss""#).count() <= COLUMNS);
        let points = svg.lines().rfind(|line| line.contains("<polyline")).unwrap();
        assert!(points.matches(',').count() <= COLUMNS);
    }

    #[test]
    fn nothing_to_plot_is_an_empty_plot() {
        let svg = latency_svg("empty", &StageTimes::new(&[]).unwrap(), &[], 0);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.3, 1.0, 1.1, 4.0, 60.0].map(round_step), [0.5, 1.0, 2.0, 5.0, 100.0]);
    }
}
