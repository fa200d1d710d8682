//! Vectors of 32-bit floats in the widest instructions that the machine has, chosen at run time.
//!
//! A kernel is written once, over [`Lanes`], and compiled for each instruction set. [`Path::best`] picks one
//! for the machine; tests run all that it has. Every path adds products in the same order, so that they
//! differ by rounding alone: the plain one rounds each product before it is added.

/// The operations of one instruction set.
pub(crate) trait Lanes: Copy {
    /// A vector register.
    type Vector: Copy;
    /// As many floats in memory.
    type Chunk: Copy;
    /// Floats of a vector.
    const COUNT: usize;
    /// Whether there are 32 registers; 16 otherwise.
    const HAS_MANY_REGISTERS: bool;

    /// The same number in all lanes.
    fn splat(self, value: f32) -> Self::Vector;
    /// The whole chunks that `values` begins with.
    fn chunks(values: &[f32]) -> &[Self::Chunk];
    /// The whole chunks that `values` begins with, to be written.
    fn chunks_mut(values: &mut [f32]) -> &mut [Self::Chunk];
    /// The vector of a chunk, wherever it lies.
    fn load(self, chunk: &Self::Chunk) -> Self::Vector;
    /// Writes a vector into a chunk.
    fn store(self, vector: Self::Vector, chunk: &mut Self::Chunk);
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The sum of all lanes.
    fn sum(self, vector: Self::Vector) -> f32;
}

/// A computation that is compiled for each instruction set.
pub(crate) trait Kernel {
    /// Runs it. Implementations are `#[inline(always)]`, or they are not compiled for the instruction set.
    fn run<L: Lanes>(self, lanes: L);
}

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path {
    /// 16 lanes, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    /// 8 lanes, 16 registers.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// 4 lanes, 32 registers.
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    /// Whatever the compiler makes of loops over 4 floats.
    Plain,
}

impl Path {
    /// The widest that the machine has.
    pub(crate) fn best() -> Self {
        Self::all().next().unwrap_or(Self::Plain)
    }

    /// All that the machine has, the widest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let wide = [
            pulp::x86::V4::try_new().map(Self::Avx512),
            pulp::x86::V3::try_new().map(Self::Avx2),
        ];
        #[cfg(target_arch = "aarch64")]
        let wide = [pulp::aarch64::Neon::try_new().map(Self::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let wide = [None];
        wide.into_iter().flatten().chain([Self::Plain])
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "NEON",
            Self::Plain => "plain",
        }
    }

    /// Floats of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 16,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 8,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => 4,
            Self::Plain => 4,
        }
    }

    /// Rows that a product computes at once.
    pub(crate) fn block(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 8,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 4,
            Self::Plain => 4,
        }
    }

    /// Runs `kernel` with the instructions of this path.
    #[inline]
    pub(crate) fn run(self, kernel: impl Kernel) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => pulp::Simd::vectorize(simd, Compiled(simd, kernel)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => pulp::Simd::vectorize(simd, Compiled(simd, kernel)),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => pulp::Simd::vectorize(simd, Compiled(simd, kernel)),
            Self::Plain => kernel.run(Plain),
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
struct Compiled<L, K>(L, K);

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<L: Lanes, K: Kernel> pulp::WithSimd for Compiled<L, K> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "instructions are chosen for what is inlined here"
    )]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.1.run(self.0);
    }
}

/// [`Lanes`] of an instruction set of pulp's.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! lanes {
    ($simd:ty, $vector:ty, $count:literal, $many:literal) => {
        impl Lanes for $simd {
            type Vector = $vector;
            type Chunk = [f32; $count];
            const COUNT: usize = $count;
            const HAS_MANY_REGISTERS: bool = $many;

            #[inline(always)]
            fn splat(self, value: f32) -> Self::Vector {
                pulp::Simd::splat_f32s(self, value)
            }

            #[inline(always)]
            fn chunks(values: &[f32]) -> &[Self::Chunk] {
                values.as_chunks().0
            }

            #[inline(always)]
            fn chunks_mut(values: &mut [f32]) -> &mut [Self::Chunk] {
                values.as_chunks_mut().0
            }

            #[inline(always)]
            fn load(self, chunk: &Self::Chunk) -> Self::Vector {
                pulp::cast(*chunk)
            }

            #[inline(always)]
            fn store(self, vector: Self::Vector, chunk: &mut Self::Chunk) {
                *chunk = pulp::cast(vector);
            }

            #[inline(always)]
            fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                pulp::Simd::add_f32s(self, a, b)
            }

            #[inline(always)]
            fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
                pulp::Simd::sub_f32s(self, a, b)
            }

            #[inline(always)]
            fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
                pulp::Simd::mul_add_f32s(self, a, b, c)
            }

            #[inline(always)]
            fn sum(self, vector: Self::Vector) -> f32 {
                pulp::Simd::reduce_sum_f32s(self, vector)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
lanes!(pulp::x86::V4, pulp::f32x16, 16, true);
#[cfg(target_arch = "x86_64")]
lanes!(pulp::x86::V3, pulp::f32x8, 8, false);
#[cfg(target_arch = "aarch64")]
lanes!(pulp::aarch64::Neon, pulp::f32x4, 4, true);

/// Loops that every compiler makes something of.
#[derive(Clone, Copy, Debug)]
struct Plain;

#[expect(clippy::inline_always, reason = "a few instructions each")]
impl Lanes for Plain {
    type Vector = [f32; 4];
    type Chunk = [f32; 4];
    const COUNT: usize = 4;
    const HAS_MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn chunks(values: &[f32]) -> &[[f32; 4]] {
        values.as_chunks().0
    }

    #[inline(always)]
    fn chunks_mut(values: &mut [f32]) -> &mut [[f32; 4]] {
        values.as_chunks_mut().0
    }

    #[inline(always)]
    fn load(self, chunk: &[f32; 4]) -> [f32; 4] {
        *chunk
    }

    #[inline(always)]
    fn store(self, vector: [f32; 4], chunk: &mut [f32; 4]) {
        *chunk = vector;
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn sum(self, vector: [f32; 4]) -> f32 {
        vector.iter().sum()
    }
}
