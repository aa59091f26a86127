//! What the system tells of itself: processor, governor, frequency, temperature.

use serde::{Deserialize, Serialize};
use std::fs::read_to_string;

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
        let first_line =
            |path: &str| read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
        let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpus.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        // A board's device tree names it; an x86 processor names itself.
        let board = first_line("/proc/device-tree/model").replace('\0', "");
        let processor = if board.is_empty() { field("model name") } else { Some(board) };
        let core = "/sys/devices/system/cpu/cpu0/cpufreq";
        let khz = first_line(&format!("{core}/scaling_cur_freq")).parse::<f64>().ok();
        let mhz = field("cpu MHz").and_then(|text| text.parse().ok());
        let zones = std::fs::read_dir("/sys/class/thermal").into_iter().flatten().flatten();
        let temperatures = zones.filter_map(|zone| {
            let text = read_to_string(zone.path().join("temp")).ok()?;
            Some(text.trim().parse::<f64>().ok()? / 1000.0)
        });
        Self {
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            governor: first_line(&format!("{core}/scaling_governor")),
            frequency_mhz: khz.map(|khz| khz / 1000.0).or(mhz),
            temperature_c: temperatures.reduce(f64::max),
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
