//! Views: a value is a set of elements of a tensor, and shape operations change the view without moving data.

/// Index of a tensor in the module.
pub type TensorId = usize;

/// A dimension of an index mapping between two tensors: its extent, and the stride in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapDim {
    /// Extent.
    pub extent: usize,
    /// Elements of the first tensor from one index to the next.
    pub from: usize,
    /// Elements of the second.
    pub to: usize,
}

/// A value: a strided view of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The tensor.
    pub tensor: TensorId,
    /// Element at index zero.
    pub offset: usize,
    /// Shape.
    pub dims: Vec<usize>,
    /// Elements from one index to the next; 0 repeats an element.
    pub strides: Vec<usize>,
}

/// Strides of a dense row-major tensor.
pub fn dense_strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

impl View {
    /// A dense row-major view from the tensor's start.
    pub fn dense(tensor: TensorId, dims: &[usize]) -> Self {
        Self { tensor, offset: 0, dims: dims.to_vec(), strides: dense_strides(dims) }
    }

    /// Elements of the view, repeated ones counted.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// The view with a dimension of 1 inserted.
    pub fn with_axis(mut self, axis: usize) -> Self {
        self.dims.insert(axis, 1);
        self.strides.insert(axis, 0);
        self
    }

    /// The view without a dimension of 1.
    pub fn without_axis(mut self, axis: usize) -> Self {
        self.dims.remove(axis);
        self.strides.remove(axis);
        self
    }

    /// The view with a dimension moved to another place.
    pub fn with_axis_moved(mut self, from: usize, to: usize) -> Self {
        let (extent, stride) = (self.dims.remove(from), self.strides.remove(from));
        self.dims.insert(to, extent);
        self.strides.insert(to, stride);
        self
    }

    /// Every `step`-th of the indices from `start` on, `count` of them.
    pub fn sliced(mut self, axis: usize, start: usize, step: usize, count: usize) -> Self {
        self.offset += start * self.strides[axis];
        self.dims[axis] = count;
        self.strides[axis] *= step;
        self
    }

    /// The view broadcast to `shape`, of the same rank.
    pub fn broadcast(mut self, shape: &[usize]) -> Option<Self> {
        if self.dims.len() != shape.len() {
            return None;
        }
        for ((extent, stride), &wanted) in self.dims.iter_mut().zip(&mut self.strides).zip(shape) {
            if *extent != wanted {
                if *extent != 1 {
                    return None;
                }
                (*extent, *stride) = (wanted, 0);
            }
        }
        Some(self)
    }

    /// The same elements in the same order in another shape, if strides can express it.
    pub fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        let old: Vec<(usize, usize)> = self
            .dims
            .iter()
            .copied()
            .zip(self.strides.iter().copied())
            .filter(|&(extent, _)| extent != 1)
            .collect();
        let mut strides = vec![0; shape.len()];
        let (mut old_at, mut new_at) = (0, 0);
        while old_at < old.len() {
            // The smallest groups of old and new dimensions with equal extents.
            let (old_from, new_from) = (old_at, new_at);
            let mut old_extent = old[old_at].0;
            old_at += 1;
            let mut new_extent = 1;
            while new_extent != old_extent {
                if new_extent < old_extent {
                    new_extent *= shape.get(new_at)?;
                    new_at += 1;
                } else {
                    old_extent *= old.get(old_at)?.0;
                    old_at += 1;
                }
            }
            let group = &old[old_from..old_at];
            if group.windows(2).any(|pair| pair[0].1 != pair[1].0 * pair[1].1) {
                return None;
            }
            let mut stride = group[group.len() - 1].1;
            for axis in (new_from..new_at).rev() {
                strides[axis] = stride;
                stride *= shape[axis];
            }
        }
        (shape[new_at..].iter().all(|&extent| extent == 1)).then(|| Self {
            tensor: self.tensor,
            offset: self.offset,
            dims: shape.to_vec(),
            strides,
        })
    }
}

