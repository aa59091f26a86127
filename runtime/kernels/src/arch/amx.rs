//! AMX of x86-64, such as Sapphire Rapids: products of tiles of 16 x 64 and 64 x 16 bytes, in assembly, because Rust's functions
//! for them are not stable. All else is computed as with AVX-512 VNNI, and rows are packed in the same way.

use super::x86_64::Avx512Vnni;
use super::{FLOAT_ROWS_MAX, IntSums, Isa, ROWS_MAX, Sums, Work};
use core::arch::asm;
use sonotrace_format::function::Unary;
use sonotrace_format::panels::{GROUP, PANEL};

/// AVX-512 VNNI and products of tiles of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amx(Avx512Vnni);

/// Rows of a tile.
const TILE_ROWS: usize = 16;
/// Bytes of a tile's row.
const TILE_ROW_BYTES: usize = 64;
/// Bytes of a tile.
const TILE_BYTES: usize = TILE_ROWS * TILE_ROW_BYTES;
const _: () = assert!(TILE_ROW_BYTES == PANEL * GROUP && 2 * TILE_ROWS <= ROWS_MAX);

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
        Avx512Vnni::new().filter(|_| is_permitted()).map(Self)
    }

    /// Returns the token without asking for AMX; `None` without AVX-512 VNNI.
    ///
    /// # Safety
    /// The process emulates the instructions of this file.
    pub(super) unsafe fn emulated() -> Option<Self> {
        Avx512Vnni::new().map(Self)
    }
}

/// Asks the processor for the instructions, and the system for the permission to use the state of tiles, once in a process.
#[cfg(all(feature = "std", target_os = "linux"))]
fn is_permitted() -> bool {
    use core::arch::x86_64::{__cpuid_count, __get_cpuid_max, _xgetbv};
    /// AMX-TILE and AMX-INT8, in EDX of leaf 7.
    const FEATURES: u32 = 0b11 << 24;
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
    const FLOAT_ROWS: usize = Avx512Vnni::FLOAT_ROWS;
    const ROWS: usize = 2 * TILE_ROWS;
    const PANELS: usize = 4;
    const RUN: Option<usize> = None;
    const TILE_MACS: u64 = Avx512Vnni::TILE_MACS;
    const OFFSET: i32 = Avx512Vnni::OFFSET;
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
        Avx512Vnni::pack(value)
    }

    #[inline(always)]
    fn round(self, values: &[f32], factor: f32, packed: &mut [u8]) {
        self.0.round(values, factor, packed);
    }

    #[inline(always)]
    fn begin_int8(self) {
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
            self.multiply_panels(rows, [panels, &panels[second..]], sums);
        }
    }

    #[inline(always)]
    fn end_int8(self) {
        // SAFETY: the token proves that the processor has the instruction.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) }
    }
}

impl Amx {
    /// Multiplies 32 rows with two panels.
    fn multiply_panels(self, rows: &[u8], panels: [&[i8]; 2], sums: [&mut <Self as Isa>::IntSums; 2]) {
        let depth = rows.len() / Self::ROWS;
        let whole = depth / TILE_ROW_BYTES;
        let end = whole * TILE_BYTES;
        let [first, second] = sums;
        if whole > 0 {
            self.add_tiles(
                (rows, depth),
                panels.map(|panel| &panel[..end]),
                [&mut *first, &mut *second],
                true,
            );
        }
        let from = whole * TILE_ROW_BYTES;
        if from < depth {
            // The last tiles are completed with zeros.
            let mut last_rows = [[0; TILE_ROW_BYTES]; Self::ROWS];
            for (to, row) in last_rows.iter_mut().zip(rows.chunks_exact(depth)) {
                to[..depth - from].copy_from_slice(&row[from..]);
            }
            let mut last = [[0; TILE_BYTES]; 2];
            for (to, panel) in last.iter_mut().zip(panels) {
                let panel = &panel[end..PANEL * depth];
                to[..panel.len()].copy_from_slice(panel);
            }
            let rows = (last_rows.as_flattened(), TILE_ROW_BYTES);
            self.add_tiles(rows, last.each_ref().map(|panel| &panel[..]), [first, second], whole == 0);
        }
    }

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
        // or by their types. The token proves that the processor has the instructions; calls are between `begin_int8` and `end_int8`.
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
}
