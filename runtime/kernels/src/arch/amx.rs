//! AMX of x86-64, such as Sapphire Rapids: products of tiles of 16 x 64 and 64 x 16 bytes, or of 16 x 32 and 32 x 16 bf16, in
//! assembly, because Rust's functions for them are not stable. All else is computed as with AVX-512, and rows are packed in the same
//! way. Four bytes and a pair of bf16 take the same place in rows and panels.

use super::x86_64::Avx512;
use super::{BF16_ROWS_MAX, FLOAT_ROWS_MAX, IntSums, Isa, ROWS_MAX, Sums, Work};
use core::arch::asm;
use half::bf16;
use sonotrace_format::function::Unary;
use sonotrace_format::panels::{GROUP, PANEL};

/// AVX-512 and products of tiles of bytes and of bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amx(Avx512);

/// Rows of a tile.
const TILE_ROWS: usize = 16;
/// Bytes of a tile's row.
const TILE_ROW_BYTES: usize = 64;
/// Bytes of a tile.
const TILE_BYTES: usize = TILE_ROWS * TILE_ROW_BYTES;
const _: () =
    assert!(TILE_ROW_BYTES == PANEL * GROUP && 2 * TILE_ROWS <= ROWS_MAX && 2 * TILE_ROWS <= BF16_ROWS_MAX);

/// Operand of `ldtilecfg`: palette 1, eight tiles of the full size.
const TILES: [u8; 64] = {
    let mut tiles = [0; 64];
    tiles[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        tiles[16 + 2 * tile] = TILE_ROW_BYTES as u8;
        tiles[48 + tile] = TILE_ROWS as u8;
        tile += 1;
    }
    tiles
};

impl Amx {
    /// Returns the token if this processor has the instructions and the system lets the process use them. Without the feature
    /// `std`, and on other systems than Linux, it returns `None`.
    pub fn new() -> Option<Self> {
        Avx512::new().filter(|_| is_permitted()).map(Self)
    }

    /// Returns the token without asking for AMX; `None` without AVX-512 VNNI.
    ///
    /// # Safety
    /// The process emulates the instructions of this file.
    pub(super) unsafe fn emulated() -> Option<Self> {
        Avx512::new().map(Self)
    }
}

/// Asks the processor for the instructions, and the system for the permission to use the state of tiles, once in a process.
#[cfg(all(feature = "std", target_os = "linux"))]
fn is_permitted() -> bool {
    use core::arch::x86_64::{__cpuid_count, __get_cpuid_max, _xgetbv};
    /// AMX-BF16, AMX-TILE and AMX-INT8, in EDX of leaf 7.
    const FEATURES: u32 = 1 << 22 | 0b11 << 24;
    /// The configuration and the data of tiles, in XCR0.
    const STATES: u64 = 0b11 << 17;
    static IS_PERMITTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    #[target_feature(enable = "xsave")]
    fn states() -> u64 {
        // SAFETY: register 0 exists.
        unsafe { _xgetbv(0) }
    }
    *IS_PERMITTED.get_or_init(|| {
        let has_features = __get_cpuid_max(0).0 >= 7 && __cpuid_count(7, 0).edx & FEATURES == FEATURES;
        // SAFETY: a processor with AMX has the instruction; the macro checks that the system enabled it.
        let has_states =
            || std::arch::is_x86_feature_detected!("xsave") && unsafe { states() } & STATES == STATES;
        has_features && has_states() && asks_for_permission()
    })
}

#[cfg(not(all(feature = "std", target_os = "linux")))]
fn is_permitted() -> bool {
    false
}

/// Asks Linux for the permission to use the data of tiles; returns whether it is granted.
#[cfg(all(feature = "std", target_os = "linux"))]
fn asks_for_permission() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: u64;
    // SAFETY: the call has no pointers, and changes nothing but the permission.
    unsafe {
        asm!(
            "syscall",
            inout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _, out("r11") _, options(nostack)
        );
    }
    result == 0
}