/// Drops dimensions of 1 and merges neighbours that are contiguous in all operands. `strides[operand][dim]`.
pub fn merge_dims(dims: &mut Vec<usize>, strides: &mut [Vec<usize>]) {
    let mut dim = 0;
    while dim < dims.len() {
        if dims[dim] == 1 {
            dims.remove(dim);
            for operand in strides.iter_mut() {
                operand.remove(dim);
            }
        } else {
            dim += 1;
        }
    }
    let mut dim = 1;
    while dim < dims.len() {
        if strides.iter().all(|operand| operand[dim - 1] == operand[dim] * dims[dim]) {
            dims[dim - 1] *= dims[dim];
            dims.remove(dim);
            for operand in strides.iter_mut() {
                operand[dim - 1] = operand[dim];
                operand.remove(dim);
            }
        } else {
            dim += 1;
        }
    }
}

/// Composes a writer with an index mapping. An operation writes a tensor through `writer` (extent and stride of each of
/// its dims, from `offset` on), and `map` gives the target of every element of that tensor. The result is the offset
/// and the strides with which the operation can write (or read) the target directly; none if strides cannot express it.
///
/// `map` covers all `elements` of the tensor exactly once, in any order of dims.
pub fn project(
    offset: usize,
    writer: &[(usize, usize)],
    map: &[MapDim],
    elements: usize,
) -> Option<(usize, Vec<usize>)> {
    let mut dims: Vec<MapDim> = map.iter().copied().filter(|dim| dim.extent != 1).collect();
    dims.sort_by_key(|dim| dim.from);
    let mut covered = 1;
    for dim in &dims {
        if dim.from != covered {
            return None;
        }
        covered *= dim.extent;
    }
    if covered != elements {
        return None;
    }
    project_inside(offset, writer, &dims).or_else(|| project_across(offset, writer, dims))
}

/// As [`project`], if each of the writer's dims stays inside one dim of `map`.
fn project_inside(offset: usize, writer: &[(usize, usize)], map: &[MapDim]) -> Option<(usize, Vec<usize>)> {
    // The largest index in each dim of the map; it must not carry over into the next.
    let mut largest: Vec<usize> = map.iter().map(|dim| offset / dim.from % dim.extent).collect();
    let to = map.iter().zip(&largest).map(|(dim, digit)| digit * dim.to).sum();
    let mut strides = Vec::with_capacity(writer.len());
    for &(extent, stride) in writer {
        if extent == 1 || stride == 0 {
            strides.push(0);
            continue;
        }
        let at = map.iter().position(|dim| dim.from <= stride && stride < dim.from * dim.extent)?;
        let steps = stride / map[at].from;
        if !stride.is_multiple_of(map[at].from) {
            return None;
        }
        largest[at] += steps * (extent - 1);
        strides.push(map[at].to * steps);
    }
    map.iter().zip(largest).all(|(dim, largest)| largest < dim.extent).then_some((to, strides))
}

