//! The instruction set that the kernels use here, by name.

/// The instruction set that the kernels of the CPU use on this machine: `AVX-512`, `AVX2`, `NEON` or `plain`;
/// `none` where this build has no kernels for the CPU (feature `flex`).
///
/// ```
/// assert!(!kd_kernels::instruction_set().is_empty());
/// ```
pub fn instruction_set() -> &'static str {
    #[cfg(feature = "flex")]
    return crate::simd::Path::best().name();
    #[cfg(not(feature = "flex"))]
    "none"
}
