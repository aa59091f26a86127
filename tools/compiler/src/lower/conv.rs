//! Convolutions and pooling.

use super::einsum::pack_panels;
use super::{Lowering, TOO_MANY_AXES};
use crate::error::CompileError;
use crate::graph::{Constant, Op, Operand};
use crate::view::View;
use sonotrace::format::DIMS;
use sonotrace::format::function::Unary;
use sonotrace::format::op::{self, Arithmetic, PoolFunction, Window};
use tract_core::internal::*;
use tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_core::ops::nn::DataFormat;

/// An image with the axes of a convolution: batch, row, column, channel. One-dimensional data has one row.
#[derive(Debug, Clone)]
pub(super) struct Image {
    view: View,
}

/// Axes of an [`Image`].
pub(super) const BATCH: usize = 0;
pub(super) const ROW: usize = 1;
pub(super) const COLUMN: usize = 2;
pub(super) const CHANNEL: usize = 3;

impl Image {
    /// An image from a view in a graph's data format; none for more than two spatial axes.
    pub fn new(view: &View, format: DataFormat) -> Option<Self> {
        let mut view = view.clone();
        if !format.has_n() {
            view = view.with_axis(0);
        }
        if !format.c_is_last() {
            let last = view.dims.len() - 1;
            view = view.with_axis_moved(1, last);
        }
        if view.dims.len() == 3 {
            view = view.with_axis(ROW);
        }
        (view.dims.len() == 4).then_some(Self { view })
    }

    /// Length of an axis.
    pub fn extent(&self, axis: usize) -> usize {
        self.view.dims[axis]
    }

    /// Some of the rows, columns or channels.
    pub fn sliced(&self, axis: usize, start: usize, step: usize, count: usize) -> Self {
        Self { view: self.view.clone().sliced(axis, start, step, count) }
    }

    /// The view, with the axes of an image.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// An operand with the axes at the given dims of the operation.
    pub fn operand(&self, places: [usize; 4]) -> Operand {
        let mut strides = [0; DIMS];
        for (axis, place) in places.into_iter().enumerate() {
            if self.view.dims[axis] != 1 {
                strides[place] = self.view.strides[axis];
            }
        }
        Operand { tensor: self.view.tensor, offset: self.view.offset, strides }
    }
}

/// Kernel geometry along one axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Elements of the kernel.
    pub kernel: usize,
    /// Input elements from one output to the next.
    pub stride: usize,
    /// Input elements from one kernel element to the next.
    pub dilation: usize,
    /// Zeros before the first element; negative crops.
    pub pad: i32,
}

/// Weights by group, output channel, input channel, row and column.
#[derive(Debug)]
pub(super) struct Kernel {
    values: Vec<f32>,
    /// Output and input channels of a group, rows, columns.
    pub shape: [usize; 4],
}

impl Kernel {
    /// A weight.
    pub fn at(&self, group: usize, output: usize, input: usize, y: usize, x: usize) -> f32 {
        let [outputs, inputs, rows, columns] = self.shape;
        self.values[(((group * outputs + output) * inputs + input) * rows + y) * columns + x]
    }
}

/// Groups of channels of a convolution, and the bias of all output channels.
#[derive(Debug)]
pub(super) struct Groups {
    /// Number of groups.
    pub count: usize,
    /// One addend for each output channel.
    pub bias: Option<Vec<f32>>,
}