impl Isa for Amx {
    const FLOAT_ROWS: usize = Avx512::FLOAT_ROWS;
    const BF16_ROWS: usize = 2 * TILE_ROWS;
    const ROWS: usize = 2 * TILE_ROWS;
    const PANELS: usize = 4;
    const RUN: Option<usize> = None;
    const TILE_MACS: u64 = Avx512::TILE_MACS;
    const OFFSET: i32 = Avx512::OFFSET;
    type Packed = u8;
    type IntSums = IntSums<{ 2 * TILE_ROWS }>;

    fn run<W: Work>(self, work: W) -> W::Output {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn compiled<W: Work>(isa: Amx, work: W) -> W::Output {
            work.run(isa)
        }
        // SAFETY: the token of AVX-512 VNNI proves that the processor has the instructions.
        unsafe { compiled(self, work) }
    }

    fn unary(self, function: Unary, values: &mut [f32]) {
        self.0.unary(function, values);
    }

    #[inline(always)]
    fn block(self, rows: &[&[f32]; FLOAT_ROWS_MAX], panel: &[f32], sums: &mut Sums) {
        self.0.block(rows, panel, sums);
    }

    #[inline(always)]
    fn pack(value: i8) -> u8 {
        Avx512::pack(value)
    }

    #[inline(always)]
    fn round(self, values: &[f32], factor: f32, packed: &mut [u8]) {
        self.0.round(values, factor, packed);
    }

    #[inline(always)]
    fn begin_products(self) {
        // SAFETY: the token proves that the processor has the instruction, which reads 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) TILES.as_ptr(), options(nostack, readonly, preserves_flags)) }
    }

    fn block_i8(self, rows: &[u8], panels: &[i8], sums: &mut [Self::IntSums]) {
        let depth = rows.len() / Self::ROWS;
        for (panels, sums) in panels.chunks(2 * PANEL * depth).zip(sums.chunks_mut(2)) {
            let mut unused;
            let (second, sums) = match sums {
                [first, second] => (PANEL * depth, [first, second]),
                // A second panel is computed, too: the first one again.
                [first] => {
                    unused = [[0; PANEL]; Self::ROWS];
                    (0, [first, &mut unused])
                }
                _ => continue,
            };
            let [first, second_sums] = sums;
            split_depth(rows, [panels, &panels[second..]], |rows, panels, is_first| {
                self.add_tiles(rows, panels, [&mut *first, &mut *second_sums], is_first);
            });
        }
    }

    fn block_bf16(self, rows: &[bf16], panel: &[bf16], sums: &mut [[f32; PANEL]]) {
        split_depth(bytemuck::cast_slice(rows), [bytemuck::cast_slice(panel)], |rows, [panel], is_first| {
            self.add_bf16_tiles(rows, panel, sums, is_first);
        });
    }

    #[inline(always)]
    fn end_products(self) {
        // SAFETY: the token proves that the processor has the instruction.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
    }
}

/// Cuts 32 rows and panels into whole tiles and a last one, which is completed with zeros. Gives both to `add`: rows, the bytes from
/// one to the next, panels, and whether they are the first.
fn split_depth<const PANELS: usize>(
    rows: &[u8],
    panels: [&[i8]; PANELS],
    mut add: impl FnMut((&[u8], usize), [&[i8]; PANELS], bool),
) {
    let depth = rows.len() / (2 * TILE_ROWS);
    let whole = depth / TILE_ROW_BYTES;
    let end = whole * TILE_BYTES;
    if whole > 0 {
        add((rows, depth), panels.map(|panel| &panel[..end]), true);
    }
    let from = whole * TILE_ROW_BYTES;
    if from < depth {
        let mut last_rows = [[0; TILE_ROW_BYTES]; 2 * TILE_ROWS];
        for (to, row) in last_rows.iter_mut().zip(rows.chunks_exact(depth)) {
            to[..depth - from].copy_from_slice(&row[from..]);
        }
        let mut last = [[0; TILE_BYTES]; PANELS];
        for (to, panel) in last.iter_mut().zip(panels) {
            let panel = &panel[end..PANEL * depth];
            to[..panel.len()].copy_from_slice(panel);
        }
        let rows = (last_rows.as_flattened(), TILE_ROW_BYTES);
        add(rows, last.each_ref().map(|panel| &panel[..]), whole == 0);
    }
}

