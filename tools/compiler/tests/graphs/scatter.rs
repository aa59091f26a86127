//! Scattering and gathering by constant index tuples: values, and how many operations they take.

use crate::rewrites::{close, run};
use sonotrace_tests::onnx::{Onnx, count, int, ints, text};

fn scatter_nd(data: &[usize], shape: &[usize], tuples: &[i64], updates: &[usize], reduction: &str) -> Onnx {
    Onnx::opset(18)
        .input("x", data)
        .input("u", updates)
        .indices("i", shape, tuples)
        .node("ScatterND", &["x", "i", "u"], &["y"], &[text("reduction", reduction)])
        .output("y")
}

fn numbers(count: usize, first: f32) -> Vec<f32> {
    (0..count).map(|at| first + at as f32).collect()
}

#[test]
fn evenly_spaced_places_are_a_strided_copy() {
    // Rows 1 and 2 of columns 1 and 3 of a 4 x 5 matrix.
    let tuples = [1, 1, 1, 3, 2, 1, 2, 3];
    let graph = scatter_nd(&[4, 5], &[2, 2, 2], &tuples, &[2, 2], "none");
    let compiled = graph.compile().unwrap();
    assert_eq!((count(&compiled, "gather"), count(&compiled, "elementwise")), (0, 2));
    let seen = run(&graph, &[numbers(20, 0.0), numbers(4, 100.0)]);
    let mut expected = numbers(20, 0.0);
    for (at, place) in [6, 8, 11, 13].into_iter().enumerate() {
        expected[place] = 100.0 + at as f32;
    }
    assert_eq!(seen, expected);
    // The same columns of 20 rows: more pieces than one scattering may have copies, but one block.
    let tuples: Vec<i64> = (0..40).flat_map(|at| [at / 2 + 1, at % 2 * 2 + 1]).collect();
    let compiled = scatter_nd(&[22, 5], &[20, 2, 2], &tuples, &[20, 2], "none").compile().unwrap();
    assert_eq!((count(&compiled, "gather"), count(&compiled, "elementwise")), (0, 2));
}

/// Exporters write `x[mask] = updates` in this way. The mask is larger than what tract computes while it infers shapes.
#[test]
fn places_of_a_large_constant_mask() {
    let (rows, columns) = (2100, 2100);
    let mut seeds = vec![0.0; columns];
    (seeds[3], seeds[700]) = (1.0, 1.0);
    let graph = Onnx::opset(17)
        .input("u", &[2 * rows])
        .floats("seeds", &[1, columns], &seeds)
        .floats("zero", &[], &[0.0])
        .indices("shape", &[2], &[rows as i64, columns as i64])
        .node("Greater", &["seeds", "zero"], &["row"], &[])
        .node("Expand", &["row", "shape"], &["mask"], &[])
        .node("NonZero", &["mask"], &["places"], &[])
        .node("Transpose", &["places"], &["i"], &[ints("perm", &[1, 0])])
        .node("Expand", &["zero", "shape"], &["x"], &[])
        .node("ScatterND", &["x", "i", "u"], &["s"], &[])
        .node("ReduceSum", &["s", "last"], &["y"], &[int("keepdims", 0)])
        .indices("last", &[1], &[1])
        .output("y");
    let seen = run(&graph, &[numbers(2 * rows, 0.0)]);
    let expected: Vec<f32> = (0..rows).map(|row| (4 * row + 1) as f32).collect();
    close(&seen, &expected);
}

/// The number of places in such a mask, as a size.
#[test]
fn sizes_from_a_large_constant_mask() {
    let (rows, columns) = (2100, 2100);
    let mut seeds = vec![0.0; columns];
    (seeds[3], seeds[700]) = (1.0, 1.0);
    let graph = Onnx::opset(17)
        .input("u", &[1])
        .floats("seeds", &[1, columns], &seeds)
        .floats("zero", &[], &[0.0])
        .indices("shape", &[2], &[rows as i64, columns as i64])
        .indices("flat", &[1], &[-1])
        .node("Greater", &["seeds", "zero"], &["row"], &[])
        .node("Expand", &["row", "shape"], &["mask"], &[])
        .node("Reshape", &["mask", "flat"], &["list"], &[])
        .node("Cast", &["list"], &["ones"], &[int("to", 7)])
        .node("ReduceSum", &["ones"], &["size"], &[int("keepdims", 1)])
        .node("Expand", &["u", "size"], &["y"], &[])
        .output("y");
    assert_eq!(run(&graph, &[vec![3.0]]), vec![3.0; 2 * rows]);
}

#[test]
fn slices_of_rows_and_negative_indices() {
    let graph = scatter_nd(&[4, 3], &[2, 1], &[-1, 0], &[2, 3], "none");
    let seen = run(&graph, &[numbers(12, 0.0), numbers(6, 50.0)]);
    assert_eq!(seen, [53., 54., 55., 3., 4., 5., 6., 7., 8., 50., 51., 52.]);
}

