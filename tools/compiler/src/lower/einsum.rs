//! Products over any axes, as one matrix product.
//!
//! Each letter of the expression is an axis with a stride in each operand and in the result. The operands that have it
//! give its role: a batch axis, a row (`m`, only in the first operand), a column (`n`, only in the second) or summed
//! over (`k`). Axes of one role are merged if strides allow; the remaining ones become batch axes, with stride 0 in an
//! operand that does not have them. A constant operand becomes the packed `b`; if it is the first one, rows and columns
//! swap roles.

use super::Lowering;
use crate::error::CompileError;
use crate::graph::{Constant, Op, Operand};
use crate::view::View;
use sonotrace::format::DIMS;
use sonotrace::format::function::Unary;
use sonotrace::format::op::{Arithmetic, MatMul};
use sonotrace::format::panels::PANEL;
use tract_core::internal::*;
use tract_core::ops::einsum::EinSum;

/// An axis: its extent, and its stride in `a`, `b` and the result.
#[derive(Debug, Clone, Copy)]
struct ProductAxis {
    extent: usize,
    strides: [usize; 3],
}

const A: usize = 0;
const B: usize = 1;
const OUT: usize = 2;
/// Number of batch dims; `m`, `n` and `k` follow them.
const BATCH_DIMS: usize = 5;

/// Axes by their role.
#[derive(Debug, Default)]
struct Roles {
    batch: Vec<ProductAxis>,
    m: Vec<ProductAxis>,
    n: Vec<ProductAxis>,
    k: Vec<ProductAxis>,
}

/// Sorts axes by descending stride in one operand and merges those that are contiguous in every operand.
fn merge(mut axes: Vec<ProductAxis>, by: usize, operands: &[usize]) -> Vec<ProductAxis> {
    axes.sort_by_key(|axis| std::cmp::Reverse(axis.strides[by]));
    let mut merged: Vec<ProductAxis> = Vec::new();
    for axis in axes {
        match merged.last_mut() {
            Some(outer) if operands.iter().all(|&at| outer.strides[at] == axis.strides[at] * axis.extent) => {
                *outer = ProductAxis { extent: outer.extent * axis.extent, strides: axis.strides };
            }
            _ => merged.push(axis),
        }
    }
    merged
}

