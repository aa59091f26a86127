//! The region of the picture that each prompt is for, and why a prompt cannot be served.

use super::scan::Timed;
use sonotrace::hal::command::{Prompt, PromptKind};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::PromptOutcome;
use sonotrace_replay::{DisplayHint, Recording};

/// The prompts of one region.
#[derive(Debug)]
pub struct Group {
    /// Index of the region; `None` if the recording has none.
    pub region: Option<usize>,
    /// The prompts, each with its number on the command line, counted from 1.
    pub prompts: Vec<(usize, Timed)>,
}

/// A prompt that was not served.
#[derive(Debug)]
pub struct Refused {
    /// The prompt and the reason, in one sentence.
    pub words: String,
}

impl Refused {
    /// The sentence for a prompt with its number and object, refused on frame `seq`.
    pub fn new(
        number: usize,
        object: u32,
        seq: u64,
        outcome: Option<PromptOutcome>,
        fault: Option<&str>,
    ) -> Self {
        let outcome = outcome.map_or("unknown", PromptOutcome::name);
        let fault = fault.map_or(String::new(), |fault| format!(": {fault}"));
        Self {
            words: format!(
                "prompt {number} for object {object} was refused on frame {seq}: {outcome}{fault}"
            ),
        }
    }
}

/// The prompts by region.
#[derive(Debug)]
pub struct Placed {
    /// At least one prompt each.
    pub groups: Vec<Group>,
    /// Prompts in no region, or in one that shows no tissue.
    pub refused: Vec<Refused>,
}

impl Placed {
    /// Finds the region of each prompt. An object is in the region of its first prompt.
    pub fn new(recording: &Recording, prompts: &[Timed]) -> Self {
        let mut placed = Self { groups: Vec::new(), refused: Vec::new() };
        for (number, timed) in (1..).zip(prompts) {
            match placed.region_of(recording, &timed.prompt) {
                Ok(region) => match placed.groups.iter_mut().find(|group| group.region == region) {
                    Some(group) => group.prompts.push((number, *timed)),
                    None => placed.groups.push(Group { region, prompts: vec![(number, *timed)] }),
                },
                Err((outcome, fault)) => {
                    let object = timed.prompt.object;
                    let refused = Refused::new(number, object, timed.seq, Some(outcome), Some(&fault));
                    placed.refused.push(refused);
                }
            }
        }
        placed
    }

    /// The region that a prompt is for, or why it is refused.
    fn region_of(
        &self,
        recording: &Recording,
        prompt: &Prompt,
    ) -> Result<Option<usize>, (PromptOutcome, String)> {
        let belongs =
            |group: &&Group| group.prompts.iter().any(|(_, other)| other.prompt.object == prompt.object);
        let of_object = self.groups.iter().find(belongs).map(|group| group.region);
        if prompt.kind == PromptKind::Remove {
            let unknown = || (PromptOutcome::UnknownObject, format!("there is no object {}", prompt.object));
            return of_object.ok_or_else(unknown);
        }
        let region = region_at(recording, prompt).map_err(|fault| (PromptOutcome::OutsideField, fault))?;
        match of_object {
            Some(other) if other != region => {
                let name = other.and_then(|at| recording.regions().get(at));
                let name = name.map_or("another region", |region| region.name.as_str());
                let fault =
                    format!("object {} is already in {name}: give another object number", prompt.object);
                Err((PromptOutcome::OutsideField, fault))
            }
            _ => Ok(region),
        }
    }
}

/// The region that a prompt points into, or why there is none.
fn region_at(recording: &Recording, prompt: &Prompt) -> Result<Option<usize>, String> {
    let at = |point| recording.region_at(point);
    match prompt.kind {
        PromptKind::Click { at: point, .. } => {
            at(point).map_err(|fault| format!("({}, {}): {fault}", point.x, point.y))
        }
        PromptKind::Box { from, to } => {
            if let (Ok(Some(first)), Ok(Some(last))) = (at(from), at(to))
                && first != last
            {
                let name = |index: usize| recording.regions().get(index).map_or("", |region| &region.name);
                return Err(format!("its corners are in {} and in {}", name(first), name(last)));
            }
            let middle = Point { x: (from.x + to.x) / 2.0, y: (from.y + to.y) / 2.0 };
            at(middle).map_err(|fault| format!("its middle, ({}, {}): {fault}", middle.x, middle.y))
        }
        PromptKind::Remove => Ok(None),
    }
}

/// Why the session refused a prompt, in words; `size` is that of the displayed picture.
pub fn fault(prompt: &Prompt, outcome: PromptOutcome, size: (u32, u32), recording: &Recording) -> String {
    match outcome {
        PromptOutcome::Served => "it was served".to_owned(),
        PromptOutcome::TooOld => "its frame is older than all that are kept".to_owned(),
        PromptOutcome::FutureFrame => "its frame has not come yet".to_owned(),
        PromptOutcome::NoRoom => "there are as many objects as possible".to_owned(),
        PromptOutcome::UnknownObject if prompt.kind == PromptKind::Remove => {
            format!("there is no object {}", prompt.object)
        }
        PromptOutcome::UnknownObject => format!(
            "there is no object {0}, which a click outside an object corrects: give object {0} a click inside it or a box first",
            prompt.object
        ),
        PromptOutcome::OutsideField => outside(prompt, size, recording),
    }
}

fn outside(prompt: &Prompt, (width, height): (u32, u32), recording: &Recording) -> String {
    let (what, at) = match prompt.kind {
        PromptKind::Box { from, to } if from.x == to.x || from.y == to.y => {
            return format!("its box from ({}, {}) to ({}, {}) has no extent", from.x, from.y, to.x, to.y);
        }
        PromptKind::Box { from, to } => {
            ("its box's middle", Point { x: (from.x + to.x) / 2.0, y: (from.y + to.y) / 2.0 })
        }
        PromptKind::Click { at, .. } => ("it", at),
        PromptKind::Remove => return "it points nowhere".to_owned(),
    };
    let is_within = |at: f32, size: u32| at >= -0.5 && at < size as f32 - 0.5;
    let point = format!("({}, {})", at.x, at.y);
    if !(is_within(at.x, width) && is_within(at.y, height)) {
        return format!("{what}, {point}, is outside the picture of {width} x {height} pixels");
    }
    match (recording.display, recording.region()) {
        (DisplayHint::Source, Some(region)) => format!(
            "{what}, {point}, is outside {} (columns {}..{} and rows {}..{})",
            region.name,
            region.columns.start,
            region.columns.end - 1,
            region.rows.start,
            region.rows.end - 1
        ),
        _ => format!("{what}, {point}, is outside the scan in the picture of {width} x {height} pixels"),
    }
}
