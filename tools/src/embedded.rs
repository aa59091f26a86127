//! The model that is embedded in the tool, so that the demo needs no file.

/// Aligns bytes so that records can be used in place.
#[repr(C, align(4096))]
struct Page<B: ?Sized>(B);

static MODEL: &Page<[u8]> = &Page(*include_bytes!("../../models/sonosamlite.sono"));

/// Name of the embedded model.
pub const NAME: &str = "sonosamlite";

/// The embedded model file, aligned to a page.
pub fn model() -> &'static [u8] {
    &MODEL.0
}