impl Lowering<'_> {
    pub(super) fn einsum(&mut self, node: &TypedNode, op: &EinSum) -> Result<View, CompileError> {
        if node.inputs.len() != 2 || op.q_params.is_some() || op.operating_dt != f32::datum_type() {
            return Err(self.unsupported(node, "only products of two f32 operands are supported"));
        }
        let constants = [self.constant_input(node, 0), self.constant_input(node, 1)];
        // Packed weights come second. (Two constants would have been folded.)
        let swap = constants[0].is_some();
        let (first, second) = if swap { (1, 0) } else { (0, 1) };
        let shape = self.output_shape(node)?;
        let output = self.fresh(node, &shape);
        let a = self.input(node, first)?;
        let shapes = [self.shape(node, node.inputs[first])?, self.shape(node, node.inputs[second])?];
        let weights = constants[second].clone();
        // A constant has dense strides until it is known whether it is packed.
        let b = match &weights {
            Some(_) => View::dense(0, &shapes[1]),
            None => self.input(node, second)?,
        };
        let roles = self.roles(node, op, [first, second], [&a, &b, &output])?;
        match weights {
            Some(weights) if roles.batch.iter().all(|axis| axis.strides[B] == 0) => {
                let values = self.float_values(node, &weights)?;
                self.packed_product(node, roles, a, &values, &output)
            }
            Some(weights) => {
                let tensor = Constant::Floats(self.float_values(node, &weights)?);
                let b = View::dense(self.module.constant(self.program, &node.name, tensor), &shapes[1]);
                self.strided_product(node, roles, a, b, &output)
            }
            None => self.strided_product(node, roles, a, b, &output),
        }
    }

    /// Sorts the axes by role and drops those of extent 1.
    fn roles(
        &self,
        node: &TypedNode,
        op: &EinSum,
        order: [usize; 2],
        views: [&View; 3],
    ) -> Result<Roles, CompileError> {
        let mut roles = Roles::default();
        for axis in op.axes.iter_all_axes() {
            let mut product = ProductAxis { extent: 1, strides: [0; 3] };
            let places = [&axis.inputs[order[0]], &axis.inputs[order[1]], &axis.outputs[0]];
            for (operand, places) in places.into_iter().enumerate() {
                for &place in places {
                    let extent = views[operand].dims[place];
                    if extent == 1 {
                        continue;
                    }
                    if product.extent != 1 && product.extent != extent {
                        return Err(self.unsupported(node, format!("axis {} has two lengths", axis.repr)));
                    }
                    product.extent = extent;
                    product.strides[operand] += views[operand].strides[place];
                }
            }
            if product.extent == 1 {
                continue;
            }
            let in_operand = |operand: usize, places: &TVec<usize>| {
                places.iter().any(|&place| views[operand].dims[place] != 1)
            };
            let present = [in_operand(A, places[A]), in_operand(B, places[B]), in_operand(OUT, places[OUT])];
            match present {
                [true, true, true] => roles.batch.push(product),
                [true, false, true] => roles.m.push(product),
                [false, true, true] => roles.n.push(product),
                [_, _, false] => roles.k.push(product),
                [false, false, true] => {
                    return Err(self.unsupported(node, format!("axis {} is in no operand", axis.repr)));
                }
            }
        }
        Ok(roles)
    }

    /// A product with constant weights: `n` and `k` of the weights are packed in the order of the other operand and the
    /// result.
    fn packed_product(
        &mut self,
        node: &TypedNode,
        mut roles: Roles,
        mut a: View,
        values: &[f32],
        output: &View,
    ) -> Result<View, CompileError> {
        let mut k = merge(roles.k.clone(), A, &[A]);
        if k.len() > 1 {
            a = self.dense_for(node, a, A, &mut roles)?;
            k = merge(roles.k.clone(), A, &[A]);
        }
        self.one_sum(node, &k)?;
        let n = merge(roles.n.clone(), OUT, &[OUT]);
        if n.len() > 1 {
            // The columns are not contiguous in the result: write it with columns innermost, return a permuted view.
            let (output, written) = self.with_columns_innermost(output, &mut roles);
            self.packed_product(node, roles, a, values, &written)?;
            return Ok(output);
        }
        let sorted = |mut axes: Vec<ProductAxis>, by: usize| {
            axes.sort_by_key(|axis| std::cmp::Reverse(axis.strides[by]));
            axes
        };
        let places = |axes: &[ProductAxis]| {
            axes.iter().fold(vec![0], |at, axis| {
                at.iter()
                    .flat_map(|from| (0..axis.extent).map(move |i| from + i * axis.strides[B]))
                    .collect::<Vec<usize>>()
            })
        };
        let (columns, depth) = (places(&sorted(roles.n.clone(), OUT)), places(&sorted(roles.k.clone(), A)));
        let panels = pack_panels(columns.len(), depth.len(), |column, k| values[columns[column] + depth[k]]);
        let tensor = self.module.constant(
            self.program,
            &node.name,
            Constant::Panels { values: panels, depth: depth.len() },
        );
        let b = View { tensor, offset: 0, dims: vec![], strides: vec![] };
        roles.m.append(&mut roles.batch);
        let m = merge(roles.m, OUT, &[A, OUT]);
        let one = |axes: Vec<ProductAxis>| {
            axes.first().copied().unwrap_or(ProductAxis { extent: 1, strides: [0; 3] })
        };
        let clear = |mut axis: ProductAxis| {
            axis.strides[B] = 0;
            axis
        };
        self.product(
            node,
            [&a, &b, output],
            m.into_iter().map(clear).collect(),
            clear(one(n)),
            clear(one(k)),
        )?;
        Ok(output.clone())
    }

    /// A product of two computed operands, or with weights that have a batch axis.
    fn strided_product(
        &mut self,
        node: &TypedNode,
        mut roles: Roles,
        mut a: View,
        mut b: View,
        output: &View,
    ) -> Result<View, CompileError> {
        let mut k = merge(roles.k.clone(), A, &[A, B]);
        if k.len() > 1 {
            a = self.dense_for(node, a, A, &mut roles)?;
            b = self.dense_for(node, b, B, &mut roles)?;
            k = merge(roles.k.clone(), A, &[A, B]);
        }
        self.one_sum(node, &k)?;
        let k = k.first().copied().unwrap_or(ProductAxis { extent: 1, strides: [0; 3] });
        let mut n = merge(roles.n, OUT, &[B, OUT]);
        let column = n.pop().unwrap_or(ProductAxis { extent: 1, strides: [0; 3] });
        let mut rows = merge(roles.batch, OUT, &[A, B, OUT]);
        rows.extend(n);
        rows.extend(merge(roles.m, OUT, &[A, OUT]));
        self.product(node, [&a, &b, output], rows, column, k)?;
        Ok(output.clone())
    }

    fn one_sum(&self, node: &TypedNode, k: &[ProductAxis]) -> Result<(), CompileError> {
        if k.len() > 1 {
            return Err(self.unsupported(node, "it sums over several axes that are not in both operands"));
        }
        Ok(())
    }

    /// Adds the operation. One of `rows` becomes `m`, the others are batches.
    fn product(
        &mut self,
        node: &TypedNode,
        views: [&View; 3],
        mut rows: Vec<ProductAxis>,
        n: ProductAxis,
        k: ProductAxis,
    ) -> Result<(), CompileError> {
        // `m` is the longest axis that `b` does not have.
        let longest =
            (0..rows.len()).filter(|&at| rows[at].strides[B] == 0).max_by_key(|&at| rows[at].extent);
        let m = match longest {
            Some(at) => rows.remove(at),
            None => ProductAxis { extent: 1, strides: [0; 3] },
        };
        if rows.len() > BATCH_DIMS {
            return Err(self.unsupported(node, "it has more than 5 batch axes that cannot be merged"));
        }
        let mut axes = [ProductAxis { extent: 1, strides: [0; 3] }; DIMS];
        let first = BATCH_DIMS - rows.len();
        axes[first..BATCH_DIMS].copy_from_slice(&rows);
        (axes[5], axes[6], axes[7]) = (m, n, k);
        let mut op = Op::new(MatMul { activation: Unary::COPY, arithmetic: Arithmetic::Float }, &node.name);
        op.dims = axes.map(|axis| axis.extent);
        for (slot, (operand, view)) in
            [(OUT, views[OUT]), (A, views[A]), (B, views[B])].into_iter().enumerate()
        {
            let strides = axes.map(|axis| axis.strides[operand]);
            op.operands[slot] = Some(Operand { tensor: view.tensor, offset: view.offset, strides });
        }
        self.ops.push(op);
        Ok(())
    }

    /// A dense copy of an operand with its summed axes adjacent, in the order of the first operand's.
    fn dense_for(
        &mut self,
        node: &TypedNode,
        view: View,
        operand: usize,
        roles: &mut Roles,
    ) -> Result<View, CompileError> {
        // The order of `k` must be the same in both copies: by the strides that `a` has now.
        roles.k.sort_by_key(|axis| std::cmp::Reverse((axis.strides[A], axis.strides[B])));
        let Roles { batch, m, n, k } = roles;
        let mut axes: Vec<&mut ProductAxis> =
            batch.iter_mut().chain(m).chain(n).chain(k).filter(|axis| axis.strides[operand] != 0).collect();
        let source = View {
            tensor: view.tensor,
            offset: view.offset,
            dims: axes.iter().map(|axis| axis.extent).collect(),
            strides: axes.iter().map(|axis| axis.strides[operand]).collect(),
        };
        let copy = self.copied(node, &source)?;
        for (axis, &stride) in axes.iter_mut().zip(&copy.strides) {
            axis.strides[operand] = stride;
        }
        Ok(copy)
    }

    /// The result with its columns innermost in memory: the view for the graph, and the view that the product writes.
    fn with_columns_innermost(&self, output: &View, roles: &mut Roles) -> (View, View) {
        let mut order: Vec<usize> = (0..output.dims.len()).collect();
        let is_column = |axis: usize| {
            roles.n.iter().any(|n| n.strides[OUT] == output.strides[axis] && output.dims[axis] != 1)
        };
        order.sort_by_key(|&axis| is_column(axis));
        let mut seen = output.clone();
        let mut stride = 1;
        for &axis in order.iter().rev() {
            seen.strides[axis] = stride;
            stride *= output.dims[axis];
        }
        let Roles { batch, m, n, k: _ } = roles;
        for axis in batch.iter_mut().chain(m).chain(n) {
            let place = (0..output.dims.len())
                .find(|&at| output.strides[at] == axis.strides[OUT] && output.dims[at] != 1);
            if let Some(place) = place {
                axis.strides[OUT] = seen.strides[place];
            }
        }
        (seen.clone(), seen)
    }
}

/// Packs weights: `[ceil(n / 16)][k][16]`, the last panel padded with zeros.
pub(super) fn pack_panels(n: usize, k: usize, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut panels = vec![0.0; n.div_ceil(PANEL) * k * PANEL];
    for (panel, values) in panels.chunks_exact_mut(k * PANEL).enumerate() {
        for (k, values) in values.chunks_exact_mut(PANEL).enumerate() {
            for (lane, value) in values.iter_mut().enumerate().take(n.saturating_sub(panel * PANEL)) {
                *value = at(panel * PANEL + lane, k);
            }
        }
    }
    panels
}
