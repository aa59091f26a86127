//! Instruction sets.
//!
//! A token proves that this processor has an instruction set: its field is private and [`new`](x86_64::Avx2::new)
//! returns `None` on other processors, so code that holds a token may use the instructions.
//!
//! Every kernel is compiled once for each instruction set, so that the compiler vectorises its loops. It does not do that
//! well for blocks of products, so they are written with each set's instructions.

#[cfg(target_arch = "aarch64")]
pub mod aarch64;
#[cfg(target_arch = "x86_64")]
pub mod amx;
mod portable;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

pub(crate) use portable::Portable;

use bytemuck::Zeroable;
use half::bf16;
use sonotrace_format::function::Unary;
use sonotrace_format::op::Arithmetic;
use sonotrace_format::panels::{GROUP, PANEL};

/// Most rows of a block of sums in f32.
pub(crate) const FLOAT_ROWS_MAX: usize = 12;
/// Most rows of a block of a product in bf16.
pub(crate) const BF16_ROWS_MAX: usize = 32;
/// Most rows of a block of an int8 product.
pub(crate) const ROWS_MAX: usize = 32;
/// Most panels of a block of an int8 product.
pub(crate) const PANELS_MAX: usize = 4;

/// Longest run of packed rows that are not stored one after the other.
pub(crate) const RUN_MAX: usize = 2 * GROUP;

/// Sums of a block: rows by the columns of a panel.
pub(crate) type Sums = [[f32; PANEL]; FLOAT_ROWS_MAX];

/// Sums of a block of an int8 product with one panel.
pub(crate) type IntSums<const ROWS: usize> = [[i32; PANEL]; ROWS];

/// How sums of a block become values: `(sum - offset) * (row scale * column scale) + addend + residual`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scaling<'s> {
    /// By row.
    pub row_scales: &'s [f32],
    /// By column of each panel, as the next two.
    pub offsets: &'s [[i32; PANEL]],
    pub column_scales: &'s [[f32; PANEL]],
    pub addends: &'s [[f32; PANEL]],
    /// By row, then by column of all panels.
    pub residuals: Option<&'s [&'s [f32]]>,
}

/// Work that is compiled for each instruction set.
pub(crate) trait Work {
    /// What it computes.
    type Output;

    /// Does the work. Inlined, like all that it calls on elements, so that it is compiled for the instruction set.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// An instruction set that kernels are compiled for.
pub(crate) trait Isa: Copy {
    /// Rows of a block of sums in f32, at most [`FLOAT_ROWS_MAX`].
    const FLOAT_ROWS: usize;

    /// Rows of a block of a product in bf16, at most [`BF16_ROWS_MAX`].
    const BF16_ROWS: usize;

    /// Rows of a block of an int8 product, at most [`ROWS_MAX`].
    const ROWS: usize;

    /// Panels of a block of an int8 product, at most [`PANELS_MAX`].
    const PANELS: usize;

    /// Adjacent elements of a row in the packed rows of a block, `[k / RUN][ROWS][RUN]`, a multiple of [`GROUP`]; `None` if whole
    /// rows follow each other. The end of the last run may be any values.
    const RUN: Option<usize>;

    /// Multiply-accumulates of a tile of a product: few enough to stop between tiles, many enough to pack its rows.
    const TILE_MACS: u64;

    /// An element of the packed rows of an int8 product.
    type Packed: bytemuck::Pod;

    /// [`IntSums`] of [`Self::ROWS`].
    type IntSums: bytemuck::Pod;

    /// Added to each element by [`Self::pack`]; the sums exceed those of the integers by this times the column's sum.
    const OFFSET: i32;

    /// Does work, compiled for this instruction set.
    fn run<W: Work>(self, work: W) -> W::Output;

    /// Computes a function of one input, in place. Compiled once, not in each kernel that has activations.
    fn unary(self, function: Unary, values: &mut [f32]);

