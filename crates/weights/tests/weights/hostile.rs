//! Whatever the bytes: an answer or an error, never a panic.

use cola_weights::{Weights, read_config, table};
use proptest::prelude::*;
use safetensors::Dtype as D;

use crate::support::{floats, folder, write};

fn good() -> Vec<u8> {
    let folder = folder();
    let tensors = [
        ("block.0.weight", D::F32, &[2, 3][..], floats(&[1.0; 6])),
        ("block.0.bias", D::BF16, &[2], vec![0; 4]),
        ("empty", D::F64, &[0, 7], vec![]),
        ("scalar", D::I64, &[], vec![1; 8]),
    ];
    std::fs::read(write(&folder.path().join("a.safetensors"), &tensors)).expect("just written")
}

/// Opens bytes as a file; what opens must read, list and agree with its own sizes.
fn survive(bytes: &[u8]) {
    let folder = folder();
    let file = folder.path().join("model.safetensors");
    std::fs::write(&file, bytes).expect("a writable folder");
    let Ok(weights) = Weights::open(folder.path()) else { return };
    for stored in weights.tensors() {
        assert!(stored.bytes <= bytes.len() as u64);
        if let Ok(tensor) = weights.read(stored.name) {
            assert_eq!(tensor.dims(), stored.shape);
            assert_eq!(tensor.elem_count() * tensor.dtype().size_in_bytes(), stored.bytes as usize);
        }
    }
    assert_eq!(table(&weights).tensors.len(), weights.tensors().len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_that_were_changed(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = good();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        survive(&bytes);
    }

    #[test]
    fn digits_that_were_changed(changes in prop::collection::vec((any::<prop::sample::Index>(), b'0'..=b'9'), 1..8)) {
        // Stays JSON, so that the checks behind the parser are reached.
        let mut bytes = good();
        let digits: Vec<usize> = (8..bytes.len()).filter(|&place| bytes[place].is_ascii_digit()).collect();
        for (place, digit) in changes {
            bytes[digits[place.index(digits.len())]] = digit;
        }
        survive(&bytes);
    }

    #[test]
    fn sides_and_offsets_of_any_size(
        shape in prop::collection::vec(prop_oneof![0..4u64, Just(1 << 32), Just(u64::MAX), any::<u64>()], 0..5),
        from in prop_oneof![0..4u64, any::<u64>()],
        to in prop_oneof![0..40u64, any::<u64>()],
        data in 0..40usize,
    ) {
        let header = format!(r#"{{"x":{{"dtype":"F16","shape":{shape:?},"data_offsets":[{from},{to}]}}}}"#);
        survive(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat());
    }

    #[test]
    fn files_that_were_cut(length in any::<prop::sample::Index>()) {
        let bytes = good();
        let length = length.index(bytes.len());
        let folder = folder();
        let file = folder.path().join("model.safetensors");
        std::fs::write(&file, &bytes[..length]).expect("a writable folder");
        prop_assert!(Weights::open(&file).is_err());
    }

    #[test]
    fn bytes_of_any_kind(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&bytes);
    }

    #[test]
    fn an_index_of_any_kind(text in r#"\{"weight_map": ?\{("[a./\\]{1,3}": ?"[a./\\]{0,6}(\.safetensors)?",?){0,3}\}\}"#) {
        let folder = folder();
        std::fs::write(folder.path().join("model.safetensors.index.json"), &text).expect("a writable folder");
        prop_assert!(Weights::open(folder.path()).is_err());
    }

    #[test]
    fn a_configuration_of_any_kind(text in r#"[\[\]{}":,a0-9e. ]{0,40}"#) {
        let folder = folder();
        std::fs::write(folder.path().join("config.json"), &text).expect("a writable folder");
        let _ = read_config::<serde_json::Value>(folder.path());
    }
}

#[test]
fn a_file_that_is_cut_while_open_is_an_error() {
    let folder = folder();
    let file = folder.path().join("model.safetensors");
    std::fs::write(&file, good()).expect("a writable folder");
    let weights = Weights::open(&file).expect("a good file");
    let half = std::fs::OpenOptions::new().write(true).open(&file).expect("the file");
    half.set_len(100).expect("a shorter file");
    let text = weights.read("block.0.weight").expect_err("half a file").to_string();
    assert!(text.contains("model.safetensors: reading failed"), "{text}");
}

#[test]
fn a_file_put_in_its_place_is_not_mistaken_for_it() {
    let folder = folder();
    let file = write(&folder.path().join("m.safetensors"), &[("x", D::F32, &[1], floats(&[1.0]))]);
    let weights = Weights::open(&file).expect("a good file");
    let other = write(&folder.path().join("o.safetensors"), &[("x", D::F32, &[1], floats(&[2.0]))]);
    std::fs::rename(other, &file).expect("a writable folder");
    let values = weights.read("x").and_then(|x| Ok(x.to_vec1::<f32>()?)).expect("the file that was opened");
    assert_eq!(values, [1.0]);
}
