//! The processor: instruction set, governor, frequency and temperature, idle states.

use super::check::Check;
use crate::commands::board::Board;
use sonotrace::kernels::arch::Instructions;

const CPUS: &str = "sys/devices/system/cpu";
/// From this temperature on, boards slow down soon.
const HOT_C: f64 = 80.0;
/// Longest time to leave an idle state that does not show in a frame.
const IDLE_US_MAX: u64 = 100;

/// All checks of the processor.
pub fn checks(board: &Board, instructions: Instructions) -> Vec<Check> {
    vec![instruction_set(instructions), governor(board), frequency(board), temperature(board), idle(board)]
}

fn instruction_set(instructions: Instructions) -> Check {
    let name = "instruction set";
    if instructions == Instructions::portable() {
        let fix =
            "a scan is several times slower: use an aarch64 board with dot products, or x86-64 with AVX2";
        return Check::warn(name, "portable kernels only", fix);
    }
    Check::ok(name, instructions.name())
}

/// A file of each core with a frequency of its own.
fn of_each_core(board: &Board, file: &str) -> Vec<(String, String)> {
    let cores = board.numbered(CPUS, "cpu").into_iter();
    let found = cores.filter_map(|core| {
        let line = board.line(&format!("{CPUS}/{core}/cpufreq/{file}"))?;
        Some((core, line))
    });
    found.collect()
}

fn governor(board: &Board) -> Check {
    let name = "governor";
    let governors = of_each_core(board, "scaling_governor");
    let Some((_, first)) = governors.first() else {
        return Check::unknown(name, "the frequency's governor should be `performance`");
    };
    match governors.iter().find(|(_, governor)| governor != "performance") {
        None => Check::ok(name, first),
        Some((core, governor)) => Check::warn(
            name,
            format!("{governor} ({core})"),
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        ),
    }
}

fn frequency(board: &Board) -> Check {
    let name = "frequency";
    let mhz = |core: &str, file: &str| {
        board.value::<f64>(&format!("{CPUS}/{core}/cpufreq/{file}")).map(|khz| khz / 1000.0)
    };
    let cores = of_each_core(board, "cpuinfo_max_freq");
    if cores.is_empty() {
        return Check::unknown(name, "the cores' frequency");
    }
    for (core, _) in &cores {
        let (Some(allowed), Some(possible)) = (mhz(core, "scaling_max_freq"), mhz(core, "cpuinfo_max_freq"))
        else {
            continue;
        };
        if allowed < 0.99 * possible {
            return Check::warn(
                name,
                format!("{core} is limited to {allowed:.0} of {possible:.0} MHz"),
                "allow the highest frequency; on a Jetson: sudo nvpmodel -m 0 && sudo jetson_clocks",
            );
        }
    }
    let now: Vec<String> =
        cores.iter().filter_map(|(core, _)| Some(format!("{:.0}", mhz(core, "scaling_cur_freq")?))).collect();
    let mut values = now.clone();
    values.dedup();
    let shown = if values.len() == 1 { &values } else { &now };
    Check::ok(
        name,
        if shown.is_empty() { "not limited".to_owned() } else { format!("{} MHz", shown.join(" ")) },
    )
}

fn temperature(board: &Board) -> Check {
    let name = "temperature";
    match board.temperature_c() {
        None => Check::ok(name, "no sensor"),
        Some(warmest) if warmest >= HOT_C => Check::warn(
            name,
            format!("{warmest:.0} degrees C"),
            "cool the board: it lowers its frequency when it gets warmer",
        ),
        Some(warmest) => Check::ok(name, format!("{warmest:.0} degrees C")),
    }
}

fn idle(board: &Board) -> Check {
    let name = "idle states";
    let folder = format!("{CPUS}/cpu0/cpuidle");
    let states = board.numbered(&folder, "state");
    let enabled = states.iter().filter_map(|state| {
        let of = |file: &str| board.line(&format!("{folder}/{state}/{file}"));
        if of("disable").is_some_and(|disable| disable != "0") {
            return None;
        }
        Some((of("latency")?.parse::<u64>().ok()?, of("name").unwrap_or_else(|| state.clone())))
    });
    match enabled.max() {
        None => Check::ok(name, "none"),
        Some((latency_us, state)) if latency_us > IDLE_US_MAX => Check::warn(
            name,
            format!("{state} takes {latency_us} us to leave"),
            format!(
                "sudo cpupower idle-set -D {IDLE_US_MAX}, or keep /dev/cpu_dma_latency open with 0 in it"
            ),
        ),
        Some((latency_us, state)) => Check::ok(name, format!("{state} takes {latency_us} us to leave")),
    }
}