    /// Multiplies the first [`Self::FLOAT_ROWS`] rows with a panel `[k][16]`.
    fn block(self, rows: &[&[f32]; FLOAT_ROWS_MAX], panel: &[f32], sums: &mut Sums);

    /// Converts an element of the rows of an int8 product.
    fn pack(value: i8) -> Self::Packed;

    /// Rounds values times a factor to the nearest integers, ties to even, a multiple of
    /// [`crate::rounding::ROUNDED`] of them; writes them as [`Self::RUN`] orders them.
    fn round(self, values: &[f32], factor: f32, packed: &mut [Self::Packed]);

    /// Prepares the processor for calls of [`Self::block_i8`] and [`Self::block_bf16`].
    #[inline(always)]
    fn begin_products(self) {}

    /// Ends the state that [`Self::begin_products`] prepared.
    #[inline(always)]
    fn end_products(self) {}

    /// Multiplies [`Self::BF16_ROWS`] rows, which follow each other, with a panel `[k / 2][16][2]`.
    fn block_bf16(self, rows: &[bf16], panel: &[bf16], sums: &mut [[f32; PANEL]]);

    /// Multiplies [`Self::ROWS`] packed rows with as many i8 panels `[k / 4][16][4]` as there are `sums`, at most
    /// [`Self::PANELS`].
    fn block_i8(self, rows: &[Self::Packed], panels: &[i8], sums: &mut [Self::IntSums]);

    /// Computes the values of a block of [`Self::ROWS`] packed rows and as many panels as there are offsets: of as many rows as there
    /// are row scales. Rows of `values` are `step` apart.
    #[inline(always)]
    fn values_i8(
        self,
        rows: &[Self::Packed],
        panels: &[i8],
        scaling: Scaling<'_>,
        (values, step): (&mut [f32], usize),
    ) {
        let mut sums: [Self::IntSums; PANELS_MAX] = Zeroable::zeroed();
        let sums = &mut sums[..scaling.offsets.len()];
        self.block_i8(rows, panels, sums);
        let (count, sums): (usize, &[[i32; PANEL]]) = (sums.len(), bytemuck::cast_slice(sums));
        for (lane, row_scale) in scaling.row_scales.iter().enumerate() {
            let values = &mut values[lane * step..][..count * PANEL];
            for (at, values) in values.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                let sums = &sums[at * Self::ROWS + lane];
                let (offsets, scales) = (&scaling.offsets[at], &scaling.column_scales[at]);
                for column in 0..PANEL {
                    values[column] = sums[column].wrapping_sub(offsets[column]) as f32
                        * (row_scale * scales[column])
                        + scaling.addends[at][column];
                }
            }
            if let Some(residuals) = scaling.residuals {
                for (value, residual) in values.iter_mut().zip(residuals[lane]) {
                    *value += residual;
                }
            }
        }
    }

    /// Returns the adjacent elements of a row in packed rows of so many elements, a multiple of [`GROUP`].
    #[inline(always)]
    fn run_of(depth: usize) -> usize {
        Self::RUN.unwrap_or(depth)
    }

    /// Returns the place of a row's element in packed rows, from the row's first.
    #[inline(always)]
    fn place(element: usize) -> usize {
        match Self::RUN {
            Some(run) => element / run * Self::ROWS * run + element % run,
            None => element,
        }
    }
}

