//! What is found, and what is refused.

use std::fs;

use candle_core::DType;
use cola_weights::{Dtype, Error, Weights};
use safetensors::Dtype as D;

use crate::support::{floats, folder, raw, write};

fn refusal(path: &std::path::Path) -> String {
    match Weights::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_dtype_of_candle_is_read_to_the_last_bit() -> Result<(), Box<dyn std::error::Error>> {
    let folder = folder();
    let file = write(
        &folder.path().join("a.safetensors"),
        &[
            ("bool", D::BOOL, &[2], vec![0, 1]),
            ("u8", D::U8, &[2], vec![7, 255]),
            ("u32", D::U32, &[1], 4_000_000_000u32.to_le_bytes().to_vec()),
            ("i16", D::I16, &[1], (-5i16).to_le_bytes().to_vec()),
            ("i32", D::I32, &[1], (-5i32).to_le_bytes().to_vec()),
            ("i64", D::I64, &[], i64::MIN.to_le_bytes().to_vec()),
            ("f16", D::F16, &[1], vec![0x00, 0x3c]),
            ("bf16", D::BF16, &[1], vec![0x80, 0x3f]),
            ("f32", D::F32, &[2, 2], floats(&[1.0, -0.0, 3.5, 4.0])),
            ("f64", D::F64, &[1], 0.1f64.to_le_bytes().to_vec()),
            ("none", D::F32, &[0, 3], vec![]),
        ],
    );
    let weights = Weights::open(file)?;
    assert_eq!(weights.tensors().len(), 11);
    assert_eq!(weights.read("bool")?.to_vec1::<u8>()?, [0, 1]);
    assert_eq!(weights.read("u8")?.to_vec1::<u8>()?, [7, 255]);
    assert_eq!(weights.read("u32")?.to_vec1::<u32>()?, [4_000_000_000]);
    assert_eq!(weights.read("i16")?.to_vec1::<i16>()?, [-5]);
    assert_eq!(weights.read("i32")?.to_vec1::<i32>()?, [-5]);
    assert_eq!(weights.read("i64")?.to_scalar::<i64>()?, i64::MIN);
    for name in ["f16", "bf16"] {
        assert_eq!(weights.read(name)?.to_dtype(DType::F32)?.to_vec1::<f32>()?, [1.0], "{name}");
    }
    let values = weights.read("f32")?.to_vec2::<f32>()?;
    assert_eq!(values.concat().map_bits(), [1.0f32, -0.0, 3.5, 4.0].map(f32::to_bits));
    assert_eq!(weights.read("f64")?.to_vec1::<f64>()?, [0.1]);
    assert_eq!(weights.read("none")?.dims(), [0, 3]);
    let stored = weights.get("f32").expect("a tensor");
    assert_eq!(
        (stored.dtype, stored.shape, stored.bytes, stored.parameters()),
        (Dtype::F32, &[2, 2][..], 16, 4)
    );
    Ok(())
}

trait Bits {
    fn map_bits(&self) -> Vec<u32>;
}

impl Bits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|value| value.to_bits()).collect()
    }
}

#[test]
fn a_dtype_that_candle_lacks_is_listed_but_not_read() {
    let folder = folder();
    let file = write(&folder.path().join("a.safetensors"), &[("x", D::U64, &[1], vec![0; 8])]);
    let weights = Weights::open(&file).expect("a valid file");
    assert_eq!(weights.get("x").expect("listed").dtype, Dtype::U64);
    let text = weights.read("x").expect_err("no dtype of candle").to_string();
    assert!(text.contains("a.safetensors: tensor `x` is U64 [1], expected BOOL, U8"), "{text}");
}

