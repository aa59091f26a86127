//! Programs in C, compiled with nothing but the committed header: what it says about coordinates, flags, limits, totals, the clock
//! and single calls; callers of another version, small stacks, refusals, outputs after failures, damaged models, closing in the
//! middle of a call, counters read meanwhile, the floating-point environment, allocations, page faults, waiting for overlays, real-time
//! priorities. All of them also run with AddressSanitizer and UndefinedBehaviorSanitizer, with the static and with the shared library.
#![allow(clippy::unwrap_used)]

mod c_compiler;

use c_compiler::{Build, Folder, SHARED, STATIC, bridge, compiled, sanitized, texts};
use std::path::{Path, PathBuf};
use std::process::Command;

fn model() -> PathBuf {
    bridge().with_file_name("runtime").join("tests/data/disc.sono")
}

fn packaged_model() -> PathBuf {
    bridge().with_file_name("models").join("sonosamlite.sono")
}

/// Compiles one of the programs in `tests/c`.
fn program(build: Build, name: &str, header: &Path, folder: &Folder) -> PathBuf {
    compiled(build, &bridge().join("tests/c").join(name).with_extension("c"), header, folder)
}

/// Compiles one of the programs with the committed header, runs it, which must succeed, and returns what it printed.
fn run(build: Build, name: &str, arguments: &[&Path]) -> String {
    let folder = Folder::new(&format!("{name}-{}-{}", build.is_shared, build.is_sanitized));
    run_program(&program(build, name, &bridge().join("include"), &folder), arguments)
}

/// Runs a program, which must succeed, and returns what it printed.
fn run_program(program: &Path, arguments: &[&Path]) -> String {
    let run = Command::new(program).args(arguments).output().unwrap();
    let (printed, errors) = texts(&run);
    assert!(run.status.success(), "{}\n{printed}{errors}", run.status);
    println!("{printed}");
    printed
}

