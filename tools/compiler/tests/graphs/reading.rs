//! What a file says besides its operations: domains, functions, operator sets, declared shapes.

use prost::Message;
use sonotrace::exec::ExecutorConfig;
use sonotrace_compiler::{CompileError, Options, compile_graphs, frontend, run_compiled};
use sonotrace_tests::onnx::{Dim, Onnx, float, ints};
use std::path::Path;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    AttributeProto, FunctionProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};

/// `y = op(x)`, changed before it is read.
fn changed(op: &str, change: impl FnOnce(&mut ModelProto)) -> Result<frontend::Graph, CompileError> {
    let graph = Onnx::default().input("x", &[4]).node(op, &["x"], &["y"], &[float("slope", 3.0)]).output("y");
    let mut proto = ModelProto::decode(graph.bytes().as_slice()).unwrap();
    change(&mut proto);
    frontend::parse("main", Path::new("test.onnx"), &proto.encode_to_vec())
}

fn refusal(graph: Result<frontend::Graph, CompileError>, words: &[&str]) {
    let message = graph.expect_err("this graph is refused").to_string();
    for word in words {
        assert!(message.contains(word), "{message:?} does not name {word:?}");
    }
}

fn of_domain(proto: &mut ModelProto, domain: &str) {
    proto.graph.as_mut().unwrap().node[0].domain = domain.into();
    proto.opset_import.push(OperatorSetIdProto { domain: domain.into(), version: 1 });
}

#[test]
fn operations_of_other_domains_are_not_taken_for_those_of_onnx() {
    for domain in ["my", "ai.onnx.ml", "com.microsoft"] {
        refusal(changed("Relu", |proto| of_domain(proto, domain)), &["Relu_0", "operation Relu", domain]);
    }
    let gelu = changed("QuickGelu", |proto| of_domain(proto, "com.microsoft"));
    compile_graphs(&[gelu.unwrap()], &Options::default()).unwrap();
    // `ai.onnx` is another name of the standard domain.
    changed("Relu", |proto| of_domain(proto, "ai.onnx")).expect_err("two versions of one operator set");
    changed("Relu", |proto| proto.graph.as_mut().unwrap().node[0].domain = "ai.onnx".into()).unwrap();
}

fn node(op: &str, input: &str, output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: vec![input.into()],
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

/// A function `my::Relu` whose body is `LeakyRelu(Neg(x))` with the call's `slope`.
fn function(domain: &str) -> FunctionProto {
    let alpha = AttributeProto {
        name: "alpha".into(),
        ref_attr_name: "slope".into(),
        r#type: 1,
        ..AttributeProto::default()
    };
    FunctionProto {
        name: Some("Relu".into()),
        domain: Some(domain.into()),
        input: vec!["a".into()],
        output: vec!["b".into()],
        attribute: vec!["slope".into()],
        node: vec![node("Neg", "a", "c", vec![]), node("LeakyRelu", "c", "b", vec![alpha])],
        opset_import: vec![OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() }],
        ..FunctionProto::default()
    }
}

#[test]
fn local_functions_are_written_out() {
    let graph = changed("Relu", |proto| {
        of_domain(proto, "my");
        proto.functions.push(function("my"));
    });
    let compiled = compile_graphs(&[graph.unwrap()], &Options::default()).unwrap();
    let seen =
        run_compiled(&compiled.bytes, "main", &[vec![1.0, -2.0, 0.5, 0.0]], &ExecutorConfig::default());
    assert_eq!(seen.unwrap(), [vec![-3.0, 2.0, -1.5, 0.0]]);
}

#[test]
fn local_functions_that_cannot_be_written_out_are_refused() {
    let refuse = |words: &[&str], change: fn(&mut FunctionProto)| {
        let graph = changed("Relu", |proto| {
            of_domain(proto, "my");
            let mut function = function("my");
            change(&mut function);
            proto.functions.push(function);
        });
        refusal(graph, words);
    };
    refuse(&["Relu_0", "operator set 11"], |function| function.opset_import[0].version = 11);
    refuse(&["Relu_0", "without the attribute other"], |function| {
        function.node[1].attribute[0].ref_attr_name = "other".into();
    });
    refuse(&["nested"], |function| {
        function.node[0].op_type = "Relu".into();
        function.node[0].domain = "my".into();
    });
}

