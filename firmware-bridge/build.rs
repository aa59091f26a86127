//! Gives the shared library its name: `libsonotrace.so` with the version of its interface, from the header.

fn main() {
    println!("cargo:rerun-if-changed=include/sonotrace.h");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let header = std::fs::read_to_string("include/sonotrace.h").unwrap_or_default();
    let version = header.lines().find_map(|line| line.strip_prefix("#define SONOTRACE_ABI_VERSION "));
    // Without a header, which a test is about to write, there is no library to ship.
    if let Some(version) = version {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsonotrace.so.{version}");
    }
}
