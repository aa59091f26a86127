//! Instruction sets. A token proves that this processor has one: its field is private and [`new`](x86_64::Avx2::new)
//! returns `None` on other processors, so code that holds a token may use the instructions.

#[cfg(target_arch = "aarch64")]
pub mod aarch64;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

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

        /// Returns the names of this processor's instruction sets, by which kernels can be chosen.
        pub fn names() -> impl Iterator<Item = &'static str> {
            [$($name::new().map(|_| stringify!($name)),)*].into_iter().flatten()
        }
    };
}
use tokens;

/// Returns the names of this processor's instruction sets, by which kernels can be chosen.
pub fn names() -> impl Iterator<Item = &'static str> {
    #[cfg(target_arch = "aarch64")]
    return aarch64::names();
    #[cfg(target_arch = "x86_64")]
    return x86_64::names();
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    core::iter::empty()
}
