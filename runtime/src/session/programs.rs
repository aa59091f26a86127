//! The two programs of a session, found in the model by name, with checked shapes.

use super::SessionError;
use crate::exec::Executor;
use crate::format::{ConventionsRecord, Model, PortRecord, ProgramRecord, TensorSpace};
use crate::vision::components::PICK_POINTS_MAX;
use crate::vision::{Pick, Vertex};

/// Indices of the programs and ports that a session uses.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// The program that computes features of an image.
    pub encoder: usize,
    /// Number of outputs of the encoder.
    pub encoder_outputs: usize,
    /// Encoder input: `input_size` squared normalised grey levels.
    pub image: usize,
    /// The program that computes masks from features and prompts.
    pub decoder: usize,
    /// Decoder input: x and y of each point slot.
    pub point_coords: usize,
    /// Decoder input: label of each point slot.
    pub point_labels: usize,
    /// Decoder input: logits of the previous mask, `mask_size` squared.
    pub mask_input: usize,
    /// Decoder input: 1 if there is a previous mask, else 0.
    pub has_mask_input: usize,
    /// Decoder output: logits of `mask_candidates` masks.
    pub masks: usize,
    /// Decoder output: estimated IoU of each mask.
    pub iou: usize,
    /// Side of the square masks.
    pub mask_size: usize,
}

impl Programs {
    /// Finds programs and ports.
    ///
    /// # Errors
    /// [`SessionError::Program`] or [`SessionError::Port`] name the one that is missing or has the wrong size.
    pub fn find(model: &Model<'_>) -> Result<Self, SessionError> {
        let c = model.conventions();
        if c.input_size == 0 || c.mask_size == 0 || c.point_slots < 2 || c.mask_candidates == 0 {
            return Err(SessionError::Conventions);
        }
        let program = |name: &'static str| model.program(name).ok_or(SessionError::Program { name });
        let (encoder, encoder_record) = program("encoder")?;
        let (decoder, decoder_record) = program("decoder")?;
        let find = |ports: &[PortRecord], name: &'static str, elements: u32| {
            let at = ports.iter().position(|port| model.name(port.name) == name);
            let seen = at.map(|at| model.tensors()[ports[at].tensor as usize].elements);
            match (at, seen) {
                (Some(at), Some(seen)) if seen == u64::from(elements) => Ok(at),
                _ => Err(SessionError::Port { name, seen: seen.unwrap_or(0), needed: elements.into() }),
            }
        };
        let ConventionsRecord { input_size, mask_size, point_slots, mask_candidates, .. } = *c;
        let (inputs, outputs) = (model.inputs(decoder_record), model.outputs(decoder_record));
        // The decoder reads the features where the encoder wrote them: each has one slot, of the same bank.
        let bank = |record: &ProgramRecord| match record.slots() {
            [slot] => model.header().banks().get(slot.bank as usize).filter(|bank| bank.per_kept_frame == 1),
            _ => None,
        };
        let is_state = |port: &PortRecord| model.tensor_of(port).space() == Some(TensorSpace::State);
        let is_shared = inputs.iter().any(|port| model.name(port.name) == "embedding" && is_state(port))
            && bank(encoder_record).is_some()
            && bank(encoder_record) == bank(decoder_record);
        if !is_shared {
            return Err(SessionError::Port { name: "embedding", seen: 0, needed: 0 });
        }
        Ok(Self {
            encoder,
            encoder_outputs: model.outputs(encoder_record).len(),
            image: find(model.inputs(encoder_record), "image", input_size * input_size)?,
            decoder,
            point_coords: find(inputs, "point_coords", 2 * point_slots)?,
            point_labels: find(inputs, "point_labels", point_slots)?,
            mask_input: find(inputs, "mask_input", mask_size * mask_size)?,
            has_mask_input: find(inputs, "has_mask_input", 1)?,
            masks: find(outputs, "masks", mask_candidates * mask_size * mask_size)?,
            iou: find(outputs, "iou", mask_candidates)?,
            mask_size: mask_size as usize,
        })
    }

    /// Begins a run of the encoder that writes its features to copy `copy` of their bank.
    ///
    /// # Panics
    /// If there is no such copy.
    pub fn begin_encoder(&self, executor: &mut Executor<'_>, copy: u32) {
        executor.begin(self.encoder, &[copy]).expect("the encoder has one slot, of the feature bank");
    }
}

/// Maximum clicks of a prompt, frames a box: the number of slots that the decoder was trained with.
pub const CLICKS_MAX: usize = 14;

