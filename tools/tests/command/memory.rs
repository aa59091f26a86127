//! The memory that `sonotrace compile` takes: at most three times the weights, and a constant, also for many tensors of medium
//! size, which glibc would keep after they are freed.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use crate::folder;
use sonotrace_tests::onnx::Onnx;
use std::process::Command;
use std::time::Duration;

/// Widths of the network, in turn: matrices of 1 to 16 MB, as in a transformer.
const WIDTHS: [usize; 4] = [512, 512, 2048, 2048];
const MATRICES: usize = 32;
/// The weights, as f32.
const WEIGHT_BYTES: u64 = (MATRICES / 4 * 4 * (512 * 512 + 512 * 2048 + 2048 * 2048 + 2048 * 512)) as u64;
/// The process itself (30 MB), and a matrix that is read and one that is converted at the time.
const CONSTANT_BYTES: u64 = 64 << 20;

/// The largest resident memory of a process so far; `None` after its end.
fn peak_bytes(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

#[test]
fn compiling_many_medium_tensors_takes_three_times_the_weights() {
    let folder = folder("compile_memory");
    let mut graph = Onnx::default().input("h0", &[1, WIDTHS[0]]);
    for at in 0..MATRICES {
        let [from, weights, sum, to] =
            [format!("h{at}"), format!("w{at}"), format!("sum{at}"), format!("h{}", at + 1)];
        let shape = [WIDTHS[at % 4], WIDTHS[(at + 1) % 4]];
        graph = graph.weights(&weights, &shape).node("MatMul", &[&from, &weights], &[&sum], &[]);
        graph = graph.node("Tanh", &[&sum], &[&to], &[]);
    }
    std::fs::write(folder.join("medium.onnx"), graph.output(&format!("h{MATRICES}")).bytes())
        .expect("the graph can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonotrace"));
    command.current_dir(&folder).args([
        "compile",
        "--weights",
        "f32",
        "--program",
        "main=medium.onnx",
        "-o",
        "m.sono",
    ]);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("the command starts");
    let mut peak = 0;
    // The peak only grows, so what is missed is its growth in the last milliseconds.
    while child.try_wait().expect("the command can be waited for").is_none() {
        peak = peak_bytes(child.id()).unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(child.wait().expect("the command has ended").success());
    println!("{} MB for {} MB of weights", peak >> 20, WEIGHT_BYTES >> 20);
    assert!(peak > WEIGHT_BYTES, "{peak} bytes: the command's memory was not seen");
    assert!(peak <= 3 * WEIGHT_BYTES + CONSTANT_BYTES, "{peak} bytes for {WEIGHT_BYTES} bytes of weights");
}
