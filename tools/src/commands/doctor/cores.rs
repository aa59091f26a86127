//! Cores: how many, which are isolated, what the control group allows.

use super::check::Check;
use crate::commands::board::Board;
use sonotrace::realtime::CoreSet;

/// All checks of the cores, for a session with so many threads.
pub fn checks(board: &Board, threads: u32) -> Vec<Check> {
    vec![count(board, threads), isolated(board, threads), quota(board)]
}

fn count(board: &Board, threads: u32) -> Check {
    let name = "cores";
    let Some(usable) = board.usable_cores() else {
        return Check::unknown(name, "the cores that a process may use");
    };
    let found = format!("{} usable ({}), {threads} threads compute", usable.count(), usable);
    if usable.count() == 1 {
        let fix = "acquisition, display and system share the core that computes: use a board with more";
        return Check::warn(name, found, fix);
    }
    Check::ok(name, found)
}

/// The cores to isolate: the last ones, of which one is left to the system.
fn to_isolate(board: &Board, threads: u32) -> String {
    let online = board.cores("sys/devices/system/cpu/online").or_else(|| board.usable_cores());
    let all: Vec<usize> = online.iter().flat_map(CoreSet::iter).collect();
    let wanted = (threads.max(1) as usize).min(all.len().saturating_sub(1).max(1));
    match &all[all.len().saturating_sub(wanted)..] {
        [] => "1-3".to_owned(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
    }
}

fn isolated(board: &Board, threads: u32) -> Check {
    let name = "isolated cores";
    let isolated = board.cores("sys/devices/system/cpu/isolated");
    let Some(isolated) = isolated else {
        let cores = to_isolate(board, threads);
        let fix = format!(
            "boot with isolcpus={cores} nohz_full={cores} rcu_nocbs={cores}, and compute with --pin={cores}"
        );
        return Check::warn(name, "none", fix);
    };
    let cores = isolated;
    if isolated.count() < threads as usize {
        return Check::warn(
            name,
            format!("{cores}, for {threads} threads"),
            format!("compute with --threads {} --pin={cores}, or isolate more", isolated.count()),
        );
    }
    let without_tick = board.cores("sys/devices/system/cpu/nohz_full");
    match without_tick.is_some_and(|quiet| isolated.iter().all(|core| quiet.contains(core))) {
        true => Check::ok(name, format!("{cores}, without timer ticks: compute with --pin={cores}")),
        false => Check::warn(
            name,
            format!("{cores}, with timer ticks"),
            format!("boot with nohz_full={cores} rcu_nocbs={cores} too"),
        ),
    }
}

/// A limit of the processor time, in cores.
fn quota_cores(board: &Board) -> Option<f64> {
    let cores = |quota: &str, period: &str| {
        let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
        (quota > 0.0 && period > 0.0).then_some(quota / period)
    };
    let unified = board.control_groups("").into_iter().filter_map(|folder| {
        let line = board.line(&format!("{folder}/cpu.max"))?;
        let (quota, period) = line.split_once(' ')?;
        cores(quota, period)
    });
    let old = board.control_groups("cpu").into_iter().filter_map(|folder| {
        let of = |file: &str| board.line(&format!("{folder}/cpu.cfs_{file}_us"));
        cores(&of("quota")?, &of("period")?)
    });
    unified.chain(old).reduce(f64::min)
}

fn quota(board: &Board) -> Check {
    let name = "time quota";
    match quota_cores(board) {
        None => Check::ok(name, "none"),
        Some(cores) => Check::warn(
            name,
            format!("{cores:.2} cores, by the control group"),
            "threads stop when it is used up: start the container without --cpus, or the service without CPUQuota=",
        ),
    }
}
