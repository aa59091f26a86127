//! A fragment of a graph under construction, in operator set 18.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
};
use tract_onnx::tract_hir::internal::*;

/// The operator set of fragments.
const OPSET: i64 = 18;

/// What is known of an input.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its type.
    pub dtype: DatumType,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its value, if it is constant.
    pub value: Option<Arc<Tensor>>,
}

impl Known {
    /// An input of a fixed shape.
    pub fn new(dtype: DatumType, shape: &[TDim], value: Option<Arc<Tensor>>) -> TractResult<Self> {
        let shape: TractResult<Vec<usize>> = shape.iter().map(|dim| Ok(dim.to_usize()?)).collect();
        Ok(Self { dtype, shape: shape?, value })
    }
}

/// A fragment that replaces a node.
pub struct Fragment<'a> {
    /// The node.
    pub node: &'a NodeProto,
    /// The node's operator set.
    pub opset: i64,
    /// Its inputs by position; none where an optional one is left out.
    slots: Vec<Option<Known>>,
    graph: GraphProto,
    names: usize,
    /// Whether the fragment is the node itself, read by tract in the node's operator set.
    is_same: bool,
}

/// Name of the input at a position.
fn slot_name(slot: usize) -> String {
    format!("in{slot}")
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: kind.into(), ..AttributeProto::default() }
}

/// An attribute that is an integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

/// An attribute that is a number.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// An attribute that is a text.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.into(), ..attribute(name, AttributeType::String) }
}

/// An attribute of a node.
pub fn find<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Integers as they are written in attributes.
pub fn signed(extents: &[usize]) -> Vec<i64> {
    extents.iter().map(|&extent| extent as i64).collect()
}

impl<'a> Fragment<'a> {
    /// An empty fragment with the node's inputs, of which `known` are given.
    pub fn new(node: &'a NodeProto, opset: i64, known: &[Known]) -> Self {
        let mut given = known.iter().cloned();
        let slots: Vec<Option<Known>> =
            node.input.iter().map(|name| if name.is_empty() { None } else { given.next() }).collect();
        let mut graph = GraphProto { name: "fragment".into(), ..GraphProto::default() };
        for (slot, known) in slots.iter().enumerate() {
            let Some(known) = known else { continue };
            graph.input.push(port(&slot_name(slot), known));
        }
        Self { node, opset, slots, graph, names: 0, is_same: false }
    }

    /// An input, if it is given.
    pub fn known(&self, slot: usize) -> Option<&Known> {
        self.slots.get(slot)?.as_ref()
    }

    /// The shape of an input that must be given.
    pub fn shape(&self, slot: usize) -> Result<Vec<usize>, String> {
        self.known(slot)
            .map(|known| known.shape.clone())
            .ok_or_else(|| format!("its input {slot} is missing"))
    }

    /// The name of an input in the fragment; empty if it is left out.
    pub fn input(&self, slot: usize) -> String {
        if self.known(slot).is_some() { slot_name(slot) } else { String::new() }
    }

    /// Whether an input is given.
    pub fn has(&self, slot: usize) -> bool {
        self.known(slot).is_some()
    }

    /// The values of an input of integers; none if it is left out.
    pub fn integers(&self, slot: usize) -> Result<Option<Vec<i64>>, String> {
        self.constant::<i64>(slot)
    }

    /// The values of an input of numbers; none if it is left out.
    pub fn numbers(&self, slot: usize) -> Result<Option<Vec<f32>>, String> {
        self.constant::<f32>(slot)
    }

    fn constant<T: Datum + Copy>(&self, slot: usize) -> Result<Option<Vec<T>>, String> {
        let Some(known) = self.known(slot) else { return Ok(None) };
        let name = self.node.input.get(slot).map_or("", String::as_str);
        let value = known.value.as_ref().ok_or_else(|| format!("its input {name} must be constant"))?;
        let values = value
            .cast_to::<T>()
            .and_then(|cast| Ok(cast.to_plain_array_view::<T>()?.iter().copied().collect::<Vec<T>>()));
        values.map(Some).map_err(|problem| format!("its input {name} cannot be read: {problem:#}"))
    }

