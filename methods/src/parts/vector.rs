//! Loops compiled for the vector instructions of the processor at hand.

/// Calls `body` compiled for the widest vector instructions that the processor has.
///
/// Only what is inlined into `body` gains: mark it, and what it calls, `#[inline(always)]`.
#[inline]
pub(crate) fn vectorised<T>(body: impl FnOnce() -> T) -> T {
    // Finding out what the processor has takes a load from memory.
    pulp::Arch::new().dispatch(body)
}