#[test]
fn a_folder_is_its_usual_file_or_its_only_one() {
    let folder = folder();
    let x = |name: &str, value: f32| {
        write(&folder.path().join(name), &[("x", D::F32, &[1], floats(&[value]))]);
    };
    let opened = || {
        let weights = Weights::open(folder.path())?;
        Ok::<f32, Error>(weights.read("x")?.to_vec1::<f32>()?[0])
    };
    assert!(refusal(folder.path()).contains("found no weights, expected model.safetensors"));
    fs::write(folder.path().join("pytorch_model.bin"), b"PK").expect("a writable folder");
    let text = refusal(folder.path());
    assert!(
        text.contains("pytorch_model.bin: found a PyTorch pickle")
            && text.contains("torch.load('pytorch_model.bin'")
    );
    x("diffusion_pytorch_model.safetensors", 1.0);
    assert_eq!(opened().expect("the only one"), 1.0);
    x("other.safetensors", 2.0);
    let text = refusal(folder.path());
    assert!(
        text.contains("2 of *.safetensors (diffusion_pytorch_model.safetensors, other.safetensors"),
        "{text}"
    );
    x("model.safetensors", 3.0);
    assert_eq!(opened().expect("the usual one"), 3.0);
}

#[test]
fn a_pickle_is_refused_before_it_is_read() {
    let folder = folder();
    for name in ["a.bin", "a.pt", "a.pth", "a.ckpt", "A.PKL"] {
        let file = folder.path().join(name);
        fs::write(&file, b"anything").expect("a writable folder");
        assert!(matches!(Weights::open(&file), Err(Error::Pickle { .. })), "{name}");
    }
}

#[test]
fn nothing_there_is_said_with_the_path() {
    let text = refusal(std::path::Path::new("no/such/file.safetensors"));
    assert!(text.starts_with("no/such/file.safetensors: opening failed"), "{text}");
}

