//! Real-time options, with the rights that the tests have and without any, and `doctor`.
#![cfg(target_os = "linux")]

use crate::{folder, json, refuse, sonotrace, succeed, text};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

/// Takes the calling process's rights to real-time priorities and locked memory.
fn give_up_rights() -> std::io::Result<()> {
    let mut sets = capabilities(None)?;
    for right in [CapabilitySet::SYS_NICE, CapabilitySet::IPC_LOCK] {
        // Else root has it again in the next program. Who is not root has none.
        let _ = remove_capability_from_bounding_set(right);
        sets.effective.remove(right);
        sets.permitted.remove(right);
        sets.inheritable.remove(right);
    }
    set_capabilities(None, sets)?;
    for resource in [Resource::Rtprio, Resource::Memlock] {
        setrlimit(resource, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    Ok(())
}

/// Runs the command without these rights.
fn without_rights(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonotrace"));
    command.current_dir(folder).args(arguments);
    // SAFETY: the function makes system calls and nothing else, between fork and exec.
    unsafe { command.pre_exec(give_up_rights) };
    command.output().expect("the command starts")
}

/// What is not allowed is reported once, and the work is done.
#[test]
fn real_time_options_are_reported_once_if_they_are_refused() {
    let folder = folder("realtime");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/data/disc.sono");
    let model = model.to_str().expect("a path of text");
    let bench = ["bench", model, "--runs", "3", "--frames", "4", "--fps", "40", "--threads", "2", "--pin"];
    let realtime = [&bench[..], &["--realtime"]].concat();
    succeed(&sonotrace(&folder, &realtime));
    for (arguments, priorities) in [(&realtime, 1), (&bench.to_vec(), 0)] {
        let output = without_rights(&folder, arguments);
        succeed(&output);
        let errors = text(&output.stderr);
        assert_eq!(errors.matches("no real-time priority").count(), priorities, "{errors}");
        assert_eq!(errors.matches("not all memory is locked").count(), 1, "{errors}");
        assert_eq!(errors.lines().count(), priorities + 1, "{errors}");
    }
    let missing = [&bench[..10], &["--pin=1023"]].concat();
    let output = sonotrace(&folder, &missing);
    succeed(&output);
    assert_eq!(text(&output.stderr).matches("not pinned").count(), 1, "{}", text(&output.stderr));
    for (wrong, words) in [("--realtime=100", "priority of 1 to 99"), ("--pin=3-1", "expected cores")] {
        let output = sonotrace(&folder, &["bench", wrong]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
}

#[test]
fn doctor_measures_and_writes() {
    let folder = folder("doctor");
    let output = sonotrace(&folder, &["doctor", "--seconds", "1", "--json", "a.json", "--out", "a.svg"]);
    // On any machine, well set up or not.
    let printed = text(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{printed}{}", text(&output.stderr));
    let report = json(&folder.join("a.json"));
    let checks = report["checks"].as_array().expect("a list");
    let is_failed = checks.iter().any(|check| check["verdict"] == "fail");
    assert_eq!(output.status.code(), Some(i32::from(is_failed)), "{printed}");
    for check in checks {
        assert!(printed.contains(check["found"].as_str().expect("a text")), "{check}");
        assert_eq!(check["fix"].is_null(), check["verdict"] == "ok", "{check}");
    }
    let wake_ups = &report["wake_ups"];
    assert_eq!(wake_ups["wake_ups"], 1000);
    let times =
        ["p50_ns", "p99_ns", "p999_ns", "max_ns"].map(|name| wake_ups[name].as_u64().expect("a time"));
    assert!(times.is_sorted(), "{times:?}");
    assert!(std::fs::read_to_string(folder.join("a.svg")).is_ok_and(|svg| svg.starts_with("<svg")));
    let refused = without_rights(&folder, &["doctor", "--seconds", "0"]);
    let printed = text(&refused.stdout);
    assert_eq!(refused.status.code(), Some(1), "{printed}");
    for line in ["FAIL  RT priority limit", "FAIL  locked memory", "RLIMIT_RTPRIO", "RLIMIT_MEMLOCK"] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
}

/// The exit status says whether something fails; warnings are allowed.
#[test]
fn doctor_reads_a_copy_of_another_board() {
    let folder = folder("doctor-root");
    let run = || sonotrace(&folder, &["doctor", "--seconds", "0", "--root", "board", "--json", "b.json"]);
    let write = |path: &str, text: &str| {
        let path = folder.join("board").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write("proc/self/limits", "Max locked memory unlimited\nMax realtime priority 99\n");
    write("proc/version", "Linux version 6.12.9 #1 SMP PREEMPT_RT");
    let printed = succeed(&run());
    assert!(printed.contains("PREEMPT_RT") && printed.contains(" 0 failed"), "{printed}");
    assert!(json(&folder.join("b.json"))["wake_ups"].is_null());
    write("proc/self/limits", "Max locked memory unlimited\nMax realtime priority 0\n");
    let output = run();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("1 failed"));
    refuse(&sonotrace(&folder, &["doctor", "--seconds", "99999999"]), &["--seconds is 99999999"]);
    refuse(&sonotrace(&folder, &["doctor", "--period", "1"]), &["--period is 1"]);
    refuse(&sonotrace(&folder, &["doctor", "none.sono"]), &["none.sono"]);
}
