//! The plots: bars by object or kind, and Dice by frame of the loops with the lowest.

use super::figures::dice_mean;
use super::play::{ACCEPTED_DICE, Played};
use crate::output::annotate::state_colour;
use crate::output::svg::{AXIS_COLOUR, Area, COLOURS, GRID_COLOUR, fine, label, stroke, svg};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use sonotrace::hal::overlay::State;

/// Loops that are drawn.
const LOOPS_MAX: usize = 12;
/// Panels side by side.
const COLUMNS: usize = 3;
/// A panel of frames, with its margins.
const PANEL: [i32; 2] = [320, 200];
/// Margins of a panel: left, top, right, bottom.
const MARGINS: [i32; 4] = [42, 38, 14, 30];
/// Most characters of a title or name.
const TITLE_MAX: usize = 40;
const NAME_MAX: usize = 14;
const INTERVENTION_COLOUR: RGBColor = RGBColor(0xd0, 0, 0);

/// One group of bars.
pub struct Bars<'a> {
    /// Title.
    pub title: &'a str,
    /// Value at the top of the axis; by default the next round one.
    pub top: Option<f64>,
    /// Name and value; none where there is no value.
    pub values: Vec<(&'a str, Option<f64>)>,
}

/// Groups of bars, one below the other.
///
/// # Errors
/// None is expected.
pub fn bars_svg(groups: &[Bars<'_>]) -> Result<String> {
    let most = groups.iter().map(|group| group.values.len()).max().unwrap_or(0).max(3) as i32;
    let (bar, height) = (100, 176);
    let width = MARGINS[0] + bar * most + MARGINS[2];
    svg(width as u32, (height * groups.len().max(1) as i32) as u32, |root| {
        for (at, group) in (0..).zip(groups) {
            let highest = group.values.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
            let top = group.top.unwrap_or_else(|| round_above(highest));
            let panel = Panel {
                left: 0,
                top: at * height,
                width,
                height,
                x_max: f64::from(most),
                y_min: 0.0,
                y_max: top,
            };
            panel.axes(root, group.title)?;
            for (place, (name, value)) in (0..).zip(&group.values) {
                let middle = f64::from(place) + 0.5;
                if let Some(value) = value {
                    let corners = [panel.at(middle - 0.3, value.min(top)), panel.at(middle + 0.3, 0.0)];
                    root.draw(&Rectangle::new(corners, COLOURS[2].filled()))?;
                    panel.label(root, &format!("{value:.2}"), [middle, value.min(top)], -8)?;
                }
                panel.label(root, &shortened(name, NAME_MAX), [middle, 0.0], 12)?;
            }
        }
        Ok(())
    })
}

/// A loop of the plot.
pub struct LoopLines<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its objects: id, and what was played.
    pub objects: Vec<(u8, &'a Played)>,
}

/// The loops with the lowest mean Dice, at most [`LOOPS_MAX`]: Dice by frame of each object, with interventions as red dots; along the
/// bottom, frames that need attention or say that an object is absent, in the colours of overlays.
///
/// # Errors
/// None is expected.
pub fn loops_svg(mut loops: Vec<LoopLines<'_>>) -> Result<String> {
    let lowest = |of: &LoopLines<'_>| {
        of.objects.iter().filter_map(|(_, played)| dice_mean(played)).fold(f64::INFINITY, f64::min)
    };
    loops.sort_by(|a, b| lowest(a).total_cmp(&lowest(b)));
    loops.truncate(LOOPS_MAX);
    let dice =
        loops.iter().flat_map(|of| &of.objects).flat_map(|(_, of)| &of.frames).filter_map(|frame| frame.dice);
    // The best loops would be lines along the top of axes from 0.
    let y_min = (dice.fold(0.8, f64::min) * 5.0).floor() / 5.0;
    let rows = loops.len().div_ceil(COLUMNS).max(1);
    let [width, height] = PANEL;
    svg(width as u32 * COLUMNS as u32, height as u32 * rows as u32, |root| {
        for (at, of) in loops.iter().enumerate() {
            let frames = of.objects.iter().map(|(_, played)| played.frames.len()).max().unwrap_or(0);
            let panel = Panel {
                left: width * (at % COLUMNS) as i32,
                top: height * (at / COLUMNS) as i32,
                width,
                height,
                x_max: frames.max(1) as f64,
                y_min,
                y_max: 1.0,
            };
            panel.axes(root, of.name)?;
            let line = [0.0, panel.x_max].map(|x| panel.at(x, ACCEPTED_DICE));
            root.draw(&PathElement::new(line, stroke(AXIS_COLOUR, 0.8)))?;
            for (count, (id, played)) in of.objects.iter().enumerate() {
                let colour = COLOURS[count % COLOURS.len()];
                panel.object(root, played, colour, count)?;
                let at = [
                    panel.left + width - MARGINS[2] - 24 * (of.objects.len() - count) as i32,
                    panel.top + 26,
                ];
                root.draw(&Circle::new((fine(at[0]), fine(at[1])), fine(4), colour.filled()))?;
                label(root, &id.to_string(), [at[0] + 7, at[1]], HPos::Left)?;
            }
        }
        Ok(())
    })
}