impl Amx {
    /// Adds the products of whole tiles of 32 rows, which are `step` bytes apart, and two panels, which have as many groups as all
    /// tiles; or writes them, if they are the first.
    fn add_tiles(
        self,
        (rows, step): (&[u8], usize),
        panels: [&[i8]; 2],
        sums: [&mut <Self as Isa>::IntSums; 2],
        is_first: bool,
    ) {
        let tiles = panels[0].len() / TILE_BYTES;
        assert!(tiles > 0 && panels[1].len() == panels[0].len());
        assert!(tiles * TILE_ROW_BYTES <= step && rows.len() == Self::ROWS * step);
        // SAFETY: the loop reads `tiles` tiles of 32 rows and of two panels, and accesses 32 rows of sums, all of them checked above
        // or by their types. The token proves that the processor has the instructions; calls are between `begin_products` and `end_products`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "test {is_first}, {is_first}",
                "jnz 2f",
                "tileloadd tmm0, [{first_sums} + {row_bytes}]",
                "tileloadd tmm1, [{second_sums} + {row_bytes}]",
                "tileloadd tmm2, [{first_sums} + {row_bytes} + 1024]",
                "tileloadd tmm3, [{second_sums} + {row_bytes} + 1024]",
                "2:",
                "tileloadd tmm4, [{upper} + {step}]",
                "tileloadd tmm6, [{first} + {row_bytes}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{second} + {row_bytes}]",
                "tdpbusd tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{lower} + {step}]",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "add {upper}, 64",
                "add {lower}, 64",
                "add {first}, 1024",
                "add {second}, 1024",
                "dec {tiles}",
                "jnz 2b",
                "tilestored [{first_sums} + {row_bytes}], tmm0",
                "tilestored [{second_sums} + {row_bytes}], tmm1",
                "tilestored [{first_sums} + {row_bytes} + 1024], tmm2",
                "tilestored [{second_sums} + {row_bytes} + 1024], tmm3",
                is_first = in(reg) u64::from(is_first),
                upper = inout(reg) rows.as_ptr() => _,
                lower = inout(reg) rows[TILE_ROWS * step..].as_ptr() => _,
                step = in(reg) step,
                row_bytes = in(reg) TILE_ROW_BYTES,
                first = inout(reg) panels[0].as_ptr() => _,
                second = inout(reg) panels[1].as_ptr() => _,
                tiles = inout(reg) tiles => _,
                first_sums = in(reg) sums[0].as_mut_ptr(),
                second_sums = in(reg) sums[1].as_mut_ptr(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack)
            );
        }
    }

    /// Adds the products of whole tiles of 32 rows of bf16, which are `step` bytes apart, and a panel, which has as many pairs as all
    /// tiles; or writes them, if they are the first.
    fn add_bf16_tiles(
        self,
        (rows, step): (&[u8], usize),
        panel: &[i8],
        sums: &mut [[f32; PANEL]],
        is_first: bool,
    ) {
        let tiles = panel.len() / TILE_BYTES;
        assert!(tiles > 0 && tiles * TILE_ROW_BYTES <= step);
        assert!(rows.len() == Self::BF16_ROWS * step && sums.len() == Self::BF16_ROWS);
        // SAFETY: the loop reads `tiles` tiles of 32 rows and of the panel, and accesses 32 rows of sums, all of them checked above.
        // The token proves that the processor has the instructions; calls are between `begin_products` and `end_products`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm2",
                "test {is_first}, {is_first}",
                "jnz 2f",
                "tileloadd tmm0, [{sums} + {row_bytes}]",
                "tileloadd tmm2, [{sums} + {row_bytes} + 1024]",
                "2:",
                "tileloadd tmm4, [{upper} + {step}]",
                "tileloadd tmm6, [{panel} + {row_bytes}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{lower} + {step}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "add {upper}, 64",
                "add {lower}, 64",
                "add {panel}, 1024",
                "dec {tiles}",
                "jnz 2b",
                "tilestored [{sums} + {row_bytes}], tmm0",
                "tilestored [{sums} + {row_bytes} + 1024], tmm2",
                is_first = in(reg) u64::from(is_first),
                upper = inout(reg) rows.as_ptr() => _,
                lower = inout(reg) rows[TILE_ROWS * step..].as_ptr() => _,
                step = in(reg) step,
                row_bytes = in(reg) TILE_ROW_BYTES,
                panel = inout(reg) panel.as_ptr() => _,
                tiles = inout(reg) tiles => _,
                sums = in(reg) sums.as_mut_ptr(),
                out("tmm0") _, out("tmm2") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
                options(nostack)
            );
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
#[path = "../../tests/amx/emulator.rs"]
mod emulator;