/// Two shards and an index with this `weight_map`.
fn shards(map: &str) -> tempfile::TempDir {
    let folder = folder();
    write(&folder.path().join("s1.safetensors"), &[("a", D::F32, &[1], floats(&[1.0]))]);
    write(
        &folder.path().join("s2.safetensors"),
        &[("b", D::F32, &[1], floats(&[2.0])), ("c", D::F32, &[1], floats(&[3.0]))],
    );
    let index = format!(r#"{{"metadata": {{"total_size": 12}}, "weight_map": {map}}}"#);
    fs::write(folder.path().join("model.safetensors.index.json"), index).expect("a writable folder");
    folder
}

#[test]
fn shards_are_one_checkpoint() -> Result<(), Error> {
    let folder = shards(r#"{"a": "s1.safetensors", "b": "s2.safetensors", "c": "s2.safetensors"}"#);
    for path in [folder.path().to_path_buf(), folder.path().join("model.safetensors.index.json")] {
        let weights = Weights::open(path)?;
        let names: Vec<_> =
            weights.tensors().map(|stored| (stored.name, stored.file.to_path_buf())).collect();
        let (s1, s2) = (folder.path().join("s1.safetensors"), folder.path().join("s2.safetensors"));
        assert_eq!(names, [("a", s1), ("b", s2.clone()), ("c", s2)]);
        assert_eq!(weights.read("c")?.to_vec1::<f32>()?, [3.0]);
    }
    Ok(())
}

#[test]
fn an_index_that_does_not_describe_its_shards_is_refused() {
    for (map, expected) in [
        (r#"{"a": "s1.safetensors"}"#, None),
        (r#"{"a": "gone.safetensors"}"#, Some("the shard gone.safetensors is not beside it")),
        (r#"{"a": "s2.safetensors"}"#, Some("`a` is not in s2.safetensors")),
        (r#"{"b": "s2.safetensors"}"#, Some("s2.safetensors also holds `c`")),
        (r#"{"a": "s1.safetensors", "a": "s2.safetensors"}"#, Some("`a` twice, first in \"s1.safetensors\"")),
        (r#"{"a": "../s1.safetensors"}"#, Some("expected the plain name")),
        (r#"{"a": "/etc/x.safetensors"}"#, Some("expected the plain name")),
        (r#"{"a": "..\\s1.safetensors"}"#, Some("expected the plain name")),
        (r#"{"a": "s1.bin"}"#, Some("expected the plain name")),
        (r#"{}"#, Some("field `weight_map` is empty")),
        (r#"{"a": 3}"#, Some("invalid type: integer `3`, expected a string")),
        (r#"[]"#, Some("expected an object from tensor names to file names")),
    ] {
        let folder = shards(map);
        match (Weights::open(folder.path()), expected) {
            (Ok(_), None) => {}
            (Err(error @ Error::Index { .. }), Some(expected)) => {
                let text = error.to_string();
                assert!(
                    text.contains(expected) && text.contains("model.safetensors.index.json"),
                    "{map}: {text}"
                );
            }
            (found, _) => panic!("{map}: {:?}", found.map(drop)),
        }
    }
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let folder = shards(r#"{"a": "s1.safetensors", "b": "s2.safetensors", "c": "s2.safetensors"}"#);
    let both = [
        ("a", D::F32, &[1][..], floats(&[9.0])),
        ("b", D::F32, &[1], floats(&[2.0])),
        ("c", D::F32, &[1], floats(&[2.0])),
    ];
    write(&folder.path().join("s2.safetensors"), &both);
    assert!(refusal(folder.path()).contains("s2.safetensors also holds `a`"));
}

#[test]
fn a_header_that_lies_is_refused_with_the_tensor_and_what_was_expected() {
    let entry = |name: &str, shape: &str, offsets: &str| {
        format!(r#""{name}": {{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}"#)
    };
    let one = |shape, offsets| format!("{{{}}}", entry("x", shape, offsets));
    let two = |first, second| format!("{{{}, {}}}", entry("x", "[1]", first), entry("y", "[1]", second));
    for (header, data, expected) in [
        (one("[2]", "[0, 8]"), 4, "tensor `x` is at bytes 0..8, expected a place within the 4 bytes"),
        (one("[2]", "[8, 0]"), 8, "tensor `x` is at bytes 8..0"),
        (one("[3]", "[0, 8]"), 8, "tensor `x` is F32 [3] in 8 bytes"),
        (
            one("[4294967296, 4294967296]", "[0, 0]"),
            0,
            "tensor `x` is F32 [4294967296, 4294967296] in 0 bytes",
        ),
        (one("[0, 4294967296, 4294967296]", "[0, 0]"), 0, "expected as many bytes as dtype and shape make"),
        (one("[1]", "[0, 4]"), 8, "the last and ends at byte 4, expected the file's end, 8 bytes"),
        (one("[1]", "[4, 8]"), 8, "tensor `x` is at bytes 4..8, expected byte 0, where the header ends"),
        (
            two("[0, 4]", "[2, 6]"),
            6,
            "tensor `y` is at bytes 2..6, expected byte 4, where x ends: tensors neither overlap",
        ),
        (two("[0, 4]", "[8, 12]"), 12, "tensor `y` is at bytes 8..12, expected byte 4"),
        (format!("{{{0}, {0}}}", entry("x", "[1]", "[0, 4]")), 4, "two tensors named `x`"),
        (one("[1]", "[0, -4]"), 4, "invalid value"),
        ("{} {}".to_string(), 0, "trailing characters"),
        ("[".repeat(100_000), 0, "the header is"),
        (String::new(), 0, "EOF while parsing"),
    ] {
        let folder = folder();
        let text = refusal(&raw(&folder, &header, &vec![0; data]));
        assert!(text.contains(expected) && text.contains("raw.safetensors: "), "{text}");
    }
}

#[test]
fn a_header_longer_than_its_file_is_refused_before_room_is_made_for_it() {
    let folder = folder();
    let file = folder.path().join("a.safetensors");
    for length in [9u64, 100_000_001, u64::MAX, 1 << 40] {
        fs::write(&file, [&length.to_le_bytes()[..], b"{}      "].concat()).expect("a writable folder");
        let text = refusal(&file);
        assert!(
            text.contains(&format!("the header's length is {length} bytes, expected at most 8")),
            "{text}"
        );
    }
    fs::write(&file, [0; 7]).expect("a writable folder");
    assert!(refusal(&file).contains("the file is 7 bytes long, expected at least 8 bytes"));
}
