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

    /// The widest that this machine has, or AVX2 at most where the process is held to it
    /// ([`crate::cap`]).
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        // A wish that cannot be fulfilled is refused when the runtime is loaded.
        *BEST.get_or_init(|| Isa::widest(crate::cap::asked().unwrap_or(false)))
    }

    fn widest(held: bool) -> Isa {
        let fits = |isa: &Isa| !held || !isa.is_beyond_avx2();
        Isa::available().into_iter().rev().find(fits).unwrap_or(Isa::Portable)
    }

    fn is_beyond_avx2(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => true,
            _ => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_process_gets_avx2_at_most() {
        let all: Vec<&str> = Isa::available().into_iter().map(Isa::name).collect();
        assert_eq!(Isa::widest(false).name(), all[all.len() - 1]);
        let expected = if all.contains(&"avx2") { "avx2" } else { "portable" };
        assert_eq!(Isa::widest(true).name(), expected);
    }
}
