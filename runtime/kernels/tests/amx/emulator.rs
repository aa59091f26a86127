//! Emulates the instructions of AMX that the kernels use, as Intel's manual defines them (Software Developer's Manual, volume 2:
//! LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TILERELEASE, TDPBUSD,
//! TDPBF16PS), in the signal that an unknown instruction causes. The
//! signal ends the process, as without the emulator, for all other instructions and for operands that the manual forbids.

use libc::{REG_RIP, c_int, c_void, siginfo_t, ucontext_t};
use std::cell::RefCell;
use std::sync::Once;

/// The largest tile of palette 1.
const ROWS: usize = 16;
const ROW_BYTES: usize = 64;

#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    row_bytes: usize,
    data: [[u8; ROW_BYTES]; ROWS],
}

const NO_TILE: Tile = Tile { rows: 0, row_bytes: 0, data: [[0; ROW_BYTES]; ROWS] };

thread_local! {
    static TILES: RefCell<[Tile; 8]> = const { RefCell::new([NO_TILE; 8]) };
}

/// Installs the emulator, once in a process.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_unknown_instruction;
        // SAFETY: a zeroed structure is valid: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: the handler has the signature that the flag asks for.
        let result = unsafe { libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()) };
        assert_eq!(result, 0, "the handler is not installed");
    });
}

extern "C" fn on_unknown_instruction(signal: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the third argument is the context, and nothing else accesses it now.
    let registers = unsafe { &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs };
    match TILES.with_borrow_mut(|tiles| emulate(tiles, registers)) {
        Some(length) => registers[REG_RIP as usize] += length as i64,
        // The instruction is run again, and then ends the process.
        // SAFETY: sets the default action.
        None => _ = unsafe { libc::signal(signal, libc::SIG_DFL) },
    }
}

/// Emulates the instruction that the registers point to, and returns its length.
fn emulate(tiles: &mut [Tile; 8], registers: &[i64; 23]) -> Option<usize> {
    let at = registers[REG_RIP as usize] as *const u8;
    // SAFETY: the processor has read the instruction; the longest that is decoded here has ten bytes, and code follows it.
    let code: [u8; 10] = unsafe { at.cast::<[u8; 10]>().read_unaligned() };
    let [0xc4, extensions, vector, opcode, operands, ..] = code else { return None };
    // Map 0F38; W and L are 0; the prefix is 0: none, 1: 66, 2: F3, 3: F2. The third register is 0 if there is none.
    if extensions & 0x1f != 2 || vector & 0x84 != 0 {
        return None;
    }
    let (prefix, third) = (vector & 3, usize::from(!vector >> 3 & 15));
    let (reg, rm) = (usize::from(operands >> 3 & 7), usize::from(operands & 7));
    let is_memory = operands >> 6 != 3;
    match (opcode, prefix, is_memory) {
        (0x49, 0, true) if (reg, third) == (0, 0) => {
            let memory = Memory::decode(&code, registers)?;
            // SAFETY: the instruction reads 64 bytes there.
            configure(tiles, unsafe { (memory.start as *const [u8; 64]).read_unaligned() })?;
            Some(memory.length)
        }
        (0x49, 0, false) if (reg, rm, third) == (0, 0, 0) => {
            *tiles = [NO_TILE; 8];
            Some(5)
        }
        (0x49, 3, false) if (rm, third) == (0, 0) => {
            existing(&mut tiles[reg])?.data = NO_TILE.data;
            Some(5)
        }
        (0x4b, 3, true) if (rm, third) == (4, 0) => {
            let (memory, tile) = (Memory::decode(&code, registers)?, existing(&mut tiles[reg])?);
            tile.data = NO_TILE.data;
            for (at, row) in tile.data.iter_mut().enumerate().take(tile.rows) {
                let from = memory.row(at) as *const u8;
                // SAFETY: the instruction reads so many bytes there.
                unsafe { from.copy_to_nonoverlapping(row.as_mut_ptr(), tile.row_bytes) }
            }
            Some(memory.length)
        }
        (0x4b, 2, true) if (rm, third) == (4, 0) => {
            let (memory, tile) = (Memory::decode(&code, registers)?, existing(&mut tiles[reg])?);
            for (at, row) in tile.data.iter().enumerate().take(tile.rows) {
                // SAFETY: the instruction writes so many bytes there.
                unsafe { (memory.row(at) as *mut u8).copy_from_nonoverlapping(row.as_ptr(), tile.row_bytes) }
            }
            Some(memory.length)
        }
        (0x5e, 1, false) | (0x5c, 2, false) if third < 8 => {
            let [a, b] = [*existing(&mut tiles[rm])?, *existing(&mut tiles[third])?];
            let sums = existing(&mut tiles[reg])?;
            let are_distinct = reg != rm && rm != third && reg != third;
            let do_fit = a.rows == sums.rows && b.row_bytes == sums.row_bytes && a.row_bytes / 4 == b.rows;
            let add = if prefix == 1 { add_products } else { add_bf16_products };
            (are_distinct && do_fit).then(|| add(sums, &a, &b))?;
            Some(5)
        }
        _ => None,
    }
}

