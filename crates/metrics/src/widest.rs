//! Loops with the widest vectors of the machine.

use pulp::WithSimd;

/// Runs with AVX-512 where there is one, otherwise with the widest that the machine has. The operations
/// here keep their sums apart by column or lane, so the width does not show in results.
#[inline(always)]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return pulp::Simd::vectorize(simd, op);
    }
    pulp::Arch::new().dispatch(op)
}
