//! The memory that compiling takes: at most three times the weights, and a constant.

// Helpers of tests: a failure here fails the test.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use sonotrace_compiler::{Options, Weights, compile};
use sonotrace_tests::onnx::Onnx;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in the process that compiles: the graph.
const GRAPH: &str = "SONOTRACE_TEST_GRAPH";
/// Rows and columns of each matrix.
const SIDE: usize = 2048;
const MATRICES: usize = 6;
/// The weights, as f32.
const WEIGHT_BYTES: u64 = (MATRICES * SIDE * SIDE * 4) as u64;
/// The process itself (30 MB), a matrix that is converted at the time, and what the system's allocator keeps of matrices that were
/// freed: glibc gives blocks of up to 32 MB back only from the end of its heap.
const CONSTANT_BYTES: u64 = 96 << 20;

fn graph(folder: &Path) -> PathBuf {
    let mut graph = Onnx::default().input("h0", &[1, SIDE]);
    for at in 0..MATRICES {
        let [from, weights, sum, to] =
            [format!("h{at}"), format!("w{at}"), format!("sum{at}"), format!("h{}", at + 1)];
        graph = graph.weights(&weights, &[SIDE, SIDE]).node("MatMul", &[&from, &weights], &[&sum], &[]);
        graph = graph.node("Tanh", &[&sum], &[&to], &[]);
    }
    let path = folder.join("large.onnx");
    std::fs::write(&path, graph.output(&format!("h{MATRICES}")).bytes()).unwrap();
    path
}

/// The largest resident memory of this process so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Compiles in a process of its own, because the peak is that of a whole process.
#[test]
fn compiling_takes_three_times_the_weights() {
    if let Some(path) = std::env::var_os(GRAPH) {
        let options = Options { weights: Weights::F32, ..Options::default() };
        let compiled = compile(&[("main".to_owned(), path.into())], &options).unwrap();
        assert!(compiled.report.weight_bytes >= WEIGHT_BYTES);
        println!("peak {}", peak_bytes());
        return;
    }
    let folder = std::env::temp_dir().join(format!("sonotrace-compile-memory-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["compiling_takes_three_times_the_weights", "--exact", "--nocapture"])
        .env(GRAPH, graph(&folder))
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let peak =
        text.split_once("peak ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok());
    let peak = peak.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    println!("{} MB for {} MB of weights", peak >> 20, WEIGHT_BYTES >> 20);
    assert!(peak <= 3 * WEIGHT_BYTES + CONSTANT_BYTES, "{peak} bytes for {WEIGHT_BYTES} bytes of weights");
}
