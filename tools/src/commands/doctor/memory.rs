//! Memory: how much may be locked, huge pages, swap.

use super::check::Check;
use crate::commands::board::{Board, CAP_IPC_LOCK, Limit};
use sonotrace::realtime::Want;

/// All checks of the memory, for a session that locks so many bytes.
pub fn checks(board: &Board, locked_bytes: u64) -> Vec<Check> {
    vec![locked(board, locked_bytes), huge_pages(board), swap(board)]
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn locked(board: &Board, needed: u64) -> Check {
    let name = "locked memory";
    if board.is_capable(CAP_IPC_LOCK) {
        return Check::ok(name, format!("no limit (CAP_IPC_LOCK), a session needs {}", megabytes(needed)));
    }
    match board.limit("Max locked memory") {
        None => Check::unknown(name, Want::LockedMemory.fix()),
        Some(Limit::Unlimited) => {
            Check::ok(name, format!("unlimited, a session needs {}", megabytes(needed)))
        }
        Some(Limit::Of(bytes)) => {
            let found = format!("{}, a session needs {}", megabytes(bytes), megabytes(needed));
            match bytes >= needed {
                true => Check::ok(name, found),
                false => Check::fail(name, found, Want::LockedMemory.fix()),
            }
        }
    }
}

fn huge_pages(board: &Board) -> Check {
    let name = "huge pages";
    let folder = "sys/kernel/mm/transparent_hugepage";
    match board.chosen(&format!("{folder}/enabled")) {
        // Without the feature there is no such file.
        None => Check::ok(name, "not transparent"),
        // khugepaged moves pages of every process together, and a thread that touches one waits.
        Some(mode) if mode == "always" => Check::warn(
            name,
            "always: khugepaged may move a session's pages, and stall it",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some(mode) => Check::ok(name, mode),
    }
}

fn swap(board: &Board) -> Check {
    let name = "swap";
    let text = board.text("proc/swaps").unwrap_or_default();
    let areas = text.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
    if areas == 0 {
        return Check::ok(name, "none");
    }
    let swappiness = board.line("proc/sys/vm/swappiness").unwrap_or_else(|| "not told".to_owned());
    Check::warn(
        name,
        format!("areas: {areas}, swappiness {swappiness}"),
        "sudo swapoff -a: what is not locked can be paged out, and paging keeps the memory bus busy",
    )
}
