//! Pickles are known by their first bytes, and never opened: a pickle is a program.

/// How PyTorch's files begin: a zip archive with a pickle inside, or, before version 1.6, the pickle itself.
const ZIP: &[u8] = b"PK\x03\x04";
/// The opcode that names a pickle's protocol, and the protocols that have it.
const PROTOCOL: u8 = 0x80;
const PROTOCOLS: std::ops::RangeInclusive<u8> = 2..=5;

/// Whether a file with these first bytes, nine or more where it has them, is a pickle or a zip archive, which is how
/// PyTorch stores one.
///
/// A safetensors file begins with the length of its header, whose first bytes can be the same; but then comes a brace,
/// which neither of the others has there.
///
/// ```
/// use cola_nn::is_pickle;
///
/// assert!(is_pickle(b"PK\x03\x04\x00\x00\x08\x08\x00"));
/// assert!(is_pickle(b"\x80\x02}q\x00X\x01\x00\x00"));
/// assert!(!is_pickle(b"\x80\x02\x00\x00\x00\x00\x00\x00{")); // a header of 640 bytes
/// ```
pub fn is_pickle(start: &[u8]) -> bool {
    let magic = match start {
        [PROTOCOL, protocol, ..] => PROTOCOLS.contains(protocol),
        _ => start.starts_with(ZIP),
    };
    // Lengths of headers that begin so have nothing but zeros in their upper half.
    let header = start.get(4..9) == Some(&[0, 0, 0, 0, b'{']);
    magic && !header
}
