//! Matrix products and convolutions against tract.

use sonotrace_tests::onnx::{Onnx, count, float, int, ints, text};

#[test]
fn bias_and_activation_are_fused_into_linear_layers() {
    let compiled = Onnx::default()
        .input("x", &[2, 7, 20])
        .weights("w", &[20, 33])
        .weights("b", &[33])
        .node("MatMul", &["x", "w"], &["a"], &[])
        .node("Add", &["b", "a"], &["c"], &[])
        .node("Relu", &["c"], &["y"], &[])
        .output("y")
        .agrees("linear");
    assert_eq!((count(&compiled, "matmul"), count(&compiled, "elementwise")), (1, 0));
}

#[test]
fn products_of_all_ranks() {
    for (a, b) in [
        (&[5, 6][..], &[6, 7][..]),
        (&[2, 3, 5, 6], &[2, 3, 6, 7]),
        (&[2, 3, 5, 6], &[1, 3, 6, 7]),
        (&[3, 5, 6], &[6, 7]),
        (&[5, 6], &[3, 6, 7]),
        (&[6], &[6, 7]),
        (&[5, 6], &[6]),
        (&[1, 6], &[6, 1]),
    ] {
        let what = format!("MatMul {a:?} {b:?}");
        let product = |graph: Onnx| graph.node("MatMul", &["a", "b"], &["y"], &[]).output("y");
        product(Onnx::default().input("a", a).input("b", b)).agrees(&what);
        product(Onnx::default().input("a", a).weights("b", b)).agrees(&format!("{what}, constant second"));
        product(Onnx::default().weights("a", a).input("b", b)).agrees(&format!("{what}, constant first"));
    }
}

#[test]
fn products_of_transposed_operands() {
    for (transpose_a, transpose_b, transpose_y) in (0..8).map(|at| (at & 1 != 0, at & 2 != 0, at & 4 != 0)) {
        let shape = |transpose: bool, rows: usize, columns: usize| {
            if transpose { vec![2, columns, rows] } else { vec![2, rows, columns] }
        };
        let perm = |transpose: bool| ints("perm", if transpose { &[0, 2, 1] } else { &[0, 1, 2] });
        Onnx::default()
            .input("x", &shape(transpose_a, 5, 6))
            .input("z", &shape(transpose_b, 6, 7))
            .node("Transpose", &["x"], &["a"], &[perm(transpose_a)])
            .node("Transpose", &["z"], &["b"], &[perm(transpose_b)])
            .node("MatMul", &["a", "b"], &["c"], &[])
            .node("Transpose", &["c"], &["y"], &[perm(transpose_y)])
            .output("y")
            .agrees(&format!("transposed {transpose_a} {transpose_b} {transpose_y}"));
    }
}

#[test]
fn gemm_with_its_factors() {
    for (transpose_a, transpose_b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let a: &[usize] = if transpose_a == 1 { &[6, 5] } else { &[5, 6] };
        let b: &[usize] = if transpose_b == 1 { &[19, 6] } else { &[6, 19] };
        Onnx::default()
            .input("a", a)
            .weights("b", b)
            .weights("c", &[19])
            .node(
                "Gemm",
                &["a", "b", "c"],
                &["y"],
                &[
                    int("transA", transpose_a),
                    int("transB", transpose_b),
                    float("alpha", 0.5),
                    float("beta", 2.0),
                ],
            )
            .output("y")
            .agrees(&format!("Gemm {transpose_a} {transpose_b}"));
    }
}

#[test]
fn einsums() {
    for (equation, a, b) in [
        ("bhid,bhjd->bhij", &[2, 3, 4, 5][..], &[2, 3, 6, 5][..]),
        ("bhwc,hkc->bhwk", &[2, 4, 3, 5], &[4, 6, 5]),
        ("bhwc,wkc->bhwk", &[2, 4, 3, 5], &[3, 6, 5]),
        ("abc,cbd->ad", &[3, 4, 5], &[5, 4, 6]),
        ("ij,kl->ijkl", &[3, 4], &[2, 5]),
        ("ibj,kbl->kbijl", &[2, 3, 4], &[5, 3, 6]),
    ] {
        let einsum = |graph: Onnx| {
            graph.node("Einsum", &["a", "b"], &["y"], &[text("equation", equation)]).output("y")
        };
        einsum(Onnx::default().input("a", a).input("b", b)).agrees(equation);
        einsum(Onnx::default().input("a", a).weights("b", b)).agrees(&format!("{equation}, constant second"));
        einsum(Onnx::default().weights("a", a).input("b", b)).agrees(&format!("{equation}, constant first"));
    }
}