/// Removes a structure's field, or appends one, in a header.
enum Change<'a> {
    Remove(&'a str),
    Append(&'a str),
}

/// A header in which a structure is different.
fn changed(header: &str, structure: &str, change: &Change<'_>) -> String {
    let end = header.find(&format!("}} {structure};")).unwrap();
    match *change {
        Change::Append(field) => format!("{}  {field}\n{}", &header[..end], &header[end..]),
        Change::Remove(field) => {
            let start = header[..end].rfind(field).unwrap_or_else(|| panic!("{structure} has no {field}"));
            let start = header[..start].rfind('\n').unwrap();
            let rest = header[start + 1..].find('\n').unwrap() + start + 1;
            format!("{}{}", &header[..start], &header[rest..])
        }
    }
}

/// What a caller prints whose header fits.
const SCANNED: &str = "scanned\n";

/// Headers of other versions, and the beginning of what their callers print.
fn other_headers() -> Vec<(String, &'static str)> {
    use Change::{Append, Remove};
    let own = std::fs::read_to_string(bridge().join("include/sonotrace.h")).unwrap();
    let version = |version: u32| {
        let other = format!("#define SONOTRACE_ABI_VERSION {version}");
        own.replace("#define SONOTRACE_ABI_VERSION 2", &other)
    };
    let counters = "sonotrace_counters_t";
    let mut headers = vec![(changed(&own, counters, &Append("uint64_t later[9];")), SCANNED)];
    // Older and older callers.
    let mut shorter = own.clone();
    for field in ["answers_undelivered;", "malformed_by_field[", "frames_refused;", "events_lost;"] {
        shorter = changed(&shorter, counters, &Remove(field));
        headers.push((shorter.clone(), SCANNED));
    }
    let config = "sonotrace_config_t";
    let shorter = changed(&own, config, &Remove("*clock_user;"));
    headers.push((changed(&shorter, config, &Remove("(*now_ns)")), SCANNED));
    headers.push((shorter, SCANNED));
    headers.extend([
        (changed(&own, config, &Append("uint64_t later;")), "config: version: `config_bytes` is"),
        (version(1), "config: version: the caller's header has version 1"),
        (version(3), "config: version: the caller's header has version 3"),
    ]);
    let later = Append("uint64_t later;");
    for (structure, change, expected) in [
        ("sonotrace_overlay_t", &later, "memory: version: `overlay_bytes` is"),
        (
            "sonotrace_overlay_object_t",
            &Remove("float centroid_px[2];"),
            "memory: version: `overlay_bytes` is",
        ),
        ("sonotrace_prompt_t", &Remove("float to[2];"), "memory: version: `prompt_bytes` is"),
        ("sonotrace_event_t", &later, "memory: version: `event_bytes` is"),
        ("sonotrace_frame_slot_t", &later, "memory: version: `frame_slot_bytes` is"),
        ("sonotrace_frame_descriptor_t", &later, "memory: version: `descriptor_bytes` is"),
    ] {
        headers.push((changed(&own, structure, change), expected));
    }
    assert!(headers.iter().all(|(header, _)| *header != own));
    headers.push((own, SCANNED));
    headers
}

/// Callers compiled with other headers: a shorter or longer structure of values for the caller works, anything else is
/// refused before a session is opened. Nothing is written behind a structure.
fn callers_of(headers: &[(String, &str)], build: Build) {
    let folder = Folder::new(&format!("version-{}-{}", build.is_shared, build.is_sanitized));
    for (header, expected) in headers {
        std::fs::write(folder.0.join("sonotrace.h"), header).unwrap();
        let printed = run_program(&program(build, "version", &folder.0, &folder), &[&model()]);
        assert!(printed.starts_with(expected), "{printed}");
    }
}

/// The headers with which a caller may scan.
fn older_headers() -> Vec<(String, &'static str)> {
    other_headers().into_iter().filter(|(_, expected)| *expected == SCANNED).collect()
}

fn refusals(build: Build) {
    let folder = Folder::new(&format!("fifo-{}-{}", build.is_shared, build.is_sanitized));
    let fifo = folder.0.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    run(build, "refusals", &[&model(), &fifo]);
}

/// One name for all, so that a sanitizer's run can leave them out.
mod in_c {
    use super::*;

    #[test]
    fn callers_compiled_with_another_header_are_noticed() {
        callers_of(&other_headers(), SHARED);
    }

    #[test]
    fn no_call_needs_more_stack_than_stated() {
        run(STATIC, "stack", &[&model()]);
        run(STATIC, "stack", &[&packaged_model()]);
    }

    #[test]
    fn nothing_that_is_refused_is_silent() {
        refusals(STATIC);
    }

    #[test]
    fn outputs_are_set_after_failures_too() {
        run(STATIC, "outputs", &[&model()]);
    }

    #[test]
    fn coordinates_are_those_of_the_header() {
        run(STATIC, "plane", &[&model(), &packaged_model()]);
    }

    #[test]
    fn flags_states_and_outcomes_mean_what_the_header_says() {
        run(STATIC, "flags", &[&model()]);
    }

    #[test]
    fn limits_are_those_of_the_header() {
        run(STATIC, "limits", &[&model()]);
    }

    #[test]
    fn totals_add_up() {
        run(STATIC, "accounting", &[&model()]);
    }

    #[test]
    fn the_clock_is_read_as_often_as_stated() {
        run(STATIC, "clock", &[&model(), &packaged_model()]);
    }

    #[test]
    fn single_calls_do_what_the_header_says() {
        run(STATIC, "calls", &[&model()]);
    }

    #[test]
    fn nothing_is_allocated_after_the_opening() {
        run(STATIC, "allocations", &[&model()]);
    }

    #[test]
    fn every_change_of_a_model_file_is_refused() {
        run(STATIC, "models", &[&model(), Path::new("41")]);
    }

    #[test]
    fn a_session_is_not_closed_in_the_middle_of_a_call() {
        run(STATIC, "closing", &[&model()]);
    }

    #[test]
    fn counters_are_those_of_one_step() {
        run(STATIC, "counters", &[&model()]);
    }

    #[test]
    fn the_floating_point_environment_is_the_caller_s() {
        run(STATIC, "environment", &[&model()]);
    }

    #[test]
    fn a_display_sleeps_until_there_is_an_overlay() {
        run(STATIC, "waiting", &[&model()]);
    }

    #[test]
    fn a_refused_priority_or_core_is_reported() {
        run(STATIC, "realtime", &[&model()]);
    }

    #[test]
    fn a_scan_in_c_causes_no_page_fault() {
        run(STATIC, "faults", &[&model()]);
    }

    /// The same with sanitizers, and with both libraries.
    mod sanitized_programs {
        use super::*;

        #[test]
        fn callers_compiled_with_another_header() {
            sanitized().iter().for_each(|build| callers_of(&older_headers(), *build));
        }

        /// Sanitized code needs a stack of its own: only that 256 KiB suffice for any call is tested.
        #[test]
        fn small_stacks() {
            sanitized().iter().for_each(|build| drop(run(*build, "stack", &[&model()])));
        }

        #[test]
        fn refusals_and_outputs() {
            for build in sanitized() {
                refusals(*build);
                run(*build, "outputs", &[&model()]);
            }
        }

        #[test]
        fn statements_of_the_header() {
            for build in sanitized() {
                for name in ["flags", "limits", "accounting", "calls", "allocations"] {
                    run(*build, name, &[&model()]);
                }
                for name in ["plane", "clock"] {
                    run(*build, name, &[&model(), &packaged_model()]);
                }
            }
        }

        #[test]
        fn changed_models() {
            sanitized().iter().for_each(|build| drop(run(*build, "models", &[&model(), Path::new("601")])));
        }

        #[test]
        fn threads() {
            for build in sanitized() {
                run(*build, "closing", &[&model()]);
                run(*build, "counters", &[&model()]);
                run(*build, "waiting", &[&model()]);
                run(*build, "realtime", &[&model()]);
            }
        }

        /// Shadow memory causes page faults, so they are not counted; the rest of the program is the same.
        #[test]
        fn locked_and_prefaulted_memory() {
            for build in sanitized() {
                run(*build, "faults", &[&model()]);
                run(*build, "environment", &[&model()]);
            }
        }

        /// A caller that promises more memory than it has: the sanitizer sees what the library writes.
        #[test]
        fn writes_of_the_library_are_seen() {
            for build in sanitized() {
                let folder = Folder::new(&format!("canary-{}", build.is_shared));
                let canary = program(*build, "canary", &bridge().join("include"), &folder);
                let run = Command::new(canary).arg(model()).output().unwrap();
                let (_, errors) = texts(&run);
                assert!(!run.status.success() && errors.contains("heap-buffer-overflow"), "{errors}");
            }
        }
    }
}
