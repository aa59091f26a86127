//! Compiles programs in C with the system's compiler, and links them with the libraries that the test was built with, which
//! are in the folder of its executable.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// How a program is compiled and linked.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// With the shared library instead of the static one.
    pub is_shared: bool,
    /// With AddressSanitizer and UndefinedBehaviorSanitizer. They see what the program does, and what the library does
    /// through the C library: `memcpy` and the like into memory of the program, `malloc` and `free`.
    pub is_sanitized: bool,
}

/// With the static library.
pub const STATIC: Build = Build { is_shared: false, is_sanitized: false };

/// With the shared library, against which many programs are linked faster.
pub const SHARED: Build = Build { is_shared: true, is_sanitized: false };

const SANITIZED: [Build; 2] =
    [Build { is_shared: false, is_sanitized: true }, Build { is_shared: true, is_sanitized: true }];

/// The builds with sanitizers: with the static library and with the shared one. None if the compiler has no sanitizers, which
/// is a failure where `SONOTRACE_NO_SKIP` is set.
pub fn sanitized() -> &'static [Build] {
    static IS_SUPPORTED: OnceLock<bool> = OnceLock::new();
    let is_supported = *IS_SUPPORTED.get_or_init(|| {
        let folder = Folder::new("probe");
        let (source, program) = (folder.0.join("probe.c"), folder.0.join("probe"));
        std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let built = compiler(true).arg(&source).arg("-o").arg(&program).output().unwrap();
        built.status.success() && Command::new(&program).status().is_ok_and(|status| status.success())
    });
    if !is_supported {
        assert!(std::env::var_os("SONOTRACE_NO_SKIP").is_none(), "the C compiler has no sanitizers");
        println!("skipped: the C compiler has no sanitizers");
        return &[];
    }
    &SANITIZED
}

/// A folder of its own for each test, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
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

/// The folder of this package.
pub fn bridge() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The compiler, with its flags.
fn compiler(is_sanitized: bool) -> Command {
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    if is_sanitized {
        compiler.args(["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DSANITIZED"]);
    }
    compiler
}

/// Compiles a program with the header in a folder, and links it.
pub fn compiled(build: Build, source: &Path, header: &Path, folder: &Folder) -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let library =
        executable.with_file_name(if build.is_shared { "libsonotrace_ffi.so" } else { "libsonotrace_ffi.a" });
    assert!(library.exists(), "{} was not built", library.display());
    let program = folder.0.join(source.file_stem().unwrap());
    let mut compiler = compiler(build.is_sanitized);
    compiler.arg("-I").arg(header).arg(source).arg(&library);
    if build.is_shared {
        // The program looks for the library by its SONAME.
        let own = std::fs::read_to_string(bridge().join("include/sonotrace.h")).unwrap();
        let (_, version) = own.split_once("#define SONOTRACE_ABI_VERSION ").unwrap();
        let soname = format!("libsonotrace.so.{}", version.lines().next().unwrap());
        let _ = std::os::unix::fs::symlink(&library, folder.0.join(soname));
        compiler.arg(format!("-Wl,-rpath,{}", folder.0.display()));
    }
    let built = compiler.args(["-lpthread", "-ldl", "-lm", "-o"]).arg(&program).output();
    let built = built.expect("a C compiler is installed");
    assert!(built.status.success(), "{build:?}: {}", String::from_utf8_lossy(&built.stderr));
    program
}

/// What a program printed, and its errors.
pub fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into(), String::from_utf8_lossy(&output.stderr).into())
}
