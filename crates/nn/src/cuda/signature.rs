//! What parameters a kernel takes, read from its PTX: every launch is checked against it.

use std::collections::HashMap;
use std::sync::OnceLock;

/// One file of kernels. The device keeps modules by name, those of other crates as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) ptx: &'static str,
}

macro_rules! modules {
    ($($constant:ident = $name:literal),* $(,)?) => {
        $(pub(super) const $constant: Module =
            Module { name: concat!("cola-nn/", $name), ptx: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")) };)*

        const ALL: &[Module] = &[$($constant),*];
    };
}

modules! {
    ACTIVATION = "activation",
    ADAMW = "adamw",
    HEADS_LONG = "heads_long",
    HEADS_LONG_BACK = "heads_long_back",
    HEADS_ROWS = "heads_rows",
    HEADS_SHORT = "heads_short",
    LINEAR = "linear",
    MODULATE = "modulate",
    NEAREST = "nearest",
    NORMALISE = "normalise",
}

/// Of one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A pointer or a 64-bit number.
    Long,
    Word,
    /// A structure of so many 32-bit words.
    Words(usize),
}

/// The parameters of a kernel.
pub(super) fn of(kernel: &str) -> Option<&'static [Kind]> {
    static SIGNATURES: OnceLock<HashMap<&str, Vec<Kind>>> = OnceLock::new();
    let all = SIGNATURES.get_or_init(|| ALL.iter().flat_map(|module| entries(module.ptx)).collect());
    all.get(kernel).map(Vec::as_slice)
}

/// `.entry name( .param .u64 a, .param .align 4 .b8 b[12] )`, over several lines.
fn entries(ptx: &'static str) -> impl Iterator<Item = (&'static str, Vec<Kind>)> {
    ptx.split(".entry ").skip(1).filter_map(|text| {
        let (name, rest) = text.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        let kinds = parameters.split(".param").skip(1).map(kind).collect::<Option<_>>()?;
        Some((name.trim(), kinds))
    })
}

fn kind(parameter: &str) -> Option<Kind> {
    let parameter = parameter.trim().trim_end_matches(',');
    match parameter.split_whitespace().next()? {
        ".u64" | ".b64" | ".s64" => Some(Kind::Long),
        ".u32" | ".b32" | ".s32" | ".f32" => Some(Kind::Word),
        ".align" => {
            let bytes: usize = parameter.rsplit_once('[')?.1.trim_end_matches(']').parse().ok()?;
            Some(Kind::Words(bytes / 4))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, Kind, entries, of};

    #[test]
    fn every_entry_is_understood() {
        for module in ALL {
            assert_eq!(module.ptx.matches(".entry ").count(), entries(module.ptx).count(), "{}", module.name);
        }
    }

    #[test]
    fn parameters_are_those_of_the_source() {
        let long = Kind::Long;
        assert_eq!(of("gelu_forward_f32"), Some([long; 3].as_slice()));
        let words = [Kind::Words(3), Kind::Words(5), Kind::Words(4)];
        assert_eq!(of("normalise_backward_bf16_f32"), Some([&[long; 6][..], &words].concat().as_slice()));
        assert_eq!(of("heads_deltas_bf16"), Some([long, long, long, Kind::Words(24)].as_slice()));
        assert_eq!(of("gelu_forward_f16"), None);
    }
}
