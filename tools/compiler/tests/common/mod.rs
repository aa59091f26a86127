//! Small ONNX graphs, written field by field (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), and the check
//! that our executor and tract agree on them.
// Each test file uses a part of this; what fails here fails the test.
#![allow(dead_code, clippy::unwrap_used)]

use sonotrace_compiler::{CompileError, Compiled, Options, compile_graphs, frontend, parity};
use std::path::Path;

/// Bound on the relative rms error with f32 weights.
pub const RMS_MAX: f64 = 1e-5;

/// Protobuf wire format: the few rules that ONNX needs.
#[derive(Debug, Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }
}

/// An attribute of a node.
#[derive(Debug, Clone)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'static str),
}

/// An attribute with its name.
pub type Named = (&'static str, Attribute);

pub fn int(name: &'static str, value: i64) -> Named {
    (name, Attribute::Int(value))
}

pub fn ints(name: &'static str, values: &[i64]) -> Named {
    (name, Attribute::Ints(values.to_vec()))
}

pub fn float(name: &'static str, value: f32) -> Named {
    (name, Attribute::Float(value))
}

pub fn text(name: &'static str, value: &'static str) -> Named {
    (name, Attribute::Text(value))
}

/// A dimension of a port: fixed or symbolic.
#[derive(Debug, Clone)]
pub enum Dim {
    Fixed(usize),
    Symbol(&'static str),
}

/// ONNX element types.
pub const FLOAT: i64 = 1;
pub const INT64: i64 = 7;
pub const BOOL: i64 = 9;
pub const DOUBLE: i64 = 11;

/// A graph under construction.
#[derive(Debug, Clone)]
pub struct Onnx {
    graph: Message,
    nodes: usize,
    opset: i64,
}

impl Default for Onnx {
    fn default() -> Self {
        Self::opset(17)
    }
}

impl Onnx {
    pub fn opset(opset: i64) -> Self {
        Self { graph: Message::default().text(2, "test"), nodes: 0, opset }
    }

    pub fn input(self, name: &str, shape: &[usize]) -> Self {
        self.port(11, name, FLOAT, &shape.iter().map(|&extent| Dim::Fixed(extent)).collect::<Vec<_>>())
    }

    pub fn typed_input(self, name: &str, dtype: i64, shape: &[Dim]) -> Self {
        self.port(11, name, dtype, shape)
    }

    fn port(mut self, field: u64, name: &str, dtype: i64, shape: &[Dim]) -> Self {
        let mut dims = Message::default();
        for dim in shape {
            let dim = match dim {
                Dim::Fixed(extent) => Message::default().int(1, *extent as i64),
                Dim::Symbol(name) => Message::default().text(2, name),
            };
            dims = dims.message(1, &dim);
        }
        let tensor = Message::default().int(1, dtype).message(2, &dims);
        let port = Message::default().text(1, name).message(2, &Message::default().message(1, &tensor));
        self.graph = self.graph.message(field, &port);
        self
    }

    /// An output whose shape the graph does not say.
    pub fn output(mut self, name: &str) -> Self {
        let kind = Message::default().message(1, &Message::default().int(1, FLOAT));
        self.graph = self.graph.message(12, &Message::default().text(1, name).message(2, &kind));
        self
    }

    fn tensor(mut self, name: &str, dtype: i64, shape: &[usize], raw: &[u8]) -> Self {
        let mut tensor = Message::default();
        for &extent in shape {
            tensor = tensor.int(1, extent as i64);
        }
        self.graph = self.graph.message(5, &tensor.int(2, dtype).text(8, name).bytes(9, raw));
        self
    }

    pub fn floats(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, FLOAT, shape, &raw)
    }

    /// Weights with made-up values of about -1 to 1.
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

    pub fn indices(self, name: &str, shape: &[usize], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, INT64, shape, &raw)
    }

    /// A node, named after its operation and its number.
    pub fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Named]) -> Self {
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input);
        }
        for output in outputs {
            node = node.text(2, output);
        }
        node = node.text(3, &format!("{op}_{}", self.nodes)).text(4, op);
        for (name, attribute) in attributes {
            let message = Message::default().text(1, name);
            let message = match attribute {
                Attribute::Float(value) => message.float(2, *value).int(20, 1),
                Attribute::Int(value) => message.int(3, *value).int(20, 2),
                Attribute::Text(value) => message.text(4, value).int(20, 3),
                Attribute::Ints(values) => {
                    values.iter().fold(message, |message, &value| message.int(8, value)).int(20, 7)
                }
            };
            node = node.message(5, &message);
        }
        self.nodes += 1;
        self.graph = self.graph.message(1, &node);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let opset = Message::default().text(1, "").int(2, self.opset);
        Message::default().int(1, 8).text(2, "test").message(7, &self.graph).message(8, &opset).0
    }

    pub fn graph(&self, program: &str) -> Result<frontend::Graph, CompileError> {
        frontend::parse(program, Path::new("test.onnx"), &self.bytes())
    }

    pub fn compile(&self) -> Result<Compiled, CompileError> {
        compile_graphs(&[self.graph("main")?], &Options::default())
    }

    /// Holds our executor to tract on made-up inputs, within [`RMS_MAX`]; returns the compilation.
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

/// The graph as it reaches the compiler.
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