#[test]
fn convolutions_of_all_geometries() {
    /// Kernel, strides, dilations, pads (top, left, bottom, right), groups, output channels.
    type Geometry = ([usize; 2], [i64; 2], [i64; 2], [i64; 4], i64, usize);
    let cases: &[Geometry] = &[
        ([3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 1, 10),
        ([3, 3], [2, 2], [1, 1], [0, 1, 2, 1], 1, 10),
        ([1, 1], [1, 1], [1, 1], [0, 0, 0, 0], 1, 17),
        ([1, 1], [2, 2], [1, 1], [0, 0, 0, 0], 1, 10),
        ([2, 5], [2, 1], [3, 2], [2, 4, 1, 4], 1, 16),
        ([3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 2, 10),
        ([3, 3], [2, 1], [1, 1], [1, 0, 1, 0], 3, 3),
        ([1, 1], [1, 1], [1, 1], [0, 0, 0, 0], 2, 34),
        ([3, 3], [1, 2], [1, 1], [1, 1, 1, 1], 6, 6),
        ([5, 3], [1, 1], [2, 1], [4, 1, 4, 1], 6, 6),
        ([3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 6, 12),
    ];
    for (kernel, strides, dilations, pads, groups, channels) in cases {
        for bias in [false, true] {
            let graph = Onnx::default()
                .input("x", &[2, 6, 9, 11])
                .weights("w", &[*channels, 6 / *groups as usize, kernel[0], kernel[1]])
                .weights("b", &[*channels]);
            let inputs: &[&str] = if bias { &["x", "w", "b"] } else { &["x", "w"] };
            let compiled = graph
                .node(
                    "Conv",
                    inputs,
                    &["y"],
                    &[
                        ints("strides", strides),
                        ints("dilations", dilations),
                        ints("pads", pads),
                        int("group", *groups),
                    ],
                )
                .output("y")
                .agrees(&format!(
                    "Conv {kernel:?} {strides:?} {dilations:?} {pads:?} groups {groups}, bias {bias}"
                ));
            assert_eq!(count(&compiled, "depthwise_conv"), usize::from(*groups == 6));
            // A kernel of one pixel may be a matrix product.
            let products = count(&compiled, "conv") + count(&compiled, "matmul");
            assert_eq!(products, usize::from(*groups != 6), "all groups are one operation");
            assert_eq!(count(&compiled, "elementwise"), 0, "the bias is part of the convolution");
        }
    }
}

/// A residual and an activation go into a convolution of groups, too.
#[test]
fn convolutions_of_groups_are_one_operation() {
    let graph = Onnx::default()
        .input("x", &[2, 8, 5, 7])
        .input("r", &[2, 20, 5, 7])
        .weights("w", &[20, 2, 3, 3])
        .weights("b", &[20])
        .node("Conv", &["x", "w", "b"], &["c"], &[ints("pads", &[1, 1, 1, 1]), int("group", 4)])
        .node("Add", &["c", "r"], &["s"], &[])
        .node("Relu", &["s"], &["y"], &[])
        .output("y");
    let compiled = graph.agrees("groups with residual");
    assert_eq!((count(&compiled, "conv"), count(&compiled, "elementwise")), (1, 0));
}

#[test]
fn convolutions_with_computed_padding_and_of_one_dimension() {
    for pad in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
        Onnx::default()
            .input("x", &[1, 3, 8, 7])
            .weights("w", &[4, 3, 4, 3])
            .node("Conv", &["x", "w"], &["y"], &[text("auto_pad", pad), ints("strides", &[2, 2])])
            .output("y")
            .agrees(pad);
    }
    Onnx::default()
        .input("x", &[1, 3, 20])
        .weights("w", &[4, 3, 5])
        .node("Conv", &["x", "w"], &["y"], &[ints("pads", &[2, 2]), ints("strides", &[3])])
        .output("y")
        .agrees("one dimension");
}

#[test]
fn transposed_convolutions_of_all_geometries() {
    // Kernel, stride, dilation, pad, output padding, groups.
    let cases: &[(usize, i64, i64, i64, i64, i64)] = &[
        (2, 2, 1, 0, 0, 1),
        (3, 2, 1, 1, 1, 1),
        (4, 2, 1, 1, 0, 1),
        (3, 1, 1, 1, 0, 1),
        (2, 3, 1, 0, 0, 1),
        (2, 3, 1, 0, 2, 1),
        (3, 2, 2, 1, 0, 1),
        (3, 3, 2, 2, 1, 1),
        (5, 3, 1, 2, 0, 1),
        (4, 2, 3, 1, 0, 1),
        (4, 2, 1, 1, 0, 2),
        (2, 2, 1, 0, 0, 4),
    ];
    for &(kernel, stride, dilation, pad, outside, groups) in cases {
        for bias in [false, true] {
            let graph = Onnx::default()
                .input("x", &[2, 4, 5, 6])
                .weights("w", &[4, 8 / groups as usize, kernel, kernel])
                .weights("b", &[8]);
            let inputs: &[&str] = if bias { &["x", "w", "b"] } else { &["x", "w"] };
            graph
                .node(
                    "ConvTranspose",
                    inputs,
                    &["y"],
                    &[
                        ints("strides", &[stride; 2]),
                        ints("dilations", &[dilation; 2]),
                        ints("pads", &[pad; 4]),
                        ints("output_padding", &[outside; 2]),
                        int("group", groups),
                    ],
                )
                .output("y")
                .agrees(&format!(
                    "ConvTranspose kernel {kernel} stride {stride} dilation {dilation} pad {pad} + {outside}, groups {groups}, bias {bias}"
                ));
        }
    }
}

#[test]
fn an_activation_is_fused_into_every_phase_of_a_transposed_convolution() {
    let compiled = Onnx::default()
        .input("x", &[1, 4, 5, 6])
        .weights("w", &[4, 3, 2, 2])
        .node("ConvTranspose", &["x", "w"], &["a"], &[ints("strides", &[2, 2])])
        .node("Sigmoid", &["a"], &["y"], &[])
        .output("y")
        .agrees("ConvTranspose, Sigmoid");
    assert_eq!((count(&compiled, "conv"), count(&compiled, "elementwise")), (4, 0));
}

#[test]
fn pooling() {
    for op in ["MaxPool", "AveragePool"] {
        for (kernel, strides, pads, ceil) in [
            ([2, 2], [2, 2], [0; 4], 0),
            ([3, 3], [2, 2], [1; 4], 0),
            ([3, 2], [1, 2], [1, 0, 1, 1], 0),
            ([3, 3], [2, 2], [0; 4], 1),
        ] {
            Onnx::default()
                .input("x", &[2, 3, 8, 9])
                .node(
                    op,
                    &["x"],
                    &["y"],
                    &[
                        ints("kernel_shape", &kernel),
                        ints("strides", &strides),
                        ints("pads", &pads),
                        int("ceil_mode", ceil),
                    ],
                )
                .output("y")
                .agrees(&format!("{op} {kernel:?} {strides:?} {pads:?} ceil {ceil}"));
        }
    }
    Onnx::default()
        .input("x", &[2, 3, 8, 9])
        .node(
            "AveragePool",
            &["x"],
            &["y"],
            &[ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4]), int("count_include_pad", 1)],
        )
        .output("y")
        .agrees("AveragePool that counts its borders");
    for op in ["GlobalAveragePool", "GlobalMaxPool"] {
        Onnx::default().input("x", &[2, 3, 8, 9]).node(op, &["x"], &["y"], &[]).output("y").agrees(op);
    }
}

