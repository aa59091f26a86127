//! The deployed model on one loop: the runtime's follower, as a session drives it.

use super::super::network::Network;
use super::super::protocol::Mask;
use super::folder::{FrameFiles, LoopFolder};
use super::play::{Model, Told};
use anyhow::{Context, Result, bail};
use sonotrace::format::TrackingRecord;
use sonotrace::hal::overlay::State;
use sonotrace::kernels::arch::Instructions;
use sonotrace::session::{DecoderPrompt, SessionConfig, Standing, Thresholds};
use sonotrace::tracking::PLACES;
use sonotrace::tracking::follower::{BufferLengths, Buffers, Checks, Drawn, Follower, Following};
use sonotrace::tracking::looks::Figures;
use sonotrace::tracking::programs::TrackerPrograms;
use sonotrace::vision::InputGrid;

/// Copies of the features: of the frame in work, and of the anchor.
const COPIES: u32 = 2;

/// Memory of a follower.
pub struct Memory {
    probabilities: Vec<f32>,
    odds: Vec<f32>,
    tokens: Vec<f32>,
    whole: Vec<f32>,
    inside: Vec<u64>,
    figures: Vec<Figures>,
    words: Vec<u64>,
    floats: Vec<f32>,
}

impl Memory {
    /// Memory for a model.
    pub fn new(programs: &TrackerPrograms) -> Self {
        let lengths = BufferLengths::of(&programs.sizes);
        Self {
            probabilities: vec![0.0; lengths.probabilities],
            odds: vec![0.0; lengths.odds],
            tokens: vec![0.0; lengths.tokens],
            whole: vec![0.0; lengths.whole],
            inside: vec![0; lengths.inside],
            figures: vec![Figures::default(); lengths.figures],
            words: vec![0; lengths.words],
            floats: vec![0.0; lengths.floats],
        }
    }

    fn buffers(&mut self) -> Buffers<'_> {
        Buffers {
            probabilities: &mut self.probabilities,
            odds: &mut self.odds,
            tokens: &mut self.tokens,
            whole: &mut self.whole,
            inside: &mut self.inside,
            figures: &mut self.figures,
            words: &mut self.words,
            floats: &mut self.floats,
        }
    }
}

/// What a model follows with.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The tracker's programs.
    pub programs: TrackerPrograms,
    /// The tracker's constants.
    pub tracking: TrackingRecord,
    /// How the segmenter checks objects.
    pub checks: Checks,
}

/// A loop that is followed.
pub struct Tracker<'a, 'm> {
    network: &'a mut Network<'m>,
    follower: Follower<'a>,
    thresholds: Thresholds,
    frames: std::slice::Iter<'a, FrameFiles>,
    ids: &'a [u8],
    /// The copy of the current frame's features.
    features: u32,
    /// The current frame's.
    grid: Option<InputGrid>,
    standing: [Standing; PLACES],
    told: [Option<Told>; PLACES],
}

impl<'a, 'm> Tracker<'a, 'm> {
    /// Begins a loop, whose objects have these ids.
    pub fn new(
        network: &'a mut Network<'m>,
        rules: &Rules,
        memory: &'a mut Memory,
        of: &'a LoopFolder,
        ids: &'a [u8],
    ) -> Self {
        let Rules { programs, tracking, checks } = *rules;
        let (decoder, size) = (network.programs, network.input_size());
        let buffers = memory.buffers();
        Self {
            network,
            follower: Follower::new(programs, decoder, tracking, size, checks, Instructions::best(), buffers),
            thresholds: Thresholds::new(&SessionConfig::default(), &tracking),
            frames: of.frames.iter(),
            ids,
            features: 0,
            grid: None,
            standing: [Standing::default(); PLACES],
            told: [None; PLACES],
        }
    }

    /// Works on the frame until it is done.
    fn finish(&mut self) -> Result<()> {
        loop {
            match self.follower.advance(&mut self.network.executor, &self.network.grey, &mut || true) {
                Following::Paused => {}
                Following::Done => return Ok(()),
                Following::NotFinite => bail!("the tracker computed a value that is not finite"),
            }
        }
    }
}

impl Model for Tracker<'_, '_> {
    fn next(&mut self) -> Result<Option<Vec<Mask>>> {
        let Some(files) = self.frames.next() else { return Ok(None) };
        let size = self.network.input_size();
        let mut loaded = files.read(size)?;
        let anchor = self.follower.memory().map(|memory| memory.anchor().features);
        self.features = (0..COPIES).find(|&copy| Some(copy) != anchor).context("no copy is free")?;
        self.grid = Some(self.network.encode(&loaded.recorded, self.features)?);
        if self.follower.begin(&mut self.network.executor, self.features) {
            self.finish().with_context(|| format!("frame {}", files.number))?;
            for place in self.follower.followed().places() {
                let outcome = self.follower.outcome(place);
                let standing = self.standing[place].after(&outcome, &self.thresholds);
                self.told[place] = Some(Told { confidence: outcome.right, state: standing.state() });
                self.standing[place] = standing;
            }
            self.follower.accept(&mut self.network.executor);
            for place in self.follower.followed().places() {
                let is_empty = self.follower.box_of(self.follower.odds(place)).is_none();
                if let Some(told) =
                    self.told[place].as_mut().filter(|told| is_empty && told.state != State::Absent)
                {
                    // As on an overlay: there is no contour.
                    told.state = State::Lost;
                }
            }
        }
        let truth = |id| loaded.objects.remove(id).unwrap_or_else(|| no_mask(size));
        Ok(Some(self.ids.iter().map(truth).collect()))
    }

    fn logits(&self, object: usize) -> Vec<f32> {
        self.follower.odds(object).to_vec()
    }

    fn told(&self, object: usize) -> Told {
        let unknown = Told { confidence: 0.0, state: Standing::default().state() };
        self.told[object].unwrap_or(unknown)
    }

    fn mask(&self, logits: &[f32]) -> Mask {
        let none = || no_mask(self.network.input_size());
        self.grid.as_ref().map_or_else(none, |grid| self.network.mask(logits, grid))
    }

    fn box_of(&self, logits: &[f32]) -> Option<[f32; 4]> {
        self.follower.box_of(logits)
    }

    fn answer(&mut self, prompt: &DecoderPrompt, before: Option<&[f32]>) -> Vec<f32> {
        self.network.decode(prompt, before, self.features)
    }

    fn learn(&mut self, object: usize, logits: &[f32]) -> Result<()> {
        let is_new = !self.follower.followed().contains(object);
        let drawn = Drawn { features: self.features, is_last: true, place: object, is_new };
        self.follower.begin_drawn(&mut self.network.executor, &drawn, logits);
        self.finish()?;
        self.follower.accept(&mut self.network.executor);
        self.standing[object] = Standing::default();
        Ok(())
    }
}

/// An empty mask on the input grid.
fn no_mask(size: u32) -> Mask {
    let side = size as usize;
    Mask { side, pixels: vec![false; side * side] }
}