/// Defines tokens: name, and the features that it requires.
macro_rules! tokens {
    ($detect:ident: $($(#[$doc:meta])* $name:ident = $($feature:tt),+;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub struct $name(());

            impl $name {
                /// Returns the token if this processor and its operating system support the instructions. Without the
                /// feature `std`, the features of the build target decide.
                pub fn new() -> Option<Self> {
                    #[cfg(feature = "std")]
                    let has_it = $(std::arch::$detect!($feature))&&+;
                    #[cfg(not(feature = "std"))]
                    let has_it = $(cfg!(target_feature = $feature))&&+;
                    has_it.then_some(Self(()))
                }
            }
        )*
    };
}
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use tokens;

/// Implements [`Isa`] for a token: its features, then the multiply-accumulates of a tile.
///
/// * `float`: rows of a block; the type of a vector of floats; functions that make a vector of zeros, load it, add the product of
///   a vector and a number to it, and store it.
/// * `bf16`: functions that take the first and the second element of each pair of bf16 in a vector as floats, repeat a number, and
///   add the product of two vectors; one that computes a block if the token has an instruction for it.
/// * `int8`: rows and panels of a block; the run of packed rows; the type of packed elements, their offset; functions
///   that make one and many, and the block; one that computes its values, if that is faster than scaling its sums.
macro_rules! vectors {
    (
        $token:ty: $features:literal, tile $tile_macs:literal,
        float $float_rows:literal, $vector:ty, $zeros:expr, $load:path, $add_product:expr, $store:path,
        bf16 $first:expr, $second:expr, $repeat:path, $fma:expr $(, dots $dots_bf16:path)?,
        int8 $rows:literal x $panels:literal, run $run:expr,
            $packed:ty, $offset:literal, $pack:expr, $round:path, $block_i8:path $(, values $values_i8:path)?
    ) => {
        const _: () = {
            impl Isa for $token {
                const FLOAT_ROWS: usize = $float_rows;
                const BF16_ROWS: usize = $float_rows;
                const ROWS: usize = $rows;
                const PANELS: usize = $panels;
                const RUN: Option<usize> = $run;
                const TILE_MACS: u64 = $tile_macs;
                const OFFSET: i32 = $offset;
                type Packed = $packed;
                type IntSums = IntSums<$rows>;

                #[inline]
                fn run<W: Work>(self, work: W) -> W::Output {
                    #[target_feature(enable = $features)]
                    fn compiled<W: Work>(isa: $token, work: W) -> W::Output {
                        work.run(isa)
                    }
                    // SAFETY: the token proves that the processor has the instructions.
                    unsafe { compiled(self, work) }
                }

                fn unary(self, function: sonotrace_format::function::Unary, values: &mut [f32]) {
                    #[inline(never)]
                    #[target_feature(enable = $features)]
                    fn compiled(function: sonotrace_format::function::Unary, values: &mut [f32]) {
                        crate::elementwise::unary(function, values);
                    }
                    // SAFETY: the token proves that the processor has the instructions.
                    unsafe { compiled(function, values) }
                }

                #[inline(always)]
                fn block(self, rows: &[&[f32]; FLOAT_ROWS_MAX], panel: &[f32], sums: &mut Sums) {
                    // SAFETY: the token proves that the processor has the instructions.
                    unsafe { block(rows, panel, sums) }
                }

                #[inline(always)]
                fn block_bf16(self, rows: &[bf16], panel: &[bf16], sums: &mut [[f32; PANEL]]) {
                    $(if let Some(instructions) = self.bf16 {
                        return $dots_bf16(instructions, rows, panel, sums);
                    })?
                    // SAFETY: the token proves that the processor has the instructions.
                    unsafe { block_bf16(rows, panel, sums) }
                }

                #[inline(always)]
                fn round(self, values: &[f32], factor: f32, packed: &mut [$packed]) {
                    // SAFETY: the token proves that the processor has the instructions.
                    unsafe { $round(values, factor, packed) }
                }

                #[inline(always)]
                fn pack(value: i8) -> $packed {
                    $pack(value)
                }

                #[inline(always)]
                fn block_i8(self, rows: &[$packed], panels: &[i8], sums: &mut [IntSums<$rows>]) {
                    // SAFETY: the token proves that the processor has the instructions.
                    unsafe { $block_i8(rows, panels, sums) }
                }

                $(#[inline(always)]
                fn values_i8(
                    self,
                    rows: &[$packed],
                    panels: &[i8],
                    scaling: Scaling<'_>,
                    values: (&mut [f32], usize),
                ) {
                    // SAFETY: the token proves that the processor has the instructions.
                    unsafe { $values_i8(rows, panels, scaling, values) }
                })?
            }

            /// Keeps all sums of a block in registers. A bf16 is the upper half of the f32 of the same value.
            #[target_feature(enable = $features)]
            fn block_bf16(rows: &[bf16], panel: &[bf16], sums: &mut [[f32; PANEL]]) {
                const ROWS: usize = <$token>::BF16_ROWS;
                const LANES: usize = size_of::<$vector>() / size_of::<f32>();
                let panel = panel.as_chunks::<{ PAIR * PANEL }>().0;
                let pairs = rows.as_chunks::<PAIR>().0;
                let mut block = [[$zeros; PANEL / LANES]; ROWS];
                for (at, panel) in panel.iter().enumerate() {
                    let panel: [$vector; PANEL / LANES] = core::array::from_fn(|at| {
                        let pairs = &panel[at * LANES * PAIR..][..LANES * PAIR];
                        // SAFETY: as many bytes as `LANES` floats, all of them in the panel; no alignment is needed.
                        unsafe { $load(pairs.as_ptr().cast()) }
                    });
                    for (lane, sums) in block.iter_mut().enumerate() {
                        let pair = $repeat(bytemuck::cast(pairs[lane * (pairs.len() / ROWS) + at]));
                        for (sum, &weights) in sums.iter_mut().zip(&panel) {
                            *sum = $fma(*sum, $first(weights), $first(pair));
                            *sum = $fma(*sum, $second(weights), $second(pair));
                        }
                    }
                }
                for (sums, block) in sums.iter_mut().zip(block) {
                    for (sums, vector) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(block) {
                        // SAFETY: `LANES` floats; no alignment is needed.
                        unsafe { $store(sums.as_mut_ptr(), vector) }
                    }
                }
            }

            /// Keeps all sums of a block in registers.
            #[target_feature(enable = $features)]
            fn block(rows: &[&[f32]; FLOAT_ROWS_MAX], panel: &[f32], sums: &mut Sums) {
                const ROWS: usize = <$token>::FLOAT_ROWS;
                const LANES: usize = size_of::<$vector>() / size_of::<f32>();
                let mut block = [[$zeros; PANEL / LANES]; ROWS];
                let panel = panel.as_chunks::<PANEL>().0;
                let rows: [&[f32]; ROWS] = core::array::from_fn(|lane| &rows[lane][..panel.len()]);
                for (k, panel) in panel.iter().enumerate() {
                    let panel: [$vector; PANEL / LANES] = core::array::from_fn(|at| {
                        // SAFETY: `LANES` floats, all of them in the panel; no alignment is needed.
                        unsafe { $load(panel[at * LANES..][..LANES].as_ptr()) }
                    });
                    for (sums, row) in block.iter_mut().zip(rows) {
                        // SAFETY: each row has as many elements as the panel has rows.
                        let value = unsafe { *row.get_unchecked(k) };
                        for (sum, &weights) in sums.iter_mut().zip(&panel) {
                            *sum = $add_product(*sum, weights, value);
                        }
                    }
                }
                for (sums, block) in sums.iter_mut().zip(block) {
                    for (sums, vector) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(block) {
                        // SAFETY: `LANES` floats; no alignment is needed.
                        unsafe { $store(sums.as_mut_ptr(), vector) }
                    }
                }
            }
        };
    };
}
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use vectors;

/// Defines [`Instructions`]: its variants, from the slowest, with their names in reports.
macro_rules! instructions {
    ($($(#[$when:meta])* $name:ident($token:ty) $text:literal $new:path;)*) => {
        /// The instruction set that a bound operation uses.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Instructions(Choice);

        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Choice { $($(#[$when])* $name($token),)* }

        impl Instructions {
            /// Returns the instruction sets of this processor for which there are kernels, from the slowest.
            pub fn available() -> impl Iterator<Item = Self> {
                [$($(#[$when])* $new().map(|token| Self(Choice::$name(token))),)*].into_iter().flatten()
            }

            /// Returns its name in reports and options.
            pub const fn name(self) -> &'static str {
                match self.0 { $($(#[$when])* Choice::$name(_) => $text,)* }
            }

            /// Returns the rows of a block of sums.
            pub(crate) const fn rows(self, arithmetic: Arithmetic) -> usize {
                match self.0 {
                    $(
                        $(#[$when])* Choice::$name(_) => match arithmetic {
                            Arithmetic::Float => <$token as Isa>::FLOAT_ROWS,
                            Arithmetic::Int8 | Arithmetic::DynamicInt8 => <$token as Isa>::ROWS,
                            Arithmetic::Bf16 | Arithmetic::DynamicBf16 => <$token as Isa>::BF16_ROWS,
                        },
                    )*
                }
            }

            /// Returns the multiply-accumulates of a tile of a product.
            pub(crate) const fn tile_macs(self) -> u64 {
                match self.0 { $($(#[$when])* Choice::$name(_) => <$token as Isa>::TILE_MACS,)* }
            }

            /// Returns the bytes of an element of the packed rows of an int8 product.
            pub(crate) const fn packed_bytes(self) -> usize {
                match self.0 { $($(#[$when])* Choice::$name(_) => size_of::<<$token as Isa>::Packed>(),)* }
            }

            /// Does work, compiled for the instruction set.
            #[inline]
            pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
                match self.0 { $($(#[$when])* Choice::$name(isa) => isa.run(work),)* }
            }
        }
    };
}

instructions! {
    Portable(Portable) "portable" Portable::new;
    #[cfg(target_arch = "x86_64")]
    Avx2(x86_64::Avx2) "avx2" x86_64::Avx2::new;
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(x86_64::Avx512) "avx512vnni" x86_64::Avx512::new;
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(x86_64::Avx512) "avx512bf16" x86_64::Avx512::with_bf16;
    #[cfg(target_arch = "x86_64")]
    Amx(amx::Amx) "amx" amx::Amx::new;
    #[cfg(target_arch = "aarch64")]
    Neon(aarch64::Neon) "neon" aarch64::Neon::new;
    #[cfg(target_arch = "aarch64")]
    Dotprod(aarch64::Dotprod) "dotprod" aarch64::Dotprod::new;
    #[cfg(target_arch = "aarch64")]
    I8mm(aarch64::I8mm) "i8mm" aarch64::I8mm::new;
}

impl Instructions {
    /// Returns the portable kernels, the reference for all others.
    pub const fn portable() -> Self {
        Self(Choice::Portable(Portable))
    }

    /// Returns the fastest instruction set of this processor.
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::portable())
    }

    /// Returns the kernels for AMX on a processor without it, for a test that emulates its instructions.
    ///
    /// # Safety
    /// The process emulates the instructions that these kernels use.
    #[cfg(target_arch = "x86_64")]
    #[doc(hidden)]
    pub unsafe fn emulated_amx() -> Option<Self> {
        // SAFETY: guaranteed by the caller.
        unsafe { amx::Amx::emulated() }.map(|token| Self(Choice::Amx(token)))
    }

    /// Returns an instruction set by its name; `None` if this processor lacks it.
    pub fn named(name: &str) -> Option<Self> {
        Self::available().find(|instructions| instructions.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_what_is_available() {
        assert_eq!(Instructions::available().next(), Some(Instructions::portable()));
        for instructions in Instructions::available() {
            assert_eq!(Instructions::named(instructions.name()), Some(instructions));
            assert!((1..=FLOAT_ROWS_MAX).contains(&instructions.rows(Arithmetic::Float)));
            assert!((1..=ROWS_MAX).contains(&instructions.rows(Arithmetic::Int8)));
            assert!((1..=BF16_ROWS_MAX).contains(&instructions.rows(Arithmetic::Bf16)));
        }
        assert_eq!(Instructions::named("abacus"), None);
    }
}