const _: () = assert!(CLICKS_MAX <= PICK_POINTS_MAX);

/// One click, in grid pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GridClick {
    /// x and y: pixel indices.
    pub at: [f32; 2],
    /// Whether the click is inside the object.
    pub is_positive: bool,
}

/// A prompt for the decoder, in grid pixels: a box, clicks, or both.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DecoderPrompt {
    /// Left, top, right, bottom.
    pub box_px: Option<[f32; 4]>,
    clicks: [GridClick; CLICKS_MAX],
    count: usize,
}

/// Labels of the decoder's points, as in training.
mod label {
    pub const NEGATIVE: f32 = 0.0;
    pub const POSITIVE: f32 = 1.0;
    pub const BOX_FROM: f32 = 2.0;
    pub const BOX_TO: f32 = 3.0;
    pub const NONE: f32 = -1.0;
}

impl DecoderPrompt {
    /// Creates a prompt of a box without clicks.
    pub fn of_box(box_px: [f32; 4]) -> Self {
        Self { box_px: Some(box_px), ..Self::default() }
    }

    /// Adds a click. If there is no room, drops the oldest: its effect persists in the mask.
    pub fn add(&mut self, click: GridClick) {
        if self.count == CLICKS_MAX {
            self.clicks.rotate_left(1);
            self.count -= 1;
        }
        self.clicks[self.count] = click;
        self.count += 1;
    }

    /// Returns the clicks in order of arrival.
    pub fn clicks(&self) -> &[GridClick] {
        &self.clicks[..self.count]
    }

    /// Begins a run of the decoder on the features in copy `copy` of their bank, and fills its inputs: box corners
    /// first, then clicks; unused slots have a label of their own. `mask` holds the logits of the previous mask, if
    /// there is one.
    ///
    /// # Panics
    /// If there is no such copy.
    pub fn begin(&self, executor: &mut Executor<'_>, programs: &Programs, copy: u32, mask: Option<&[f32]>) {
        executor.begin(programs.decoder, &[copy]).expect("the decoder has one slot, of the feature bank");
        let corners =
            self.box_px.map(|[x0, y0, x1, y1]| [([x0, y0], label::BOX_FROM), ([x1, y1], label::BOX_TO)]);
        let labelled =
            |click: &GridClick| (click.at, if click.is_positive { label::POSITIVE } else { label::NEGATIVE });
        let points = || corners.into_iter().flatten().chain(self.clicks().iter().map(labelled));
        let coords = executor.input_mut(programs.point_coords);
        coords.fill(0.0);
        for (slot, (at, _)) in coords.chunks_exact_mut(2).zip(points()) {
            slot.copy_from_slice(&at);
        }
        let labels = executor.input_mut(programs.point_labels);
        labels.fill(label::NONE);
        for (slot, (_, label)) in labels.iter_mut().zip(points()) {
            *slot = label;
        }
        let mask_input = executor.input_mut(programs.mask_input);
        match mask {
            Some(mask) => mask_input.copy_from_slice(mask),
            None => mask_input.fill(0.0),
        }
        let has_mask = if mask.is_some() { 1.0 } else { 0.0 };
        executor.input_mut(programs.has_mask_input).fill(has_mask);
    }

    /// Returns whether there is a click inside the object.
    pub fn has_positive_click(&self) -> bool {
        self.clicks().iter().any(|click| click.is_positive)
    }

    /// Selects the component of a mask: one that contains a positive click, else the largest. `at` is scratch for the
    /// clicks.
    pub fn pick<'a>(&self, at: &'a mut [Vertex; CLICKS_MAX]) -> Pick<'a> {
        let positive = self.clicks().iter().filter(|click| click.is_positive);
        match at.iter_mut().zip(positive).map(|(to, click)| *to = click.at).count() {
            0 => Pick::Largest,
            count => Pick::Containing(&at[..count]),
        }
    }

    /// Selects the mask for this prompt by the decoder's IoU estimates. A single positive click is ambiguous: it takes
    /// the best candidate after the first, if there are several masks. Every other prompt takes the first mask.
    pub fn choose(&self, iou: &[f32]) -> usize {
        let is_lone_click =
            self.box_px.is_none() && matches!(self.clicks(), [GridClick { is_positive: true, .. }]);
        if !is_lone_click {
            return 0;
        }
        (1..iou.len()).fold(1.min(iou.len() - 1), |best, at| if iou[at] > iou[best] { at } else { best })
    }
}