#[test]
fn places_without_order_are_a_gather() {
    let places: Vec<i64> = (0..40).map(|at| at * 27 % 40).collect();
    let graph = scatter_nd(&[41], &[40, 1], &places, &[40], "none");
    let compiled = graph.compile().unwrap();
    assert_eq!(count(&compiled, "gather"), 1);
    let seen = run(&graph, &[vec![-1.0; 41], numbers(40, 0.0)]);
    for (at, &place) in places.iter().enumerate() {
        assert_eq!(seen[place as usize], at as f32);
    }
    assert_eq!(seen[40], -1.0);
}

#[test]
fn reductions_count_repeated_places() {
    let run = |reduction: &str| {
        let graph = scatter_nd(&[4], &[4, 1], &[1, 3, 1, 1], &[4], reduction);
        run(&graph, &[vec![1.0, 2.0, 3.0, 4.0], vec![5.0, 6.0, -7.0, 8.0]])
    };
    assert_eq!(run("add"), [1.0, 8.0, 3.0, 10.0]);
    assert_eq!(run("mul"), [1.0, -560.0, 3.0, 24.0]);
    assert_eq!(run("max"), [1.0, 8.0, 3.0, 6.0]);
    assert_eq!(run("min"), [1.0, -7.0, 3.0, 4.0]);
    // Without a reduction the last update stays.
    assert_eq!(run("none"), [1.0, 8.0, 3.0, 6.0]);
}

#[test]
fn scattered_elements() {
    let graph = |indices: &[i64], shape: &[usize]| {
        Onnx::opset(18)
            .input("x", &[2, 3])
            .input("u", shape)
            .indices("i", shape, indices)
            .node("ScatterElements", &["x", "i", "u"], &["y"], &[int("axis", 1)])
            .output("y")
    };
    let seen = run(&graph(&[2, 0, -2, 2], &[2, 2]), &[numbers(6, 0.0), numbers(4, 10.0)]);
    assert_eq!(seen, [11.0, 1.0, 10.0, 3.0, 12.0, 13.0]);
    let along_rows = Onnx::opset(18)
        .input("x", &[3, 4])
        .input("u", &[2, 4])
        .indices("i", &[2, 4], &[2, 2, 2, 2, 0, 0, 0, 0])
        .node("ScatterElements", &["x", "i", "u"], &["y"], &[int("axis", 0)])
        .output("y");
    let seen = run(&along_rows, &[numbers(12, 0.0), numbers(8, 20.0)]);
    assert_eq!(seen, [24., 25., 26., 27., 4., 5., 6., 7., 20., 21., 22., 23.]);
}

/// Elements that are scattered as whole rows need a place for each row, not one for each element.
#[test]
fn scattered_elements_of_whole_rows_have_a_small_table() {
    let (rows, columns) = (64, 40);
    let places: Vec<i64> = (0..rows * columns).map(|at| (at / columns * 27 % rows) as i64).collect();
    let graph = Onnx::opset(18)
        .input("x", &[rows, columns])
        .input("u", &[rows, columns])
        .indices("i", &[rows, columns], &places)
        .node("ScatterElements", &["x", "i", "u"], &["y"], &[int("axis", 0)])
        .output("y");
    let bytes = graph.compile().unwrap().report.weight_bytes;
    assert!(bytes < (rows * columns * 4) as u64, "{bytes} bytes for {rows} places");
    let seen = run(&graph, &[numbers(rows * columns, -9e3), numbers(rows * columns, 0.0)]);
    for row in 0..rows {
        let to = row * 27 % rows;
        assert_eq!(seen[to * columns..(to + 1) * columns], numbers(columns, (row * columns) as f32)[..]);
    }
}

#[test]
fn gathered_tuples() {
    let graph = |shape: &[usize], tuples: &[i64], batch: i64| {
        Onnx::default()
            .input("x", &[2, 3, 2])
            .indices("i", shape, tuples)
            .node("GatherND", &["x", "i"], &["y"], &[int("batch_dims", batch)])
            .output("y")
    };
    let x = [numbers(12, 0.0)];
    close(&run(&graph(&[2, 2], &[1, -1, 0, 1], 0), &x), &[10.0, 11.0, 2.0, 3.0]);
    close(&run(&graph(&[2, 1], &[2, 0], 1), &x), &[4.0, 5.0, 6.0, 7.0]);
    // Evenly spaced tuples are a view: the only operation is the copy to the output.
    for (shape, tuples) in [(&[2, 2][..], &[0, 1, 1, 1][..]), (&[2, 2, 2], &[0, 0, 0, 1, 1, 0, 1, 1])] {
        let compiled = graph(shape, tuples, 0).compile().unwrap();
        assert_eq!((count(&compiled, "gather"), count(&compiled, "elementwise")), (0, 1));
    }
}

#[test]
fn computed_places_are_refused_with_the_rewrite_that_helps() {
    let graph = Onnx::opset(18)
        .input("x", &[4])
        .input("u", &[2])
        .input("p", &[2, 1])
        .node("Cast", &["p"], &["i"], &[int("to", sonotrace_tests::onnx::INT64)])
        .node("ScatterND", &["x", "i", "u"], &["y"], &[])
        .output("y");
    let message = graph.compile().unwrap_err().to_string();
    assert!(message.contains("node Cast_0"), "{message}");
}
