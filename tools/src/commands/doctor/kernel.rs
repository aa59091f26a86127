//! The kernel: preemption, throttling of real-time threads, clock source.

use super::check::Check;
use crate::commands::board::Board;

/// All checks of the kernel.
pub fn checks(board: &Board) -> Vec<Check> {
    vec![preemption(board), throttling(board), clock_source(board)]
}

fn preemption(board: &Board) -> Check {
    let name = "preemption";
    const RT: &str = "a kernel with PREEMPT_RT wakes threads within tens of microseconds under load";
    let version = board.line("proc/version").unwrap_or_default();
    let words = || version.split_whitespace();
    let is_rt = board.line("sys/kernel/realtime").is_some_and(|flag| flag == "1")
        || words().any(|word| matches!(word, "PREEMPT_RT" | "PREEMPT_RT_FULL"));
    if is_rt {
        return Check::ok(name, "PREEMPT_RT");
    }
    // The mode of a kernel that can change it, from the running one, else from its command line.
    let chosen = board.chosen("sys/kernel/debug/sched/preempt").or_else(|| {
        let line = board.line("proc/cmdline")?;
        line.split_whitespace().rev().find_map(|word| word.strip_prefix("preempt=")).map(str::to_owned)
    });
    let is_dynamic = words().any(|word| word == "PREEMPT_DYNAMIC");
    let mode = match (is_dynamic, chosen) {
        (true, Some(chosen)) => chosen,
        (true, None) => {
            return Check::warn(name, "dynamic, mode not told", format!("boot with preempt=full; {RT}"));
        }
        (false, _) if words().any(|word| word == "PREEMPT") => "full".to_owned(),
        (false, _) if version.is_empty() => return Check::unknown(name, RT),
        (false, _) => "none or voluntary".to_owned(),
    };
    match mode.as_str() {
        "full" | "lazy" => Check::warn(name, mode, RT),
        _ => Check::fail(name, mode, format!("boot with preempt=full; {RT}")),
    }
}

fn throttling(board: &Board) -> Check {
    let name = "RT throttling";
    let of = |file: &str| board.value::<i64>(&format!("proc/sys/kernel/sched_rt_{file}_us"));
    let (Some(runtime_us), Some(period_us)) = (of("runtime"), of("period")) else {
        return Check::unknown(name, "kernel.sched_rt_runtime_us should be -1");
    };
    const FIX: &str = "sudo sysctl -w kernel.sched_rt_runtime_us=-1 (and in /etc/sysctl.d)";
    match runtime_us {
        -1 => Check::ok(name, "off"),
        0 => Check::fail(name, "real-time threads may not run at all", FIX),
        _ if runtime_us >= period_us => Check::ok(name, "off"),
        _ => Check::warn(name, format!("real-time threads stop after {runtime_us} of {period_us} us"), FIX),
    }
}

fn clock_source(board: &Board) -> Check {
    let name = "clock source";
    let folder = "sys/devices/system/clocksource/clocksource0";
    let Some(source) = board.line(&format!("{folder}/current_clocksource")) else {
        return Check::unknown(name, "it should be tsc or arch_sys_counter");
    };
    match source.as_str() {
        "tsc" | "arch_sys_counter" | "timebase" => Check::ok(name, source),
        // The clocks of virtual machines.
        "kvm-clock" | "hyperv_clocksource_tsc_page" => {
            Check::warn(name, source, "a virtual machine's clock: measure on the board itself")
        }
        "hpet" | "acpi_pm" | "jiffies" | "refined-jiffies" | "pit" => Check::fail(
            name,
            format!("{source}: each reading takes a microsecond or more, and a frame needs hundreds"),
            "boot with clocksource=tsc tsc=reliable, and look in dmesg for why the kernel gave tsc up",
        ),
        _ => Check::warn(name, source, "measure how long a reading takes: a frame needs hundreds of them"),
    }
}