/// The blocks alone, which need no other instructions, so that they are tested on every processor: those of AMX are emulated where it
/// lacks them.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use sonotrace_format::panels::PAIR;

    const ROWS: usize = 2 * TILE_ROWS;

    fn amx() -> Amx {
        if !is_permitted() {
            emulator::install();
        }
        // SAFETY: the blocks use no instructions of AVX-512.
        Amx(unsafe { Avx512::unchecked() })
    }

    /// Returns numbers from -1 to 1 in no order.
    fn values(count: usize) -> impl Iterator<Item = f32> {
        (0..count as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0)
    }

    #[test]
    fn blocks_of_bytes_are_exact() {
        let amx = amx();
        for (panels, depth) in [(1, 4), (2, 64), (3, 68), (4, 132), (2, 256)] {
            let rows: Vec<u8> = values(ROWS * depth).map(|value| (value * 127.0 + 128.0) as u8).collect();
            let weights: Vec<i8> =
                values(panels * PANEL * depth).map(|value| (value * 127.0) as i8).collect();
            let mut sums = vec![[[0; PANEL]; ROWS]; panels];
            amx.begin_products();
            amx.block_i8(&rows, &weights, &mut sums);
            amx.end_products();
            for (panel, row, column) in
                (0..panels * ROWS * PANEL).map(|at| (at / PANEL / ROWS, at / PANEL % ROWS, at % PANEL))
            {
                let product = |k: usize| {
                    let weight =
                        weights[panel * PANEL * depth + (k / GROUP * PANEL + column) * GROUP + k % GROUP];
                    i32::from(rows[row * depth + k]) * i32::from(weight)
                };
                assert_eq!(
                    sums[panel][row][column],
                    (0..depth).map(product).sum::<i32>(),
                    "{panels} x {depth}"
                );
            }
        }
    }

    #[test]
    fn blocks_of_bf16_are_close() {
        let amx = amx();
        for depth in [2, 32, 34, 66, 128] {
            let rows: Vec<bf16> = values(ROWS * depth).map(bf16::from_f32).collect();
            let weights: Vec<bf16> = values(PANEL * depth).map(bf16::from_f32).collect();
            let mut sums = [[f32::NAN; PANEL]; ROWS];
            amx.begin_products();
            amx.block_bf16(&rows, &weights, &mut sums);
            amx.end_products();
            for (row, column) in (0..ROWS * PANEL).map(|at| (at / PANEL, at % PANEL)) {
                let product = |k: usize| {
                    let weight = weights[(k / PAIR * PANEL + column) * PAIR + k % PAIR];
                    rows[row * depth + k].to_f64() * weight.to_f64()
                };
                let (seen, expected) = (f64::from(sums[row][column]), (0..depth).map(product).sum::<f64>());
                assert!((seen - expected).abs() <= 1e-5, "{depth}: {seen}, not {expected}");
            }
        }
    }
}