    /// An integer attribute, or its default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        find(self.node, name).map_or(default, |attribute| attribute.i)
    }

    /// A number attribute, or its default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        find(self.node, name).map_or(default, |attribute| attribute.f)
    }

    /// A list attribute.
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        find(self.node, name).map(|attribute| attribute.ints.clone())
    }

    /// A text attribute, or its default.
    pub fn text(&self, name: &str, default: &str) -> String {
        find(self.node, name).map_or_else(
            || default.to_owned(),
            |attribute| String::from_utf8_lossy(&attribute.s).into_owned(),
        )
    }

    /// An axis attribute, counted from the front.
    pub fn axis(&self, name: &str, default: i64, rank: usize) -> Result<usize, String> {
        let axis = self.int(name, default);
        let counted = if axis < 0 { axis + rank as i64 } else { axis };
        if (0..rank as i64).contains(&counted) {
            Ok(counted as usize)
        } else {
            Err(format!("{name} is {axis}, its input has {rank} axes"))
        }
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// Adds a node with one output.
    pub fn op(&mut self, op: &str, inputs: &[&str], attributes: &[AttributeProto]) -> String {
        let [output] = self.ops(op, inputs, attributes);
        output
    }

    /// Adds a node with `N` outputs.
    pub fn ops<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[AttributeProto],
    ) -> [String; N] {
        let outputs: [String; N] = std::array::from_fn(|_| self.fresh());
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: outputs.to_vec(),
            name: format!("{op}{}", self.names),
            op_type: op.into(),
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        });
        outputs
    }

    fn tensor(&mut self, dtype: DataType, shape: &[usize], raw_data: Vec<u8>) -> String {
        let name = self.fresh();
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims: signed(shape),
            data_type: dtype.into(),
            raw_data,
            ..TensorProto::default()
        });
        name
    }

    /// Adds a constant of numbers.
    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> String {
        self.tensor(DataType::Float, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Adds a number.
    pub fn number(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    /// Adds a constant of integers.
    pub fn indices(&mut self, shape: &[usize], values: &[i64]) -> String {
        self.tensor(DataType::Int64, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Adds a list of integers.
    pub fn list(&mut self, values: &[i64]) -> String {
        self.indices(&[values.len()], values)
    }

    /// Reshapes a value.
    pub fn reshape(&mut self, value: &str, shape: &[usize]) -> String {
        let shape = self.list(&signed(shape));
        self.op("Reshape", &[value, &shape], &[])
    }

    /// Permutes the axes of a value.
    pub fn transpose(&mut self, value: &str, order: &[usize]) -> String {
        self.op("Transpose", &[value], &[ints("perm", &signed(order))])
    }

    /// A part of a value along an axis.
    pub fn slice(&mut self, value: &str, axis: usize, start: i64, end: i64, step: i64) -> String {
        let parts = [start, end, axis as i64, step].map(|part| self.list(&[part]));
        let [start, end, axis, step] = &parts;
        self.op("Slice", &[value, start, end, axis, step], &[])
    }

    /// The node itself, read by tract in its own operator set.
    pub fn same(&mut self) -> TractResult<Vec<String>> {
        let outputs: Vec<String> =
            self.node.output.iter().filter(|name| !name.is_empty()).map(|_| self.fresh()).collect();
        let mut node = self.node.clone();
        for (slot, name) in node.input.iter_mut().enumerate() {
            *name = self.input(slot);
        }
        let mut fresh = outputs.iter();
        for name in node.output.iter_mut().filter(|name| !name.is_empty()) {
            *name = fresh.next().context("an output")?.clone();
        }
        self.graph.node.push(node);
        self.is_same = true;
        Ok(outputs)
    }

    /// The fragment as a typed model: its sources are the inputs that are given, in their order.
    pub fn typed(mut self, outputs: &[String]) -> TractResult<TypedModel> {
        let version = if self.is_same { self.opset } else { OPSET };
        // tract takes an output that is an input for one without a type.
        let is_input = |name: &String| self.graph.input.iter().any(|port| port.name == *name);
        let passed: Vec<bool> = outputs.iter().map(is_input).collect();
        let outputs: Vec<String> = outputs
            .iter()
            .zip(passed)
            .map(|(name, is_input)| if is_input { self.op("Identity", &[name], &[]) } else { name.clone() })
            .collect();
        for name in &outputs {
            self.graph.output.push(ValueInfoProto { name: name.clone(), ..ValueInfoProto::default() });
        }
        let opset = OperatorSetIdProto { version, ..OperatorSetIdProto::default() };
        let proto = ModelProto {
            ir_version: 8,
            graph: Some(self.graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        };
        let onnx = if self.is_same { super::plain().clone() } else { super::onnx() };
        let mut parsed = onnx.parse(&proto, None)?;
        if let Some(name) = parsed.unresolved_inputs.first() {
            bail!("a rule reads the value {name}, which does not exist");
        }
        // Constants of the graph are constants of the fragment, so that shapes which they determine are known.
        let sources = parsed.model.input_outlets()?.to_vec();
        for (outlet, known) in sources.into_iter().zip(self.slots.iter().flatten()) {
            if let Some(value) = &known.value {
                parsed
                    .model
                    .set_outlet_fact(outlet, InferenceFact::from(&TypedFact::try_from(Arc::clone(value))?))?;
            }
        }
        parsed.model.into_typed()
    }
}

fn port(name: &str, known: &Known) -> ValueInfoProto {
    let dtype = match known.dtype {
        dtype if dtype == f32::datum_type() => DataType::Float,
        dtype if dtype == f64::datum_type() => DataType::Double,
        dtype if dtype == bool::datum_type() => DataType::Bool,
        dtype if dtype == i32::datum_type() => DataType::Int32,
        dtype if dtype == u8::datum_type() => DataType::Uint8,
        dtype if dtype == i8::datum_type() => DataType::Int8,
        _ => DataType::Int64,
    };
    let dims = known.shape.iter().map(|&extent| Dimension {
        value: Some(dimension::Value::DimValue(extent as i64)),
        ..Dimension::default()
    });
    let shape = Some(TensorShapeProto { dim: dims.collect() });
    let tensor = type_proto::Tensor { elem_type: dtype.into(), shape };
    let r#type =
        Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.into(), r#type, ..ValueInfoProto::default() }
}
