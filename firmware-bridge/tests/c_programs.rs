//! Programs in C, compiled with nothing but the committed header: callers of another version, small stacks, refusals,
//! closing in the middle of a call, page faults.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn bridge() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn model() -> PathBuf {
    bridge().with_file_name("runtime").join("tests/data/disc.sono")
}

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sonotrace-c-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compiles a program with the header in a folder, and links it with the static library, which is in the folder of this
/// test's executable.
fn compiled(name: &str, header: &Path, folder: &Folder) -> PathBuf {
    let library = std::env::current_exe().unwrap().with_file_name("libsonotrace_ffi.a");
    assert!(library.exists(), "{} was not built", library.display());
    let program = folder.0.join(name);
    let built = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(header)
        .arg(bridge().join("tests/c").join(name).with_extension("c"))
        .arg(&library)
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .expect("a C compiler is installed");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

/// Runs a program, which must succeed, and returns what it printed.
fn run(program: &Path, arguments: &[&Path]) -> String {
    let run = Command::new(program).args(arguments).output().unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}\n{printed}{errors}", run.status);
    println!("{printed}");
    printed.into_owned()
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

/// One name for all, so that a sanitizer's run can leave them out.
mod in_c {
    use super::*;

    /// Callers compiled with other headers: a shorter or longer structure of values for the caller works, anything else is
    /// refused before a session is opened. Nothing is written behind a structure.
    #[test]
    fn callers_compiled_with_another_header_are_noticed() {
        use Change::{Append, Remove};
        let own = std::fs::read_to_string(bridge().join("include/sonotrace.h")).unwrap();
        let folder = Folder::new("version");
        let try_header = |header: &str| {
            assert_ne!(header.len(), 0);
            std::fs::write(folder.0.join("sonotrace.h"), header).unwrap();
            run(&compiled("version", &folder.0, &folder), &[&model()])
        };
        assert_eq!(try_header(&own), "scanned\n");
        let counters = "sonotrace_counters_t";
        let shorter = changed(&own, counters, &Remove("malformed_by_field["));
        assert_eq!(try_header(&shorter), "scanned\n");
        let shorter = changed(&shorter, counters, &Remove("frames_refused;"));
        assert_eq!(try_header(&changed(&shorter, counters, &Remove("events_lost;"))), "scanned\n");
        assert_eq!(try_header(&changed(&own, counters, &Append("uint64_t later[9];"))), "scanned\n");
        let config = "sonotrace_config_t";
        let shorter = changed(&own, config, &Remove("*clock_user;"));
        assert_eq!(try_header(&shorter), "scanned\n");
        assert_eq!(try_header(&changed(&shorter, config, &Remove("(*now_ns)"))), "scanned\n");
        for (header, expected) in [
            (changed(&own, config, &Append("uint64_t later;")), "config: version: `config_bytes` is"),
            (
                own.replace("#define SONOTRACE_ABI_VERSION 2", "#define SONOTRACE_ABI_VERSION 1"),
                "config: version: the caller's header has version 1",
            ),
            (
                own.replace("#define SONOTRACE_ABI_VERSION 2", "#define SONOTRACE_ABI_VERSION 3"),
                "config: version: the caller's header has version 3",
            ),
            (
                changed(&own, "sonotrace_overlay_t", &Append("uint64_t later;")),
                "memory: version: `overlay_bytes` is",
            ),
            (
                changed(&own, "sonotrace_overlay_object_t", &Remove("float confidence;")),
                "memory: version: `overlay_bytes` is",
            ),
            (
                changed(&own, "sonotrace_prompt_t", &Remove("float to[2];")),
                "memory: version: `prompt_bytes` is",
            ),
            (
                changed(&own, "sonotrace_event_t", &Append("uint64_t later;")),
                "memory: version: `event_bytes` is",
            ),
            (
                changed(&own, "sonotrace_frame_slot_t", &Append("uint64_t later;")),
                "memory: version: `frame_slot_bytes` is",
            ),
            (
                changed(&own, "sonotrace_frame_descriptor_t", &Append("uint64_t later;")),
                "memory: version: `descriptor_bytes` is",
            ),
        ] {
            assert_ne!(header, own);
            let printed = try_header(&header);
            assert!(printed.starts_with(expected), "{printed}");
        }
    }

    #[test]
    fn no_call_needs_more_stack_than_stated() {
        let folder = Folder::new("stack");
        let program = compiled("stack", &bridge().join("include"), &folder);
        run(&program, &[&model()]);
        run(&program, &[&bridge().with_file_name("models").join("sonosamlite.sono")]);
    }

    #[test]
    fn nothing_that_is_refused_is_silent() {
        let folder = Folder::new("refusals");
        let fifo = folder.0.join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        run(&compiled("refusals", &bridge().join("include"), &folder), &[&model(), &fifo]);
    }

    #[test]
    fn a_session_is_not_closed_in_the_middle_of_a_call() {
        let folder = Folder::new("closing");
        run(&compiled("closing", &bridge().join("include"), &folder), &[&model()]);
    }

    #[test]
    fn a_scan_in_c_causes_no_page_fault() {
        let folder = Folder::new("faults");
        run(&compiled("faults", &bridge().join("include"), &folder), &[&model()]);
    }
}