/// As [`project`], if the writer's dims may span several dims of `map`.
fn project_across(
    offset: usize,
    writer: &[(usize, usize)],
    mut dims: Vec<MapDim>,
) -> Option<(usize, Vec<usize>)> {
    // Cut the dims of `map` at the bounds of the writer's dims.
    for &(extent, stride) in writer.iter().filter(|&&(extent, _)| extent != 1) {
        for cut in [stride, stride * extent] {
            let inside = dims.iter().position(|dim| dim.from < cut && cut < dim.from * dim.extent);
            if let Some(at) = inside {
                let dim = dims[at];
                let inner = cut / dim.from;
                if !cut.is_multiple_of(dim.from) || !dim.extent.is_multiple_of(inner) {
                    return None;
                }
                dims[at].extent = inner;
                let outer = MapDim { extent: dim.extent / inner, from: cut, to: dim.to * inner };
                dims.insert(at + 1, outer);
            }
        }
    }
    let mut walked = vec![false; dims.len()];
    let mut strides = Vec::with_capacity(writer.len());
    for &(extent, stride) in writer {
        if extent == 1 {
            strides.push(0);
            continue;
        }
        let first = dims.iter().position(|dim| dim.from == stride)?;
        let (mut reach, mut at) = (1, first);
        while reach < extent {
            let dim = dims.get(at)?;
            if dim.to != dims[first].to * reach || std::mem::replace(&mut walked[at], true) {
                return None;
            }
            reach *= dim.extent;
            at += 1;
        }
        if reach != extent {
            return None;
        }
        strides.push(dims[first].to);
    }
    // The offset must be 0 in the dims that the writer walks; otherwise indices would carry over.
    let mut to = 0;
    for (dim, walked) in dims.iter().zip(walked) {
        let digit = offset / dim.from % dim.extent;
        if digit != 0 && walked {
            return None;
        }
        to += digit * dim.to;
    }
    Some((to, strides))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn positions(view: &View) -> Vec<usize> {
        let mut at = vec![view.offset];
        for (&extent, &stride) in view.dims.iter().zip(&view.strides) {
            at = at.iter().flat_map(|&from| (0..extent).map(move |i| from + i * stride)).collect();
        }
        at
    }

    #[test]
    fn a_reshape_keeps_the_order_of_elements() {
        let view = View::dense(0, &[4, 6, 5]).sliced(1, 2, 2, 2).with_axis_moved(2, 0);
        let split = view.reshaped(&[5, 2, 2, 1, 2]).unwrap();
        assert_eq!(positions(&split), positions(&view));
        assert_eq!(view.reshaped(&[10, 4]), None, "rows of different strides cannot become one");
    }

    proptest! {
        #[test]
        fn successful_reshapes_are_right(
            dims in prop::collection::vec(1usize..5, 1..5),
            from in 0usize..4, to in 0usize..4,
            split in 0usize..4,
        ) {
            let rank = dims.len();
            let view = View::dense(0, &dims).with_axis_moved(from % rank, to % rank);
            let mut shape = view.dims.clone();
            if split + 1 < rank {
                shape[split] *= shape[split + 1];
                shape.remove(split + 1);
            }
            if let Some(reshaped) = view.reshaped(&shape) {
                prop_assert_eq!(positions(&reshaped), positions(&view));
            }
        }

        /// Writing through the projection gives the same places as writing first and copying afterwards.
        #[test]
        fn a_projection_is_a_write_and_a_copy(
            dims in prop::collection::vec(1usize..5, 1..5),
            order in 0usize..24,
            write_split in 0usize..4,
            padding in 0usize..3,
        ) {
            let elements: usize = dims.iter().product();
            // The mapping: from the dims of a dense tensor to a permuted, padded target.
            let strides = dense_strides(&dims);
            let mut places: Vec<usize> = (0..dims.len()).collect();
            let mut code = order;
            for at in (1..places.len()).rev() {
                places.swap(at, code % (at + 1));
                code /= at + 1;
            }
            let mut to = vec![0; dims.len()];
            let mut next = 1;
            for &axis in &places {
                to[axis] = next;
                next *= dims[axis] + padding;
            }
            let map: Vec<MapDim> =
                (0..dims.len()).map(|i| MapDim { extent: dims[i], from: strides[i], to: to[i] }).collect();
            // The writer: the same tensor with two dims merged.
            let mut writer: Vec<(usize, usize)> = dims.iter().copied().zip(strides.iter().copied()).collect();
            if write_split + 1 < writer.len() {
                let (inner, stride) = writer.remove(write_split + 1);
                writer[write_split] = (writer[write_split].0 * inner, stride);
            }
            if let Some((offset, projected)) = project(0, &writer, &map, elements) {
                let shape: Vec<usize> = writer.iter().map(|w| w.0).collect();
                let from = View { tensor: 0, offset: 0, dims: shape.clone(), strides: writer.iter().map(|w| w.1).collect() };
                let direct = View { tensor: 0, offset, dims: shape, strides: projected };
                let mut place = vec![0; elements];
                let source = View { tensor: 0, offset: 0, dims: dims.clone(), strides };
                let target = View { tensor: 0, offset: 0, dims, strides: to };
                for (from, to) in positions(&source).into_iter().zip(positions(&target)) {
                    place[from] = to;
                }
                let expected: Vec<usize> = positions(&from).into_iter().map(|at| place[at]).collect();
                prop_assert_eq!(positions(&direct), expected);
            } else {
                prop_assert!(write_split + 1 < map.len(), "the plain writer can always be projected");
            }
        }
    }
}
