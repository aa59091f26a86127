//! Operations that are one loop written out become one.

use sonotrace_compiler::Compiled;
use sonotrace_tests::onnx::{Onnx, int, ints};

fn count(compiled: &Compiled, kind: &str) -> usize {
    compiled.report.programs[0].ops.get(kind).copied().unwrap_or(0)
}

/// The mean products of two maps over channels, the second one displaced by each of `displacements`.
fn correlations(displacements: &[[i64; 2]]) -> Onnx {
    let mut graph = Onnx::default()
        .input("x", &[1, 8, 6, 10])
        .input("y", &[1, 8, 6, 10])
        .indices("pads", &[8], &[0, 0, 1, 1, 0, 0, 1, 1])
        .node("Pad", &["y", "pads"], &["padded"], &[])
        .indices("axes", &[2], &[2, 3]);
    let mut names = Vec::new();
    for (at, &[down, across]) in displacements.iter().enumerate() {
        let [starts, ends, moved, products, mean] =
            ["starts", "ends", "moved", "products", "mean"].map(|name| format!("{name}{at}"));
        graph = graph
            .indices(&starts, &[2], &[down, across])
            .indices(&ends, &[2], &[down + 6, across + 10])
            .node("Slice", &["padded", &starts, &ends, "axes"], &[&moved], &[])
            .node("Mul", &["x", &moved], &[&products], &[])
            .node("ReduceMean", &[&products], &[&mean], &[ints("axes", &[1])]);
        names.push(mean);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    graph
        .node("Concat", &names, &["correlation"], &[int("axis", 1)])
        .weights("w", &[4, names.len(), 1, 1])
        .node("Conv", &["correlation", "w"], &["z"], &[])
        .output("z")
}

#[test]
fn a_correlation_at_several_displacements_is_one_operation() {
    let displacements: Vec<[i64; 2]> = (0..9).map(|at| [at / 3, at % 3]).collect();
    let compiled = correlations(&displacements).agrees("correlation");
    assert_eq!(count(&compiled, "reduce"), 1, "{:?}", compiled.report.programs[0].ops);
    // One product of the concatenation, not one for each of its parts.
    assert_eq!(count(&compiled, "conv") + count(&compiled, "matmul"), 1);
}

/// The second input would be walked backwards.
#[test]
fn displacements_that_are_no_walk_are_not_joined() {
    let compiled = correlations(&[[1, 1], [0, 0]]).agrees("correlation");
    assert_eq!(count(&compiled, "reduce"), 2);
}

/// Later operations read the output between two of the operations.
#[test]
fn a_chain_is_not_joined() {
    let compiled = Onnx::default()
        .input("x", &[1, 2, 6])
        .indices("first", &[1], &[0])
        .indices("second", &[1], &[1])
        .indices("third", &[1], &[2])
        .indices("axes", &[1], &[1])
        .node("Slice", &["x", "first", "second", "axes"], &["a"], &[])
        .node("Slice", &["x", "second", "third", "axes"], &["b"], &[])
        .node("Sin", &["a"], &["c"], &[])
        .node("Mul", &["c", "b"], &["d"], &[])
        .node("Sin", &["d"], &["e"], &[])
        .node("Concat", &["c", "e"], &["y"], &[int("axis", 1)])
        .output("y")
        .agrees("chain");
    // Two sines, a product and a copy.
    assert_eq!(count(&compiled, "elementwise"), 4, "{:?}", compiled.report.programs[0].ops);
}
