//! Instruction sets for integers, chosen at run time.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::wide::Wide;

/// An instruction set that this machine has.
#[derive(Debug, Clone, Copy)]
pub enum Isa {
    /// Whatever the compiler's target has.
    Portable,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// AVX-512 with VNNI and VPOPCNTDQ.
    #[cfg(target_arch = "x86_64")]
    Avx512(Wide),
}

impl Isa {
    /// All that this machine has, the widest last.
    pub fn available() -> Vec<Isa> {
        let mut all = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(pulp::x86::V3::try_new().map(Isa::Avx2));
            all.extend(Wide::try_new().map(Isa::Avx512));
        }
        all
    }

    /// The widest that this machine has.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::available().pop().unwrap_or(Isa::Portable))
    }

    /// The word for it in rows and messages.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512-vnni",
        }
    }
}