/// Axes at a place of the plot, in its pixels.
struct Panel {
    left: i32,
    top: i32,
    width: i32,
    height: i32,
    x_max: f64,
    y_min: f64,
    y_max: f64,
}

impl Panel {
    /// A point in units that are drawn.
    fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let across = f64::from(fine(self.width - MARGINS[0] - MARGINS[2]));
        let down = f64::from(fine(self.height - MARGINS[1] - MARGINS[3]));
        let left = f64::from(fine(self.left + MARGINS[0]));
        let bottom = f64::from(fine(self.top + self.height - MARGINS[3]));
        let height = (y - self.y_min) / (self.y_max - self.y_min);
        ((left + across * x / self.x_max).round() as i32, (bottom - down * height).round() as i32)
    }

    fn axes(&self, area: &Area<'_>, title: &str) -> Result<()> {
        label(area, &shortened(title, TITLE_MAX), [self.left + MARGINS[0], self.top + 12], HPos::Left)?;
        for step in 0..=4 {
            let y = self.y_min + (self.y_max - self.y_min) * f64::from(step) / 4.0;
            let colour = if step == 0 { AXIS_COLOUR } else { GRID_COLOUR };
            area.draw(&PathElement::new([self.at(0.0, y), self.at(self.x_max, y)], stroke(colour, 1.0)))?;
            let (_, down) = self.at(0.0, y);
            let text = format!("{}", (y * 1e3).round() / 1e3);
            label(area, &text, [self.left + MARGINS[0] - 6, down / fine(1)], HPos::Right)?;
        }
        Ok(())
    }

    /// Writes a text at a place, `below_px` below it.
    fn label(&self, area: &Area<'_>, text: &str, [x, y]: [f64; 2], below_px: i32) -> Result<()> {
        let (x, y) = self.at(x, y);
        label(area, text, [x / fine(1), y / fine(1) + below_px], HPos::Center)
    }

    /// The `count`th object's line, with gaps where it is absent.
    fn object(&self, area: &Area<'_>, played: &Played, colour: RGBColor, count: usize) -> Result<()> {
        let frames = || played.frames.iter().enumerate().map(|(at, frame)| ((at + 1) as f64, frame));
        let points: Vec<_> = frames().map(|(x, frame)| frame.dice.map(|dice| (x, dice))).collect();
        for line in points.split(Option::is_none) {
            let line: Vec<_> = line.iter().flatten().map(|&(x, dice)| self.at(x, dice)).collect();
            if let [point] = line[..] {
                area.draw(&Circle::new(point, fine(1), colour.filled()))?;
            }
            area.draw(&PathElement::new(line, stroke(colour, 1.5)))?;
        }
        for (x, frame) in frames() {
            if let (Some(_), Some(dice)) = (frame.intervention, frame.dice) {
                area.draw(&Circle::new(self.at(x, dice), fine(3), INTERVENTION_COLOUR.filled()))?;
            }
            if frame.told.state != State::Tracked {
                let [red, green, blue] = state_colour(frame.told.state);
                let (x, y) = self.at(x, self.y_min);
                let y = y + fine(4 + 5 * count as i32);
                let corners = [(x - fine(1), y), (x + fine(1), y + fine(4))];
                area.draw(&Rectangle::new(corners, RGBColor(red, green, blue).filled()))?;
            }
        }
        if count == 0 {
            let text = format!("frame {}", played.frames.len() + 1);
            self.label(area, &text, [0.9 * self.x_max, self.y_min], 24)?;
        }
        Ok(())
    }
}

