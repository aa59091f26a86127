//! The order of axes in memory: kernels find the elements that they handle together side by side.

use sonotrace::format::{AlignedBytes, DIMS, Model, Operation, TensorSpace};
use sonotrace_compiler::Compiled;
use sonotrace_tests::onnx::{Onnx, int, ints};

/// Operands in scratch, ports excepted, whose elements along the dimension of vectors are not adjacent: name of the
/// operation, slot, stride.
fn strided(compiled: &Compiled) -> Vec<(String, usize, u32)> {
    let file = AlignedBytes::new(&compiled.bytes);
    let model = Model::parse(file.bytes()).expect("the file is sound");
    let record = &model.programs()[0];
    let is_port = |tensor: u32| {
        model.inputs(record).iter().chain(model.outputs(record)).any(|port| port.tensor == tensor)
    };
    let mut found = Vec::new();
    for op in model.program_ops(record) {
        let operation = Operation::decode(op).expect("a known operation");
        for (slot, operand) in op.operands.iter().enumerate() {
            let Some(dim) = operation.vector_dim(slot) else { continue };
            let Some(tensor) = model.tensors().get(operand.tensor as usize) else { continue };
            if tensor.space() != Some(TensorSpace::Scratch) || is_port(operand.tensor) {
                continue;
            }
            let extents = operation.operand_extents(&op.dims, slot).unwrap_or([1; DIMS]);
            if extents[dim] > 1 && operand.strides[dim] > 1 {
                found.push((model.name(op.name).to_owned(), slot, operand.strides[dim]));
            }
        }
    }
    found
}

/// As in a vision transformer: the graph's tensors are channel by channel, then token by token.
#[test]
fn tokens_of_an_image_are_stored_by_channel() {
    let compiled = Onnx::default()
        .input("image", &[1, 3, 16, 16])
        .weights("patch", &[32, 3, 4, 4])
        .node("Conv", &["image", "patch"], &["map"], &[ints("strides", &[4, 4])])
        .indices("flat", &[3], &[1, 32, 16])
        .node("Reshape", &["map", "flat"], &["channels"], &[])
        .node("Transpose", &["channels"], &["tokens"], &[ints("perm", &[0, 2, 1])])
        .floats("gain", &[32], &[1.0; 32])
        .node("LayerNormalization", &["tokens", "gain"], &["normal"], &[int("axis", -1)])
        .weights("up", &[32, 64])
        .weights("down", &[64, 32])
        .node("MatMul", &["normal", "up"], &["wide"], &[])
        .node("Relu", &["wide"], &["positive"], &[])
        .node("MatMul", &["positive", "down"], &["branch"], &[])
        .node("Add", &["tokens", "branch"], &["sum"], &[])
        .node("Transpose", &["sum"], &["back"], &[ints("perm", &[0, 2, 1])])
        .indices("square", &[4], &[1, 32, 4, 4])
        .node("Reshape", &["back", "square"], &["square_map"], &[])
        .weights("neck", &[8, 32, 3, 3])
        .node("Conv", &["square_map", "neck"], &["y"], &[ints("pads", &[1; 4])])
        .output("y")
        .agrees("tokens");
    assert_eq!(strided(&compiled), []);
}

/// Concatenated maps, a resize and a residual: the group of tensors that is added together changes together.
#[test]
fn maps_that_are_added_have_one_order() {
    let compiled = Onnx::default()
        .input("x", &[1, 4, 6, 6])
        .weights("a", &[8, 4, 3, 3])
        .weights("b", &[8, 8, 1, 1])
        .weights("c", &[4, 16, 1, 1])
        .node("Conv", &["x", "a"], &["first"], &[ints("pads", &[1; 4])])
        .node("Sigmoid", &["first"], &["gate"], &[])
        .node("Mul", &["first", "gate"], &["silu"], &[])
        .node("Conv", &["silu", "b"], &["second"], &[])
        .node("Add", &["silu", "second"], &["sum"], &[])
        .node("Concat", &["sum", "silu"], &["both"], &[int("axis", 1)])
        .node("Conv", &["both", "c"], &["y"], &[])
        .output("y")
        .agrees("maps");
    assert_eq!(strided(&compiled), []);
}
