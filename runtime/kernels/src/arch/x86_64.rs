//! x86-64.

super::tokens! { is_x86_feature_detected:
    /// 256-bit integers and floats with fused multiply-add.
    Avx2 = "avx2", "fma";
    /// 512-bit vectors with dot products of bytes.
    Avx512Vnni = "avx512f", "avx512bw", "avx512vl", "avx512vnni";
}
