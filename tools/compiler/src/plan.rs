//! Places for scratch tensors: those that are live at the same time never share a byte.
//!
//! Greedy by size: tensors are placed from the largest to the smallest, each into the smallest sufficient gap between
//! the placed tensors whose lifetimes overlap its own (Pisarchyk & Lee, "Efficient memory management for deep neural
//! net inference", 2020). While the result is above the lower bound (the most bytes that are live during one
//! operation), the tensor with the highest end moves to the front of the order and all tensors are placed again, up to
//! a fixed number of times. The runtime verifies every plan with its own code.

use sonotrace::format::TENSOR_ALIGN;

/// Maximum number of times that all tensors are placed again.
const RETRIES: usize = 200;

/// A tensor to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Size.
    pub bytes: u64,
    /// First operation that it is live in.
    pub first_op: u32,
    /// Last one.
    pub last_op: u32,
}

/// Places of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Offset of each tensor; a multiple of [`TENSOR_ALIGN`].
    pub offsets: Vec<u64>,
    /// End of the last tensor, in bytes.
    pub bytes: u64,
}

fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(TENSOR_ALIGN)
}

/// Places all tensors. The same input gives the same plan.
pub fn place(tensors: &[Lifetime]) -> Plan {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(tensors[at].bytes), tensors[at].first_op, at));
    let bound = lower_bound(tensors);
    let mut best = place_in_order(tensors, &order);
    let mut last = best.clone();
    for _ in 0..RETRIES {
        if best.bytes <= bound {
            break;
        }
        // The tensor with the highest end comes first next time.
        let end = |at: usize| last.offsets[at] + aligned(tensors[at].bytes);
        let Some(place) = (1..order.len()).max_by_key(|&place| end(order[place])) else { break };
        order[..=place].rotate_right(1);
        last = place_in_order(tensors, &order);
        if last.bytes < best.bytes {
            best = last.clone();
        }
    }
    best
}

/// Places tensors one after the other, each into the smallest sufficient gap.
fn place_in_order(tensors: &[Lifetime], order: &[usize]) -> Plan {
    let mut offsets = vec![0; tensors.len()];
    // Placed tensors: (from, to, index), by `from`.
    let mut placed: Vec<(u64, u64, usize)> = Vec::new();
    for &at in order {
        let tensor = tensors[at];
        let size = aligned(tensor.bytes);
        let (mut best, mut end) = (None::<(u64, u64)>, 0);
        for &(from, to, other) in &placed {
            let other = tensors[other];
            if other.first_op > tensor.last_op || tensor.first_op > other.last_op {
                continue;
            }
            if from >= end + size && best.is_none_or(|(gap, _)| from - end < gap) {
                best = Some((from - end, end));
            }
            end = end.max(to);
        }
        offsets[at] = best.map_or(end, |(_, offset)| offset);
        let entry = (offsets[at], offsets[at] + size, at);
        placed.insert(placed.partition_point(|other| *other < entry), entry);
    }
    Plan { bytes: placed.iter().map(|&(_, to, _)| to).max().unwrap_or(0), offsets }
}

/// Bytes that any plan needs: the most that are live during one operation.
pub fn lower_bound(tensors: &[Lifetime]) -> u64 {
    let live = |op: u32| {
        tensors.iter().filter(|t| t.first_op <= op && op <= t.last_op).map(|t| aligned(t.bytes)).sum()
    };
    tensors.iter().map(|tensor| live(tensor.first_op)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn live_tensors_never_share_a_byte(
            tensors in prop::collection::vec((1u64..5000, 0u32..40, 0u32..20), 1..60)
        ) {
            let tensors: Vec<Lifetime> = tensors
                .into_iter()
                .map(|(bytes, first_op, length)| Lifetime { bytes, first_op, last_op: first_op + length })
                .collect();
            let plan = place(&tensors);
            for (i, a) in tensors.iter().enumerate() {
                prop_assert_eq!(plan.offsets[i] % TENSOR_ALIGN, 0);
                prop_assert!(plan.offsets[i] + a.bytes <= plan.bytes);
                for (j, b) in tensors.iter().enumerate().skip(i + 1) {
                    let together = a.first_op <= b.last_op && b.first_op <= a.last_op;
                    let apart = plan.offsets[i] + a.bytes <= plan.offsets[j] || plan.offsets[j] + b.bytes <= plan.offsets[i];
                    prop_assert!(!together || apart);
                }
            }
            prop_assert!(plan.bytes >= lower_bound(&tensors));
            prop_assert!(plan.bytes <= tensors.iter().map(|t| aligned(t.bytes)).sum());
        }
    }

    #[test]
    fn a_chain_needs_two_places() {
        let chain: Vec<Lifetime> =
            (0..10).map(|op| Lifetime { bytes: 640, first_op: op, last_op: op + 1 }).collect();
        assert_eq!(place(&chain).bytes, 1280);
        assert_eq!(lower_bound(&chain), 1280);
    }

    #[test]
    fn the_smallest_gap_is_taken() {
        // Two gaps between long-lived tensors: of 256 and of 128 bytes. The last tensor fits the second exactly.
        let live = |bytes, first_op, last_op| Lifetime { bytes, first_op, last_op };
        let tensors = [live(1024, 0, 9), live(512, 0, 1), live(448, 0, 9), live(128, 2, 9)];
        let plan = place(&tensors);
        assert_eq!(plan.bytes, 1984);
        assert_eq!(plan.offsets[3], plan.offsets[1], "the place of the dead tensor is reused");
    }
}
