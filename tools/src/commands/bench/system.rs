//! What the system tells of itself: processor, governor, frequency, temperature.

use crate::commands::board::Board;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The machine; what the system does not tell is empty or missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct System {
    /// Name of the processor.
    pub processor: String,
    /// Threads that it runs at once.
    pub cores: usize,
    /// Frequency governor of the first core.
    pub governor: String,
    /// Frequency of the first core, MHz.
    pub frequency_mhz: Option<f64>,
    /// Warmest zone, degrees Celsius.
    pub temperature_c: Option<f64>,
}

impl System {
    /// Reads what is there.
    pub fn read() -> Self {
        let board = Board::at(Path::new("/"));
        // A board's device tree names it; an x86 processor names itself.
        let processor =
            board.line("proc/device-tree/model").or_else(|| board.field("proc/cpuinfo", "model name"));
        let core = "sys/devices/system/cpu/cpu0/cpufreq";
        let khz = board.value::<f64>(&format!("{core}/scaling_cur_freq"));
        let mhz = board.field("proc/cpuinfo", "cpu MHz").and_then(|text| text.parse().ok());
        Self {
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            governor: board.line(&format!("{core}/scaling_governor")).unwrap_or_default(),
            frequency_mhz: khz.map(|khz| khz / 1000.0).or(mhz),
            temperature_c: board.temperature_c(),
        }
    }

    /// Frequency and temperature as words.
    pub fn now(&self) -> String {
        let or_unknown =
            |value: Option<f64>, unit| value.map_or("not told".into(), |value| format!("{value:.0} {unit}"));
        let governor = if self.governor.is_empty() { "not told" } else { &self.governor };
        let (frequency, temperature) =
            (or_unknown(self.frequency_mhz, "MHz"), or_unknown(self.temperature_c, "degrees C"));
        format!("governor {governor}, frequency {frequency}, temperature {temperature}")
    }
}
