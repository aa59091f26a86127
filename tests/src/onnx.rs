//! Small ONNX graphs (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>) for tests and benchmarks, and the check
//! that our executor and tract agree on them.
// A failure here fails the test.
#![allow(clippy::unwrap_used)]

use prost::Message;
use sonotrace_compiler::{CompileError, Compiled, Options, compile_graphs, frontend, parity};
use std::path::Path;
pub use tract_onnx::pb::AttributeProto;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::Dimension;
pub use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};

/// Bound on the relative rms error with f32 weights.
pub const RMS_MAX: f64 = 1e-5;

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind.into(), ..AttributeProto::default() }
}

/// An attribute that is an integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// An attribute that is a number.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

/// An attribute that is a string.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.into(), ..attribute(name, AttributeType::String) }
}

/// ONNX element type f32.
pub const FLOAT: i64 = DataType::Float as i64;
/// ONNX element type of 64-bit integers.
pub const INT64: i64 = DataType::Int64 as i64;
/// ONNX element type of truth values.
pub const BOOL: i64 = DataType::Bool as i64;
/// ONNX element type f64.
pub const DOUBLE: i64 = DataType::Double as i64;

/// A graph under construction.
#[derive(Debug, Clone)]
pub struct Onnx {
    graph: GraphProto,
    opset: i64,
    metadata: Vec<StringStringEntryProto>,
}

impl Default for Onnx {
    fn default() -> Self {
        Self::opset(17)
    }
}

/// An input or an output; its shape is optional.
fn port(name: &str, dtype: i64, shape: Option<&[Dim]>) -> ValueInfoProto {
    let dimension = |dim: &Dim| Dimension { value: Some(dim.clone()), ..Dimension::default() };
    let shape = shape.map(|shape| TensorShapeProto { dim: shape.iter().map(dimension).collect() });
    let tensor = Value::TensorType(Tensor { elem_type: dtype as i32, shape });
    let r#type = Some(TypeProto { value: Some(tensor), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}

impl Onnx {
    /// An empty graph for a version of the operator set.
    pub fn opset(opset: i64) -> Self {
        Self {
            graph: GraphProto { name: "test".into(), ..GraphProto::default() },
            opset,
            metadata: Vec::new(),
        }
    }

    /// Adds an entry of the metadata.
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.push(StringStringEntryProto { key: key.into(), value: value.into() });
        self
    }

    /// Adds an input of f32.
    pub fn input(self, name: &str, shape: &[usize]) -> Self {
        let shape: Vec<Dim> = shape.iter().map(|&extent| Dim::DimValue(extent as i64)).collect();
        self.typed_input(name, FLOAT, &shape)
    }

    /// Adds an input of an ONNX element type; dimensions may be symbolic.
    pub fn typed_input(mut self, name: &str, dtype: i64, shape: &[Dim]) -> Self {
        self.graph.input.push(port(name, dtype, Some(shape)));
        self
    }

    /// Adds an output without a declared shape.
    pub fn output(mut self, name: &str) -> Self {
        self.graph.output.push(port(name, FLOAT, None));
        self
    }

    fn tensor(mut self, name: &str, dtype: DataType, shape: &[usize], raw_data: Vec<u8>) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: shape.iter().map(|&extent| extent as i64).collect(),
            data_type: dtype.into(),
            raw_data,
            ..TensorProto::default()
        });
        self
    }

    /// Adds a constant of f32.
    ///
    /// # Panics
    /// If the number of values does not match the shape.
    pub fn floats(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, DataType::Float, shape, raw)
    }

    /// Adds a constant with pseudo-random values from -1 to 1, which f16 holds exactly. They depend on the name.
    pub fn weights(self, name: &str, shape: &[usize]) -> Self {
        let seed = name.bytes().fold(7u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let mut state = seed;
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // A multiple of 1/128: f16 holds it exactly.
                ((state >> 16) % 256) as f32 / 128.0 - 1.0
            })
            .collect();
        self.floats(name, shape, &values)
    }

    /// Adds a constant of 64-bit integers.
    pub fn indices(self, name: &str, shape: &[usize], values: &[i64]) -> Self {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, DataType::Int64, shape, raw)
    }

    /// Adds a node, named after its operation and its number.
    pub fn node(
        mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[AttributeProto],
    ) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.graph.node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: format!("{op}_{}", self.graph.node.len()),
            op_type: op.into(),
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        });
        self
    }

    /// The content of the ONNX file.
    pub fn bytes(&self) -> Vec<u8> {
        let opset = OperatorSetIdProto { version: self.opset, ..OperatorSetIdProto::default() };
        let model = ModelProto {
            ir_version: 8,
            producer_name: "test".into(),
            graph: Some(self.graph.clone()),
            opset_import: vec![opset],
            metadata_props: self.metadata.clone(),
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    /// The graph, read by the compiler as a program.
    ///
    /// # Errors
    /// As [`frontend::parse`].
    pub fn graph(&self, program: &str) -> Result<frontend::Graph, CompileError> {
        frontend::parse(program, Path::new("test.onnx"), &self.bytes())
    }

    /// Compiles the graph as the program `main`.
    ///
    /// # Errors
    /// As [`compile_graphs`].
    pub fn compile(&self) -> Result<Compiled, CompileError> {
        compile_graphs(&[self.graph("main")?], &Options::default())
    }

    /// Asserts that our executor agrees with tract on generated inputs, within [`RMS_MAX`]. Returns the compiled file.
    ///
    /// # Panics
    /// If they do not agree, or the graph is refused.
    pub fn agrees(&self, what: &str) -> Compiled {
        let graph = self.graph("main").unwrap_or_else(|error| panic!("{what}: {error}"));
        let compiled = compile_graphs(std::slice::from_ref(&graph), &Options::default());
        let compiled = compiled.unwrap_or_else(|error| panic!("{what}: {error}\n{}", dump(&graph)));
        for output in parity::outputs(&compiled.bytes, &graph, None).unwrap() {
            assert!(output.relative_rms <= RMS_MAX, "{what}: {output:?}\n{}", dump(&graph));
        }
        compiled
    }
}

/// The graph that the compiler gets, as text.
pub fn dump(graph: &frontend::Graph) -> String {
    let lines = graph.model.nodes().iter().map(|node| {
        let inputs: Vec<usize> = node.inputs.iter().map(|input| input.node).collect();
        format!(
            "{} {} [{}] {inputs:?} {:?}",
            node.id,
            node.name,
            node.op.name(),
            node.op.info().unwrap_or_default()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Operations of a kind in a compiled program.
pub fn count(compiled: &Compiled, kind: &str) -> usize {
    compiled.report.programs[0].ops.get(kind).copied().unwrap_or(0)
}
