//! Prompts on the command line: clicks, boxes, and names.

use super::scan::{PROMPTS_MAX, Timed};
use anyhow::{Context, Result, ensure};
use clap::Args;
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::OBJECTS_MAX;

/// Prompts in pixels of the displayed picture, on the first frame unless another one is given.
#[derive(Debug, Args)]
pub struct Pointing {
    /// A click, in pixels of the picture. Add `,neg` for a click outside the object, `OBJECT:` in front if there are
    /// several objects (`--click 2:120,96,neg`), and `FRAME@` in front of that for a later frame than the first, counted
    /// from 1 (`--click 40@2:120,96`).
    #[arg(long, value_name = "[FRAME@][OBJECT:]X,Y[,neg]", value_parser = click, allow_hyphen_values = true)]
    click: Vec<Click>,
    /// A box around an object, in pixels of the picture. Without `OBJECT:`, each box is a new object, and all clicks
    /// without `OBJECT:` together are one more. `FRAME@` as for a click.
    #[arg(long = "box", value_name = "[FRAME@][OBJECT:]X0,Y0,X1,Y1", value_parser = rectangle, allow_hyphen_values = true)]
    boxes: Vec<Rectangle>,
    /// A name for an object (`--name 1="left ventricle"`).
    #[arg(long = "name", value_name = "OBJECT=NAME", value_parser = name)]
    names: Vec<(u32, String)>,
}

/// A click.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Click {
    seq: u64,
    object: Option<u32>,
    at: Point,
    is_positive: bool,
}

/// A box.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rectangle {
    seq: u64,
    object: Option<u32>,
    from: Point,
    to: Point,
}

impl Pointing {
    /// The prompts, boxes first.
    ///
    /// # Errors
    /// More prompts or objects than are possible.
    pub fn prompts(&self) -> Result<Vec<Timed>> {
        let named = self.click.iter().filter_map(|click| click.object);
        let named = named.chain(self.boxes.iter().filter_map(|rectangle| rectangle.object));
        // Objects without a number get the numbers after the largest given one.
        let mut next = named
            .max()
            .map_or(Some(1), |most| most.checked_add(1))
            .context("the largest object number is 4294967294")?;
        let mut prompts = Vec::new();
        for rectangle in &self.boxes {
            let object = rectangle.object.unwrap_or(next);
            next += u32::from(rectangle.object.is_none());
            let kind = PromptKind::Box { from: rectangle.from, to: rectangle.to };
            prompts.push(timed(rectangle.seq, object, kind));
        }
        for click in &self.click {
            let kind = PromptKind::Click { at: click.at, is_positive: click.is_positive };
            let object = click.object.unwrap_or(next);
            prompts.push(timed(click.seq, object, kind));
        }
        ensure!(
            prompts.len() <= PROMPTS_MAX,
            "{} prompts are given, at most {PROMPTS_MAX} are possible",
            prompts.len()
        );
        let mut objects: Vec<u32> = prompts.iter().map(|timed| timed.prompt.object).collect();
        objects.sort_unstable();
        objects.dedup();
        ensure!(
            objects.len() <= OBJECTS_MAX,
            "prompts are for {} objects, at most {OBJECTS_MAX} can be tracked",
            objects.len()
        );
        Ok(prompts)
    }

    /// Names of objects, by their number.
    pub fn names(&self) -> Vec<(u32, &str)> {
        self.names.iter().map(|(object, name)| (*object, name.as_str())).collect()
    }
}

/// The clicks among prompts: sequence number of the frame, position in display pixels, and whether positive.
pub fn clicks(prompts: &[Timed]) -> Vec<(u64, Point, bool)> {
    let click = |timed: &Timed| match timed.prompt.kind {
        PromptKind::Click { at, is_positive } => Some((timed.seq, at, is_positive)),
        PromptKind::Box { .. } | PromptKind::Remove => None,
    };
    prompts.iter().filter_map(click).collect()
}

fn timed(seq: u64, object: u32, kind: PromptKind) -> Timed {
    Timed { seq, prompt: Prompt { object, seq: 0, space: PointSpace::Display, kind } }
}

/// Checks that the frames of prompts are in a recording of this many frames.
///
/// # Errors
/// The first prompt on a later frame.
pub fn check_frames(prompts: &[Timed], frames: usize) -> Result<()> {
    for Timed { seq, prompt } in prompts {
        let object = prompt.object;
        ensure!(
            *seq <= frames as u64,
            "the prompt for object {object} is on frame {seq}, but the recording has {frames}"
        );
    }
    Ok(())
}

/// A frame's number before an `@`, and what follows; without one, the first frame.
fn frame(text: &str) -> Result<(u64, &str)> {
    let Some((number, rest)) = text.split_once('@') else { return Ok((1, text)) };
    let number = number.trim().parse().ok().filter(|&number: &u64| number > 0);
    Ok((number.context("a frame's number is 1 or more")?, rest))
}