/// Returns a tile if it is configured.
fn existing(tile: &mut Tile) -> Option<&mut Tile> {
    (tile.rows > 0).then_some(tile)
}

/// LDTILECFG with palette 1. All tiles become zero.
fn configure(tiles: &mut [Tile; 8], operand: [u8; 64]) -> Option<()> {
    let is_reserved_zero =
        operand[2..16].iter().chain(&operand[32..48]).chain(&operand[56..]).all(|&byte| byte == 0);
    if operand[..2] != [1, 0] || !is_reserved_zero {
        return None;
    }
    for (at, tile) in tiles.iter_mut().enumerate() {
        let row_bytes = u16::from_le_bytes([operand[16 + 2 * at], operand[17 + 2 * at]]).into();
        *tile = Tile { rows: operand[48 + at].into(), row_bytes, ..NO_TILE };
        if tile.rows > ROWS || row_bytes > ROW_BYTES || (tile.rows == 0) != (row_bytes == 0) {
            return None;
        }
    }
    Some(())
}

/// TDPBUSD: unsigned bytes of `a`, signed ones of `b`, sums without saturation.
fn add_products(sums: &mut Tile, a: &Tile, b: &Tile) {
    for (row, sums) in sums.data.iter_mut().enumerate().take(sums.rows) {
        for k in 0..a.row_bytes / 4 {
            for n in 0..b.row_bytes / 4 {
                let products = (0..4).map(|at| {
                    i32::from(a.data[row][4 * k + at]) * i32::from(b.data[k][4 * n + at].cast_signed())
                });
                let sum = sums[4 * n..].first_chunk_mut::<4>().unwrap();
                *sum = i32::from_le_bytes(*sum).wrapping_add(products.sum()).to_le_bytes();
            }
        }
    }
}

/// TDPBF16PS: sums of the first elements of all pairs, and of the second ones, then of both, with fused multiply-add; values below
/// the normal ones are zero.
fn add_bf16_products(sums: &mut Tile, a: &Tile, b: &Tile) {
    let flush = |value: f32| if value.is_subnormal() { 0.0 } else { value };
    let element = |row: &[u8; ROW_BYTES], at: usize| {
        flush(f32::from_bits(u32::from_le_bytes([0, 0, row[2 * at], row[2 * at + 1]])))
    };
    for (row, sums) in sums.data.iter_mut().enumerate().take(sums.rows) {
        for n in 0..b.row_bytes / 4 {
            let mut of_pairs = [0.0f32; 2];
            for k in 0..a.row_bytes / 4 {
                for (at, sum) in of_pairs.iter_mut().enumerate() {
                    let (a, b) = (element(&a.data[row], 2 * k + at), element(&b.data[k], 2 * n + at));
                    *sum = flush(a.mul_add(b, *sum));
                }
            }
            let sum = sums[4 * n..].first_chunk_mut::<4>().unwrap();
            let total = flush(f32::from_le_bytes(*sum)) + flush(of_pairs[0] + of_pairs[1]);
            *sum = flush(total).to_le_bytes();
        }
    }
}

/// A memory operand: its address, the step from row to row, and the length of the instruction.
struct Memory {
    start: i64,
    step: i64,
    length: usize,
}

impl Memory {
    /// Decodes an operand with a base register; relative and absolute ones are not used.
    fn decode(code: &[u8; 10], registers: &[i64; 23]) -> Option<Self> {
        /// General registers by the number in an instruction.
        const REGISTERS: [c_int; 16] = [
            libc::REG_RAX,
            libc::REG_RCX,
            libc::REG_RDX,
            libc::REG_RBX,
            libc::REG_RSP,
            libc::REG_RBP,
            libc::REG_RSI,
            libc::REG_RDI,
            libc::REG_R8,
            libc::REG_R9,
            libc::REG_R10,
            libc::REG_R11,
            libc::REG_R12,
            libc::REG_R13,
            libc::REG_R14,
            libc::REG_R15,
        ];
        let register = |number: u8| registers[REGISTERS[usize::from(number)] as usize];
        // The extensions are stored inverted.
        let [extend_index, extend_base] = [6, 5].map(|bit| (!code[1] >> bit & 1) << 3);
        let (mode, rm) = (code[4] >> 6, code[4] & 7);
        let has_index = rm == 4;
        let (base, index, scale) = match has_index {
            true => (code[5] & 7, code[5] >> 3 & 7 | extend_index, code[5] >> 6),
            false => (rm, 4, 0),
        };
        if (mode, base) == (0, 5) {
            return None;
        }
        let at = 5 + usize::from(has_index);
        let (displacement, bytes) = match mode {
            0 => (0, 0),
            1 => (code[at].cast_signed().into(), 1),
            _ => (i32::from_le_bytes(*code[at..].first_chunk().unwrap()).into(), 4),
        };
        // Number 4 means none.
        let step = if index == 4 { 0 } else { register(index) << scale };
        Some(Self { start: register(base | extend_base) + displacement, step, length: at + bytes })
    }

    fn row(&self, at: usize) -> i64 {
        self.start + at as i64 * self.step
    }
}
