//! AArch64.

super::tokens! { is_aarch64_feature_detected:
    /// 128-bit vectors; present on every board.
    Neon = "neon";
    /// Dot products of bytes.
    DotProduct = "dotprod";
    /// Matrix products of bytes.
    I8Matrix = "i8mm";
}