/// 1, 2 or 5 times a power of ten that is not below a value; 1 for 0.
fn round_above(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let decade = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].map(|step| step * decade).into_iter().find(|&step| step >= value).unwrap_or(10.0 * decade)
}

/// The end of a name that is too long.
fn shortened(name: &str, most: usize) -> String {
    let count = name.chars().count();
    if count <= most {
        return name.to_owned();
    }
    format!("...{}", name.chars().skip(count + 3 - most).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::play::{Followed, Intervention, Told};
    use super::*;

    fn followed(dice: Option<f64>, state: State) -> Followed {
        let intervention =
            dice.filter(|&dice| dice < 0.9).map(|dice| Intervention { drop: 1.0 - dice, clicks: 2 });
        Followed { dice, share: 1.0, told: Told { confidence: 0.5, state }, intervention }
    }

    #[test]
    fn loops_show_interventions_gaps_and_states() {
        let frames = vec![
            followed(Some(0.95), State::Tracked),
            followed(Some(0.8), State::Attention),
            followed(None, State::Absent),
            followed(Some(0.92), State::Tracked),
        ];
        let played = Played { first_clicks: 1, frames };
        let worse = Played { frames: vec![followed(Some(0.5), State::Tracked); 4], ..played.clone() };
        let of = |name, played| LoopLines { name, objects: vec![(7, played)] };
        let svg = loops_svg(vec![of("better <", &played), of("worse", &worse)]).expect("it is drawn");
        let red = svg.matches(r##"<circle"##).count();
        // Five interventions, two legends, a lone point after the gap.
        assert_eq!(red, 5 + 2 + 1, "{svg}");
        assert!(svg.find("worse") < svg.find("better &lt;"), "the lowest Dice comes first");
        assert!(svg.contains("#FF9814") && svg.contains("#BE78FF"), "attention and absent: {svg}");
        assert!(!svg.contains("NaN"));
        loops_svg(Vec::new()).expect("no loops give an empty plot");
    }

    #[test]
    fn bars_have_the_height_of_their_values() {
        let values = vec![("1", Some(0.5)), ("a name that is far too long", None), ("3", Some(1.0))];
        let svg = bars_svg(&[Bars { title: "Dice", top: Some(1.0), values }]).expect("it is drawn");
        let heights: Vec<f64> = svg
            .lines()
            .filter(|line| line.starts_with("<rect") && line.contains("#0072B2"))
            .filter_map(|line| line.split("height=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        let [half, whole] = heights[..] else { panic!("{heights:?}") };
        assert!((whole / half - 2.0).abs() < 0.01, "{half} {whole}");
        assert!(svg.contains("...ar too long"), "{svg}");
    }

    #[test]
    fn axes_end_at_round_values() {
        let round = [0.0, 0.3, 1.0, 1.2, 4.0, 7.0, 30.0].map(round_above);
        assert_eq!(round, [1.0, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0]);
    }
}