impl Lowering<'_> {
    /// The image of a view, or an error with the node's name.
    pub(super) fn image(
        &self,
        node: &TypedNode,
        view: &View,
        format: DataFormat,
    ) -> Result<Image, CompileError> {
        Image::new(view, format).ok_or_else(|| self.unsupported(node, TOO_MANY_AXES))
    }

    /// Constant weights of `groups` groups, in any of the graph's kernel formats.
    pub(super) fn kernel(
        &self,
        node: &TypedNode,
        format: KernelFormat,
        groups: usize,
    ) -> Result<Kernel, CompileError> {
        let Some(weights) = self.constant_input(node, 1) else {
            return Err(self.unsupported(node, "only constant weights are supported"));
        };
        let full = weights.shape().to_vec();
        let problem = |problem: TractError| {
            self.unsupported(node, format!("its weights cannot be arranged: {problem:#}"))
        };
        let mut arranged = weights.into_tensor();
        for op in format.kernel_as_group_o_i_h_w_ops(&full, groups) {
            op.change_tensor(&mut arranged, false).map_err(problem)?;
        }
        let mut shape = arranged.shape().to_vec();
        if shape.len() == 4 {
            shape.insert(3, 1);
        }
        let &[_, outputs, inputs, rows, columns] = shape.as_slice() else {
            return Err(self.unsupported(node, TOO_MANY_AXES));
        };
        let values = self.float_values(node, &arranged)?;
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(CompileError::Weight {
                program: self.name.clone(),
                node: node.name.clone(),
                problem: format!("a weight is {value}"),
            });
        }
        Ok(Kernel { values, shape: [outputs, inputs, rows, columns] })
    }

    /// The bias of each of `channels`, unless all are zero.
    pub(super) fn bias(&self, node: &TypedNode, channels: usize) -> Result<Option<Vec<f32>>, CompileError> {
        let Some(bias) = self.constant_input(node, 2) else {
            return Err(self.unsupported(node, "only a constant bias is supported"));
        };
        let mut values = self.float_values(node, &bias)?;
        if values.len() == 1 {
            values = vec![values[0]; channels];
        }
        if values.len() != channels {
            return Err(
                self.unsupported(node, format!("it has {} biases for {channels} channels", values.len()))
            );
        }
        Ok(values.iter().any(|&value| value != 0.0).then_some(values))
    }

    /// Kernel geometry along rows and columns, for an input.
    fn reaches(&self, node: &TypedNode, spec: &PoolSpec, input: &Image) -> Result<[Reach; 2], CompileError> {
        let rank = spec.rank();
        if rank == 0 || rank > 2 {
            return Err(self.unsupported(node, TOO_MANY_AXES));
        }
        let extents = &[input.extent(ROW), input.extent(COLUMN)][2 - rank..];
        let padded = spec.computed_padding(extents);
        let mut reaches = [Reach { kernel: 1, stride: 1, dilation: 1, pad: 0 }; 2];
        let overhangs = matches!(spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true));
        for (axis, padded) in padded.iter().enumerate() {
            let reach = (spec.kernel_shape[axis].saturating_sub(1)).saturating_mul(spec.dilation(axis)) + 1;
            let length = extents[axis] + padded.pad_before + padded.pad_after;
            if reach > length && !overhangs {
                let reason = format!("its kernel reaches over {reach} elements of an axis of {length}");
                return Err(self.unsupported(node, reason));
            }
            reaches[axis + 2 - rank] = Reach {
                kernel: spec.kernel_shape[axis],
                stride: spec.stride(axis),
                dilation: spec.dilation(axis),
                pad: padded.pad_before as i32,
            };
        }
        Ok(reaches)
    }

    pub(super) fn conv(&mut self, node: &TypedNode, op: &Conv) -> Result<View, CompileError> {
        if op.q_params.is_some() {
            return Err(self.unsupported(node, "quantized weights are not supported"));
        }
        let format = op.pool_spec.data_format;
        let view = self.input(node, 0)?;
        let input = self.image(node, &view, format)?;
        let result = self.fresh(node, &self.output_shape(node)?);
        let output = self.image(node, &result, format)?;
        let kernel = self.kernel(node, op.kernel_fmt, op.group)?;
        let bias = self.bias(node, output.extent(CHANNEL))?;
        let reaches = self.reaches(node, &op.pool_spec, &input)?;
        if op.group > 1 && kernel.shape[1] == 1 {
            self.depthwise(node, &input, &output, &kernel, bias, op.group, reaches);
            return Ok(result);
        }
        let groups = Groups { count: op.group, bias };
        self.dense_conv(node, &input, &output, &groups, |g, o, i, y, x| kernel.at(g, o, i, y, x), reaches);
        Ok(result)
    }

    /// One dense convolution of groups of channels; weights by group, output channel, input channel, row, column.
    pub(super) fn dense_conv(
        &mut self,
        node: &TypedNode,
        input: &Image,
        output: &Image,
        groups: &Groups,
        weights: impl Fn(usize, usize, usize, usize, usize) -> f32,
        [rows, columns]: [Reach; 2],
    ) {
        let [inputs, outputs] = [input, output].map(|image| image.extent(CHANNEL) / groups.count);
        let taps = rows.kernel * columns.kernel;
        let mut op = Op::new(
            op::Conv {
                window: window(input, [rows, columns]),
                activation: Unary::COPY,
                arithmetic: Arithmetic::Float,
            },
            &node.name,
        );
        op.dims = [
            output.extent(BATCH),
            groups.count,
            1,
            1,
            output.extent(ROW),
            output.extent(COLUMN),
            outputs,
            inputs,
        ];
        // Each of several groups has whole panels.
        let columns_of_group = op::Conv::group_columns(&op.extents()) as usize;
        let panels = pack_panels(groups.count * columns_of_group, inputs * taps, |column, k| {
            let (group, o, tap) = (column / columns_of_group, column % columns_of_group, k / inputs);
            match o < outputs {
                true => weights(group, o, k % inputs, tap / columns.kernel, tap % columns.kernel),
                false => 0.0,
            }
        });
        // Divides the channels, which are at one dim, into groups and channels of a group.
        let by_group = |mut operand: Operand, channel: usize, channels: usize| {
            let step = operand.strides[channel];
            operand.strides[1] = if groups.count == 1 { 0 } else { step * channels };
            operand.strides[channel] = if channels == 1 { 0 } else { step };
            operand
        };
        op.operands[0] = Some(by_group(output.operand([0, 4, 5, 6]), 6, outputs));
        op.operands[1] = Some(by_group(input.operand([0, 4, 5, 7]), 7, inputs));
        let tensor = self.module.constant(
            self.program,
            &node.name,
            Constant::Panels { values: panels, depth: inputs * taps },
        );
        op.operands[2] = Some(Operand { tensor, offset: 0, strides: [0; DIMS] });
        op.operands[3] = groups.bias.clone().map(|bias| {
            let view = self.float_constant(node, &[groups.count * outputs], bias);
            let mut strides = [0; DIMS];
            strides[6] = view.strides[0];
            by_group(Operand { tensor: view.tensor, offset: 0, strides }, 6, outputs)
        });
        self.ops.push(op);
    }

    #[allow(clippy::too_many_arguments)]
    fn depthwise(
        &mut self,
        node: &TypedNode,
        input: &Image,
        output: &Image,
        kernel: &Kernel,
        bias: Option<Vec<f32>>,
        groups: usize,
        [rows, columns]: [Reach; 2],
    ) {
        let multiplier = kernel.shape[0];
        let mut op = Op::new(
            op::DepthwiseConv { window: window(input, [rows, columns]), activation: Unary::COPY },
            &node.name,
        );
        op.dims =
            [output.extent(BATCH), 1, 1, 1, output.extent(ROW), output.extent(COLUMN), groups, multiplier];
        // The channel axis, split: groups outside, their outputs inside.
        let mut out = output.operand([0, 4, 5, 6]);
        out.strides[7] = out.strides[6];
        out.strides[6] *= multiplier;
        op.operands[0] = Some(out);
        op.operands[1] = Some(input.operand([0, 4, 5, 6]));
        let weights = View::dense(0, &[groups, multiplier, rows.kernel, columns.kernel]);
        let tensor = self.module.constant(self.program, &node.name, Constant::Floats(kernel.values.clone()));
        let mut strides = [0; DIMS];
        for (axis, place) in [6, 7, 4, 5].into_iter().enumerate() {
            strides[place] = if weights.dims[axis] == 1 { 0 } else { weights.strides[axis] };
        }
        op.operands[2] = Some(Operand { tensor, offset: 0, strides });
        op.operands[3] = bias.map(|bias| {
            let view = self.float_constant(node, &[groups, multiplier], bias);
            let mut strides = [0; DIMS];
            (strides[6], strides[7]) = (view.strides[0], view.strides[1]);
            Operand { tensor: view.tensor, offset: 0, strides }
        });
        self.ops.push(op);
    }

    pub(super) fn max_pool(&mut self, node: &TypedNode, op: &MaxPool) -> Result<View, CompileError> {
        self.pool(node, &op.pool_spec, PoolFunction::Max)
    }

    pub(super) fn sum_pool(&mut self, node: &TypedNode, op: &SumPool) -> Result<View, CompileError> {
        let function = match (op.normalize, op.count_include_pad) {
            (false, _) => PoolFunction::Sum,
            (true, false) => PoolFunction::MeanInside,
            (true, true) => PoolFunction::MeanOfKernel,
        };
        let overhangs = matches!(op.pool_spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true));
        if op.normalize && op.count_include_pad && overhangs {
            return Err(self.unsupported(node, "ceil_mode and count_include_pad are not supported together"));
        }
        self.pool(node, &op.pool_spec, function)
    }

    fn pool(
        &mut self,
        node: &TypedNode,
        spec: &PoolSpec,
        function: PoolFunction,
    ) -> Result<View, CompileError> {
        let view = self.input(node, 0)?;
        let input = self.image(node, &view, spec.data_format)?;
        let result = self.fresh(node, &self.output_shape(node)?);
        let output = self.image(node, &result, spec.data_format)?;
        let [rows, columns] = self.reaches(node, spec, &input)?;
        let pool = op::Pool { function, window: window(&input, [rows, columns]) };
        let mut op = Op::new(pool, &node.name);
        op.dims = [
            output.extent(BATCH),
            1,
            1,
            1,
            output.extent(ROW),
            output.extent(COLUMN),
            output.extent(CHANNEL),
            1,
        ];
        op.operands[0] = Some(output.operand([0, 4, 5, 6]));
        op.operands[1] = Some(input.operand([0, 4, 5, 6]));
        self.ops.push(op);
        Ok(result)
    }
}

/// The window over an image, rows first.
fn window(input: &Image, reaches: [Reach; 2]) -> Window {
    Window {
        kernel: reaches.map(|axis| axis.kernel as u32),
        stride: reaches.map(|axis| axis.stride as u32),
        dilation: reaches.map(|axis| axis.dilation as u32),
        pad: reaches.map(|axis| axis.pad),
        input: [ROW, COLUMN].map(|axis| input.extent(axis) as u32),
    }
}