#[test]
fn operator_sets_must_exist() {
    for version in [-1, 0, 29, 1000] {
        let graph = changed("Relu", |proto| proto.opset_import[0].version = version);
        refusal(graph, &["operator set", &version.to_string(), "1 to 28"]);
    }
}

fn kind(shape: &[Dim]) -> Option<TypeProto> {
    let dim = shape.iter().map(|dim| Dimension { value: Some(dim.clone()), ..Dimension::default() });
    let tensor = Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim: dim.collect() }) };
    Some(TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() })
}

fn declare(proto: &mut ModelProto, shape: &[Dim]) {
    proto.graph.as_mut().unwrap().output[0].r#type = kind(shape);
}

#[test]
fn declared_output_shapes_are_compared_and_symbols_are_inferred() {
    let symbol = || Dim::DimParam("unk__7".into());
    for shape in [vec![Dim::DimValue(4)], vec![symbol()], vec![Dim::DimValue(0)]] {
        let graph = changed("Relu", |proto| declare(proto, &shape)).unwrap();
        assert_eq!(graph.outputs, [("y".to_owned(), vec![4])]);
    }
    for shape in [vec![Dim::DimValue(5)], vec![Dim::DimValue(4), Dim::DimValue(1)], vec![symbol(), symbol()]]
    {
        refusal(changed("Relu", |proto| declare(proto, &shape)), &["output y", "[4]"]);
    }
}

/// Exporters leave symbols also on values inside a graph, where the input's shape gives the numbers.
#[test]
fn symbols_on_values_inside_are_ignored() {
    let graph = Onnx::default()
        .input("x", &[2, 3])
        .node("Relu", &["x"], &["a"], &[])
        .node("Neg", &["a"], &["y"], &[])
        .output("y");
    let mut proto = ModelProto::decode(graph.bytes().as_slice()).unwrap();
    let shape = ["Relua_dim_0", "Relua_dim_1"].map(|symbol| Dim::DimParam(symbol.into()));
    let inside = ValueInfoProto { name: "a".into(), r#type: kind(&shape), ..ValueInfoProto::default() };
    proto.graph.as_mut().unwrap().value_info.push(inside);
    let graph = frontend::parse("main", Path::new("test.onnx"), &proto.encode_to_vec()).unwrap();
    assert_eq!(graph.outputs, [("y".to_owned(), vec![2, 3])]);
}

#[test]
fn failures_of_the_front_end_name_the_node() {
    let graph = Onnx::default()
        .input("x", &[2, 3])
        .weights("w", &[4, 5])
        .node("Relu", &["x"], &["a"], &[])
        .node("MatMul", &["a", "w"], &["b"], &[])
        .node("Exp", &["b"], &["y"], &[])
        .output("y");
    refusal(graph.graph("main"), &["program main", "node MatMul_1", "operation MatMul"]);
    let graph = Onnx::default().input("x", &[2, 3]).node("Relu", &["z"], &["y"], &[]).output("y");
    refusal(graph.graph("main"), &["Relu_0", "input z"]);
}

/// tract divides by the stride, and looks for an axis that does not exist.
#[test]
fn panics_of_the_front_end_name_the_node() {
    let graph = |op: &str, inputs: &[&str], attribute: AttributeProto| {
        let graph = Onnx::default().input("x", &[1, 2, 4, 4]).weights("w", &[3, 2, 3, 3]);
        graph.node("Relu", &["x"], &["a"], &[]).node(op, inputs, &["y"], &[attribute]).output("y")
    };
    let still = graph("Conv", &["a", "w"], ints("strides", &[0, 0]));
    refusal(still.graph("main"), &["program main", "node Conv_1", "operation Conv", "panicked"]);
    let turned = graph("Transpose", &["a"], ints("perm", &[0, 1, 2, 9]));
    refusal(turned.graph("main"), &["program main", "node Transpose_1", "operation Transpose", "panicked"]);
}
