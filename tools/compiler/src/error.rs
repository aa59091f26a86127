//! Why a graph was not compiled.

use std::path::PathBuf;

/// Why a graph was not compiled. The text names the file, the port or the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file is not an ONNX graph, or a damaged one.
    #[error("{path}: not a readable ONNX graph: {problem}")]
    Graph {
        /// The file.
        path: PathBuf,
        /// The front end's error.
        problem: String,
    },
    /// An input or output whose shape is not fixed.
    #[error(
        "program {program}: port {port} has a dynamic shape ({shape}): export the graph with fixed shapes"
    )]
    DynamicShape {
        /// The program.
        program: String,
        /// The port.
        port: String,
        /// The shape as declared.
        shape: String,
    },
    /// An input or output that is not f32.
    #[error(
        "program {program}: port {port} has type {dtype}, only f32 is supported: cast it in the network, or leave it out"
    )]
    PortType {
        /// The program.
        program: String,
        /// The port.
        port: String,
        /// The type as declared.
        dtype: String,
    },
    /// An operation that is not supported, or not in this form.
    #[error("program {program}: node {node}: operation {op} is not supported: {reason}")]
    Unsupported {
        /// The program.
        program: String,
        /// The node in the graph.
        node: String,
        /// Its operation.
        op: String,
        /// The form that is not supported.
        reason: String,
    },
    /// A pass of the compiler panicked, which is a fault of the compiler.
    #[error(
        "program {program}: node {node}: operation {op}: the compiler's pass {pass} panicked: {problem}: report this with the graph"
    )]
    Panic {
        /// The program.
        program: String,
        /// The node of the operation or tensor that the pass worked on; `unknown` if it had none.
        node: String,
        /// Its operation; `constant` for a tensor.
        op: String,
        /// The pass.
        pass: &'static str,
        /// The panic's text.
        problem: String,
    },
    /// A weight that cannot be stored.
    #[error("program {program}: node {node}: {problem}")]
    Weight {
        /// The program.
        program: String,
        /// The node in the graph.
        node: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Programs or ports that do not fit together.
    #[error("{0}")]
    Ports(String),
    /// The conventions file is not usable.
    #[error("conventions {path}: {problem}")]
    Conventions {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A count or size above its limit.
    #[error("{what} is {seen}, the limit is {limit}")]
    Limit {
        /// The quantity.
        what: &'static str,
        /// Value found.
        seen: u64,
        /// Largest allowed.
        limit: u64,
    },
    /// The reference run of a graph failed.
    #[error("program {program}: reference run failed: {problem}")]
    Reference {
        /// The program.
        program: String,
        /// tract's error.
        problem: String,
    },
    /// The runtime refuses the compiled file or a given one.
    #[error("model file: {0}")]
    Model(#[from] sonotrace::format::ModelError),
    /// The compiled program could not be set up to run.
    #[error("executor: {0}")]
    Executor(String),
}
