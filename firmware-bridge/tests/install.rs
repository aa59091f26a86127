//! The commands of docs/c-library.md that install and link the library work as written.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// The commands of a section of the page: its indented lines.
fn commands(page: &str, section: &str) -> String {
    let (_, after) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = after.split_once("\n## ").map_or(after, |(section, _)| section);
    let lines: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(lines.len() > 2, "{lines:?}");
    lines.join("\n") + "\n"
}

mod in_c {
    use super::*;

    #[test]
    fn the_readme_links_the_page() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
        assert!(readme.contains("](docs/c-library.md)"));
        assert!(root.join("docs/c-library.md").is_file());
    }

    #[test]
    fn the_page_s_commands_work() {
        if Command::new("pkg-config").arg("--version").output().is_err() {
            assert!(std::env::var_os("SONOTRACE_NO_SKIP").is_none(), "pkg-config is not installed");
            println!("skipped: pkg-config is not installed");
            return;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let page = std::fs::read_to_string(root.join("docs/c-library.md")).unwrap();
        // The libraries that this test was built with, instead of a release build.
        let executable = std::env::current_exe().unwrap();
        let libraries = executable.parent().unwrap();
        let script =
            commands(&page, "Install").replace("target/release", "\"$BUILD\"") + &commands(&page, "Link");
        let folder = std::env::temp_dir().join(format!("sonotrace-install-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // `!` does not end a script under -e: write it so that it does.
        let script: String = script
            .lines()
            .map(|line| match line.strip_prefix("! ") {
                Some(command) => format!("if {command}; then exit 1; fi\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let run = Command::new("sh")
            .args(["-eux", "-c", &script])
            .current_dir(root)
            .env("BUILD", libraries)
            .env("PREFIX", folder.join("prefix"))
            .env("OUT", &folder)
            .output()
            .unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let (printed, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        println!("{printed}{errors}");
        assert!(run.status.success(), "{}", run.status);
    }
}
