//! What the process may ask for: real-time priorities.

use super::check::Check;
use crate::commands::board::{Board, CAP_SYS_NICE, Limit};
use sonotrace::realtime::{Priority, Want};

/// All checks of the limits.
pub fn checks(board: &Board, priority: Priority) -> Vec<Check> {
    vec![priorities(board, priority)]
}

fn priorities(board: &Board, priority: Priority) -> Check {
    let name = "RT priority limit";
    // Control groups of version 1 have a share of real-time work, which is 0 for new groups.
    let groups = board.control_groups("cpu");
    let own = groups.last().and_then(|folder| board.value::<i64>(&format!("{folder}/cpu.rt_runtime_us")));
    if own == Some(0) {
        return Check::fail(
            name,
            "the control group has no time for real-time threads",
            "set cpu.rt_runtime_us of the group (docker run --cpu-rt-runtime=950000 --cap-add=SYS_NICE)",
        );
    }
    if board.is_capable(CAP_SYS_NICE) {
        return Check::ok(name, "none (CAP_SYS_NICE)");
    }
    let wanted = u64::from(priority.get());
    match board.limit("Max realtime priority") {
        None => Check::unknown(name, Want::Priority.fix()),
        Some(limit) if limit >= Limit::Of(wanted) => Check::ok(name, shown(limit)),
        Some(limit) => {
            Check::fail(name, format!("{}, a scan asks for {wanted}", shown(limit)), Want::Priority.fix())
        }
    }
}

fn shown(limit: Limit) -> String {
    match limit {
        Limit::Of(number) => number.to_string(),
        Limit::Unlimited => "unlimited".to_owned(),
    }
}
