//! Element-wise functions: of one input (also activations of a product), two or three.

use crate::codes;

codes! {
    /// Functions of one input `a`; `p` and `q` are the two parameters of [`Unary`].
    pub enum UnaryFunction {
        /// `a`.
        Copy = 0 "copy",
        /// `-a`.
        Neg = 32 "neg",
        /// `|a|`.
        Abs = 33 "abs",
        /// `e^a`.
        Exp = 34 "exp",
        /// Natural logarithm.
        Ln = 35 "ln",
        /// Square root.
        Sqrt = 36 "sqrt",
        /// `1 / sqrt(a)`.
        Rsqrt = 37 "rsqrt",
        /// `1 / a`.
        Recip = 38 "recip",
        /// `a * a`.
        Square = 39 "square",
        /// Sine.
        Sin = 40 "sin",
        /// Cosine.
        Cos = 41 "cos",
        /// Hyperbolic tangent.
        Tanh = 42 "tanh",
        /// `1 / (1 + e^-a)`.
        Sigmoid = 43 "sigmoid",
        /// Gauss error function.
        Erf = 44 "erf",
        /// `a * (1 + erf(a / sqrt 2)) / 2`.
        Gelu = 45 "gelu",
        /// GELU by its tanh approximation.
        GeluTanh = 46 "gelu_tanh",
        /// `a * sigmoid(a)`.
        Silu = 47 "silu",
        /// `max(a, 0)`.
        Relu = 48 "relu",
        /// 1 where `a` is 0, else 0.
        Not = 49 "not",
        /// Largest whole number not above.
        Floor = 50 "floor",
        /// Smallest whole number not below.
        Ceil = 51 "ceil",
        /// Nearest whole number, ties to even.
        Round = 52 "round",
        /// `min(max(a, p), q)`.
        Clamp = 53 "clamp",
        /// `a * min(max(a / 6 + 1 / 2, 0), 1)`.
        HardSwish = 54 "hard_swish",
        /// `a` where positive, else `p * a`.
        LeakyRelu = 55 "leaky_relu",
        /// -1, 0 or 1.
        Sign = 56 "sign",
    }
}

codes! {
    /// Functions of two inputs `a` and `b`.
    pub enum BinaryFunction {
        /// `a + b`.
        Add = 1 "add",
        /// `a - b`.
        Sub = 2 "sub",
        /// `a * b`.
        Mul = 3 "mul",
        /// `a / b`.
        Div = 4 "div",
        /// The larger.
        Max = 5 "max",
        /// The smaller.
        Min = 6 "min",
        /// `a` to the power `b`.
        Pow = 7 "pow",
        /// 1 where equal, else 0.
        Equal = 8 "equal",
        /// 1 where `a < b`, else 0.
        Less = 9 "less",
        /// 1 where `a <= b`, else 0.
        LessEqual = 10 "less_equal",
        /// 1 where both are not 0, else 0.
        And = 12 "and",
        /// 1 where either is not 0, else 0.
        Or = 13 "or",
    }
}

codes! {
    /// Functions of three inputs `a`, `b` and `c`.
    pub enum TernaryFunction {
        /// `b` where `a` is not 0, else `c`.
        Select = 11 "select",
        /// `a * b + c`.
        MulAdd = 14 "mul_add",
    }
}

/// A function of one input with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unary {
    /// The function.
    pub function: UnaryFunction,
    /// First parameter; 0 if unused.
    pub p: f32,
    /// Second parameter; 0 if unused.
    pub q: f32,
}

impl Unary {
    /// The identity: no activation.
    pub const COPY: Self = Self::plain(UnaryFunction::Copy);

    /// Creates a function without parameters.
    pub const fn plain(function: UnaryFunction) -> Self {
        Self { function, p: 0.0, q: 0.0 }
    }

    /// Creates `min(max(a, low), high)`.
    pub const fn clamp(low: f32, high: f32) -> Self {
        Self { function: UnaryFunction::Clamp, p: low, q: high }
    }

    /// Returns whether it is the identity.
    pub fn is_copy(self) -> bool {
        self.function == UnaryFunction::Copy
    }

    pub(crate) fn decode(code: u32, floats: [f32; 2]) -> Option<Self> {
        UnaryFunction::from_code(code).map(|function| Self { function, p: floats[0], q: floats[1] })
    }

    pub(crate) fn floats(self) -> [f32; 2] {
        [self.p, self.q]
    }

    /// Returns the approximate cost of one element, in elementary operations such as an addition.
    pub(crate) fn work(self) -> u64 {
        use UnaryFunction as F;
        match self.function {
            F::Exp
            | F::Ln
            | F::Sin
            | F::Cos
            | F::Tanh
            | F::Sigmoid
            | F::Erf
            | F::Gelu
            | F::GeluTanh
            | F::Silu => 8,
            _ => 1,
        }
    }
}

/// An element-wise function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// Of one input.
    Unary(Unary),
    /// Of two inputs.
    Binary(BinaryFunction),
    /// Of three inputs.
    Ternary(TernaryFunction),
}

impl Function {
    /// Returns the number of inputs.
    pub const fn inputs(self) -> usize {
        match self {
            Self::Unary(_) => 1,
            Self::Binary(_) => 2,
            Self::Ternary(_) => 3,
        }
    }

    /// Returns its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unary(unary) => unary.function.name(),
            Self::Binary(function) => function.name(),
            Self::Ternary(function) => function.name(),
        }
    }

    pub(crate) fn decode(code: u32, floats: [f32; 2]) -> Option<Self> {
        Unary::decode(code, floats)
            .map(Self::Unary)
            .or_else(|| BinaryFunction::from_code(code).map(Self::Binary))
            .or_else(|| TernaryFunction::from_code(code).map(Self::Ternary))
    }

    pub(crate) fn encode(self) -> (u32, [f32; 2]) {
        match self {
            Self::Unary(unary) => (unary.function as u32, unary.floats()),
            Self::Binary(function) => (function as u32, [0.0; 2]),
            Self::Ternary(function) => (function as u32, [0.0; 2]),
        }
    }

    /// Returns the approximate cost of one element, in elementary operations.
    pub(crate) fn work(self) -> u64 {
        match self {
            Self::Unary(unary) => unary.work(),
            Self::Binary(BinaryFunction::Pow) => 8,
            Self::Binary(_) | Self::Ternary(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_names_one_function() {
        for code in 0..100 {
            let known = [
                UnaryFunction::from_code(code).is_some(),
                BinaryFunction::from_code(code).is_some(),
                TernaryFunction::from_code(code).is_some(),
            ];
            assert!(known.iter().filter(|known| **known).count() <= 1, "code {code}");
            if let Some(function) = Function::decode(code, [0.5, 2.0]) {
                assert_eq!(function.encode().0, code);
            }
        }
    }
}