/// An object's number before a colon, and what follows.
fn object(text: &str) -> Result<(Option<u32>, &str)> {
    let Some((number, rest)) = text.split_once(':') else { return Ok((None, text)) };
    let object: u32 =
        number.trim().parse().ok().filter(|&object| object > 0).context("an object's number is 1 or more")?;
    Ok((Some(object), rest))
}

/// Numbers between commas.
pub(super) fn numbers<const N: usize>(text: &str) -> Option<[f32; N]> {
    let parsed: Option<Vec<f32>> = text
        .split(',')
        .map(|part| part.trim().parse().ok().filter(|value: &f32| value.is_finite()))
        .collect();
    parsed?.try_into().ok()
}

fn click(text: &str) -> Result<Click> {
    let (seq, text) = frame(text)?;
    let (object, place) = object(text)?;
    let (place, is_positive) = place.strip_suffix(",neg").map_or((place, true), |place| (place, false));
    let [x, y] = numbers(place).context("expected X,Y or X,Y,neg in pixels, such as 120,96")?;
    Ok(Click { seq, object, at: Point { x, y }, is_positive })
}

fn rectangle(text: &str) -> Result<Rectangle> {
    let (seq, text) = frame(text)?;
    let (object, corners) = object(text)?;
    let [x0, y0, x1, y1] =
        numbers(corners).context("expected X0,Y0,X1,Y1 in pixels, such as 80,60,160,140")?;
    Ok(Rectangle { seq, object, from: Point { x: x0, y: y0 }, to: Point { x: x1, y: y1 } })
}

fn name(text: &str) -> Result<(u32, String)> {
    let (object, name) =
        text.split_once('=').context("expected OBJECT=NAME, such as 1=\"left ventricle\"")?;
    let object = object.trim().parse().context("an object's number is 1 or more")?;
    Ok((object, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_without_a_number_are_numbered_after_the_others() {
        let pointing = Pointing {
            click: ["3:10,20", "3:11,21,neg", "5,6"].map(|text| click(text).unwrap()).to_vec(),
            boxes: ["1,2,3,4", "1:5,6,7,8", "9,9,12,12"].map(|text| rectangle(text).unwrap()).to_vec(),
            names: vec![name("3=left ventricle").unwrap()],
        };
        let prompts = pointing.prompts().unwrap();
        let objects: Vec<u32> = prompts.iter().map(|timed| timed.prompt.object).collect();
        assert_eq!(objects, [4, 1, 5, 3, 3, 6]);
        assert_eq!(pointing.names(), [(3, "left ventricle")]);
        let negative = clicks(&prompts)[1];
        assert_eq!(negative, (1, Point { x: 11.0, y: 21.0 }, false));
    }

    #[test]
    fn a_frame_may_stand_before_the_object() {
        let pointing = Pointing {
            click: ["5,6", "40@1,2", "7@3:1,2,neg"].map(|text| click(text).unwrap()).to_vec(),
            boxes: vec![rectangle("12@1,2,3,4").unwrap()],
            names: vec![],
        };
        let prompts = pointing.prompts().unwrap();
        let seen: Vec<(u64, u32)> = prompts.iter().map(|timed| (timed.seq, timed.prompt.object)).collect();
        assert_eq!(seen, [(12, 4), (1, 5), (40, 5), (7, 3)]);
        assert!(check_frames(&prompts, 40).is_ok());
        let text = check_frames(&prompts, 39).unwrap_err().to_string();
        assert_eq!(text, "the prompt for object 5 is on frame 40, but the recording has 39");
    }

    #[test]
    fn invalid_prompts_are_refused() {
        for bad in [
            "", "1", "1,2,3", "a,2", "0:1,2", "x:1,2", "1,inf", "1,2,pos", "0@1,2", "@1,2", "-1@1,2", "1@",
            "2:1@1,2", "1@2@1,2",
        ] {
            assert!(click(bad).is_err(), "{bad}");
        }
        for bad in ["1,2,3", "1,2,3,nan", ":1,2,3,4"] {
            assert!(rectangle(bad).is_err(), "{bad}");
        }
        assert!(name("left").is_err() && name("x=y").is_err());
        let none = Pointing { click: vec![], boxes: vec![], names: vec![] };
        assert_eq!(none.prompts().unwrap(), []);
        let many = (1..=11).map(|object| click(&format!("{object}:1,2")).unwrap()).collect();
        let many = Pointing { click: many, ..none };
        assert!(many.prompts().unwrap_err().to_string().contains("11 objects"));
        let many = Pointing { click: vec![click("1:1,2").unwrap(); 65], ..many };
        assert!(many.prompts().unwrap_err().to_string().contains("65 prompts are given, at most 64"));
    }
}