/// Multi-head attention as PyTorch exports it: one product for q, k and v, split and transposed.
#[test]
fn attention() {
    Onnx::default()
        .input("x", &[1, 10, 24])
        .weights("w", &[24, 72])
        .weights("b", &[72])
        .weights("p", &[24, 24])
        .indices("shape", &[5], &[1, 10, 3, 4, 6])
        .indices("back", &[3], &[1, 10, 24])
        .indices("i0", &[], &[0])
        .indices("i1", &[], &[1])
        .indices("i2", &[], &[2])
        .floats("scale", &[], &[0.408])
        .node("MatMul", &["x", "w"], &["a"], &[])
        .node("Add", &["a", "b"], &["qkv"], &[])
        .node("Reshape", &["qkv", "shape"], &["heads"], &[])
        .node("Transpose", &["heads"], &["t"], &[ints("perm", &[2, 0, 3, 1, 4])])
        .node("Gather", &["t", "i0"], &["q"], &[int("axis", 0)])
        .node("Gather", &["t", "i1"], &["k"], &[int("axis", 0)])
        .node("Gather", &["t", "i2"], &["v"], &[int("axis", 0)])
        .node("Mul", &["q", "scale"], &["qs"], &[])
        .node("Transpose", &["k"], &["kt"], &[ints("perm", &[0, 1, 3, 2])])
        .node("MatMul", &["qs", "kt"], &["s"], &[])
        .node("Softmax", &["s"], &["m"], &[int("axis", -1)])
        .node("MatMul", &["m", "v"], &["o"], &[])
        .node("Transpose", &["o"], &["ot"], &[ints("perm", &[0, 2, 1, 3])])
        .node("Reshape", &["ot", "back"], &["r"], &[])
        .node("MatMul", &["r", "p"], &["z"], &[])
        .node("Add", &["z", "x"], &["y"], &[])
        .output("y")
        .agrees("attention");
}

/// As in attention: the queries are scaled. The factor moves into weights and bias.
#[test]
fn a_constant_factor_of_a_product_is_folded_into_its_weights() {
    let compiled = Onnx::default()
        .input("x", &[5, 8])
        .weights("w", &[8, 6])
        .weights("b", &[6])
        .floats("scale", &[1], &[0.125])
        .node("MatMul", &["x", "w"], &["product"], &[])
        .node("Add", &["product", "b"], &["sum"], &[])
        .node("Mul", &["sum", "scale"], &["scaled"], &[])
        .node("Relu", &["scaled"], &["y"], &[])
        .output("y")
        .agrees("scaled product");
    assert_eq!(compiled.report.programs[0].ops, [("matmul", 1)].into());
}
