//! Reads the words of one line of a script. Each error names the line and what was found.

use super::error::ScriptError;

/// Longest part of a script that an error quotes, in characters.
const SEEN_CHARS: usize = 40;

/// Units of numbers in a script.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Mm,
    Deg,
    Db,
    Seconds,
    Hz,
    PerMinute,
    Percent,
}

impl Unit {
    /// The unit in a script, and in an error text.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Mm => ("mm", "the unit `mm`"),
            Self::Deg => ("deg", "the unit `deg`"),
            Self::Db => ("dB", "the unit `dB`"),
            Self::Seconds => ("s", "the unit `s`"),
            Self::Hz => ("hz", "the unit `hz`"),
            Self::PerMinute => ("/min", "the unit `/min`"),
            Self::Percent => ("%", "the unit `%`"),
        }
    }
}

pub(super) fn within(
    line: u32,
    (what, seen): (&'static str, f64),
    (min, max): (f64, f64),
) -> Result<(), ScriptError> {
    // Written so that NaN fails.
    if seen >= min && seen <= max { Ok(()) } else { Err(ScriptError::Range { line, what, seen, min, max }) }
}

/// The rest of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub line: u32,
    /// Without leading and trailing whitespace.
    pub rest: &'a str,
}

impl<'a> Words<'a> {
    pub fn next(&mut self) -> Option<&'a str> {
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    pub fn is_event(mut self) -> bool {
        self.next() == Some("at")
    }

    /// The error for an unexpected next word.
    pub fn expected(mut self, expected: &'static str) -> ScriptError {
        let seen = self.next().map_or_else(
            || "the end of the line".to_owned(),
            |word| format!("`{}`", word.chars().take(SEEN_CHARS).collect::<String>()),
        );
        ScriptError::Expected { line: self.line, expected, seen }
    }

    pub fn end(&self) -> Result<(), ScriptError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    pub fn word(&mut self, word: &str, expected: &'static str) -> Result<(), ScriptError> {
        let start = *self;
        if self.next() == Some(word) { Ok(()) } else { Err(start.expected(expected)) }
    }

    /// Takes the next word if it is `word`.
    pub fn takes(&mut self, word: &str) -> bool {
        let mut peek = *self;
        let is_next = peek.next() == Some(word);
        if is_next {
            *self = peek;
        }
        is_next
    }

    pub fn unit(&mut self, unit: Unit) -> Result<(), ScriptError> {
        let (word, expected) = unit.words();
        self.word(word, expected)
    }

    pub fn whole(&mut self, what: &'static str, min: u32, max: u32) -> Result<u32, ScriptError> {
        let start = *self;
        let seen = self.next().and_then(|word| word.parse().ok());
        let seen: u32 = seen.ok_or_else(|| start.expected("a whole number"))?;
        within(self.line, (what, seen.into()), (min.into(), max.into()))?;
        Ok(seen)
    }

    pub fn value(&mut self, what: &'static str, limits: (f64, f64)) -> Result<f32, ScriptError> {
        let start = *self;
        let seen = self.next().and_then(|word| word.parse().ok());
        let seen: f32 = seen.ok_or_else(|| start.expected("a number"))?;
        within(self.line, (what, seen.into()), limits)?;
        Ok(seen)
    }

    pub fn number(&mut self, what: &'static str, limits: (f64, f64), unit: Unit) -> Result<f32, ScriptError> {
        let seen = self.value(what, limits)?;
        self.unit(unit)?;
        Ok(seen)
    }

    pub fn number_f64(
        &mut self,
        what: &'static str,
        limits: (f64, f64),
        unit: Unit,
    ) -> Result<f64, ScriptError> {
        let start = *self;
        let seen = self.next().and_then(|word| word.parse().ok());
        let seen: f64 = seen.ok_or_else(|| start.expected("a number"))?;
        within(self.line, (what, seen), limits)?;
        self.unit(unit)?;
        Ok(seen)
    }

    pub fn depth_mm(&mut self) -> Result<f32, ScriptError> {
        self.number("the depth", (20.0, 400.0), Unit::Mm)
    }

    pub fn width_mm(&mut self) -> Result<f32, ScriptError> {
        self.number("the probe's width", (1.0, 200.0), Unit::Mm)
    }

    pub fn sector_deg(&mut self) -> Result<f32, ScriptError> {
        self.number("the sector's opening", (1.0, 179.0), Unit::Deg)
    }

    pub fn seed(&mut self) -> Result<u64, ScriptError> {
        let start = *self;
        let seed = self.next().and_then(|word| word.parse().ok());
        seed.ok_or_else(|| start.expected("a whole number"))
    }

    pub fn cycles_per_min(&mut self) -> Result<f32, ScriptError> {
        self.number("the rate of cycles", (0.0, 300.0), Unit::PerMinute)
    }

    pub fn over_s(&mut self) -> Result<f32, ScriptError> {
        self.word("over", "`over`")?;
        self.number("the time of a movement", (0.0, 600.0), Unit::Seconds)
    }

    /// A name in quotation marks.
    pub fn object_name(&mut self, known: &'static [&'static str]) -> Result<&'static str, ScriptError> {
        let start = *self;
        let quoted = self.rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (name, rest) = quoted.ok_or_else(|| start.expected("a name in quotation marks"))?;
        self.rest = rest.trim_start();
        let found = known.iter().find(|known| **known == name);
        let seen = || name.chars().take(SEEN_CHARS).collect();
        found.copied().ok_or_else(|| ScriptError::Object { line: start.line, seen: seen(), known })
    }
}
