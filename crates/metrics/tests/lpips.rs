//! What LPIPS opens, what it refuses, and what anyone can check of its values.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use cola_metrics::{Error, Lpips, LpipsConfig, Network, UnitNorm, Video};
use cola_nn::Params;
use cola_weights::{Hub, HubSettings};

const SQUEEZE: LpipsConfig = LpipsConfig { network: Network::Squeeze, spatial: false, norm: UnitNorm::Lpips };

fn noise(shape: [usize; 4], seed: u64) -> Video {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    Video::from_u8(shape, (0..shape.iter().product()).map(next).collect()).expect("a video")
}

fn random(network: Network) -> HashMap<String, Tensor> {
    let params = Params::seeded(5, DType::F32, &Device::Cpu);
    let config = LpipsConfig { network, ..LpipsConfig::default() };
    Lpips::new(&config, params.frozen()).expect("random features");
    params.tensors()
}

fn of(network: Network) -> Lpips {
    let config = LpipsConfig { network, ..LpipsConfig::default() };
    Lpips::new(&config, VarBuilder::from_tensors(random(network), DType::F32, &Device::Cpu))
        .expect("a network")
}

fn save(tensors: &HashMap<String, Tensor>, file: &Path) {
    candle_core::safetensors::save(tensors, file).expect("a folder that can be written");
}

#[test]
fn the_heads_are_the_published_ones_and_none_is_below_zero() {
    let sums: [&[f64]; 3] = [
        &[2.349532, 16.143028, 39.268440, 27.197177, 20.317177],
        &[6.925992, 8.858335, 17.515005, 51.521324, 47.034851],
        &[5.690101, 1.185279, 16.326565, 71.012627, 37.370724, 24.262873, 17.590553],
    ];
    for (network, sums) in Network::ALL.into_iter().zip(sums) {
        let heads = network.heads().expect("compiled in");
        assert_eq!(heads.len(), sums.len());
        assert!(heads.iter().map(Vec::len).eq(network.channels().iter().copied()));
        for (head, expected) in heads.iter().zip(sums) {
            let sum: f64 = head.iter().map(|weight| f64::from(*weight)).sum();
            assert!((sum - expected).abs() < 1e-5, "{network:?}: {sum}, expected {expected}");
            assert!(head.iter().all(|weight| *weight >= 0.0), "{network:?}");
        }
    }
}

#[test]
fn equal_videos_are_at_zero_and_the_order_of_two_does_not_matter() {
    for network in Network::ALL {
        let lpips = of(network);
        let (a, b) = (noise([2, 3, 33, 35], 1), noise([2, 3, 33, 35], 2));
        assert_eq!(lpips.frames(&a, &a).expect("equal"), [0.0, 0.0]);
        let (there, back) = (lpips.frames(&a, &b).expect("there"), lpips.frames(&b, &a).expect("back"));
        for (there, back) in there.iter().zip(&back) {
            assert!(*there > 0.0 && (there - back).abs() < 1e-12, "{network:?}: {there} {back}");
        }
        let layers = lpips.layers(&a, &b).expect("layers");
        assert!(layers.iter().all(|taps| taps.len() == network.channels().len()));
        assert!(layers.iter().map(|taps| taps.iter().sum::<f64>()).eq(there));
    }
}

#[test]
fn the_smallest_side_is_the_smallest_that_works() {
    for network in Network::ALL {
        let (lpips, least) = (of(network), network.least_side());
        let video = |height, width| noise([1, 3, height, width], 3);
        let smallest = video(least, least);
        assert_eq!(lpips.frames(&smallest, &smallest).expect("just large enough"), [0.0]);
        for (found, what, small) in
            [(least - 1, "height", video(least - 1, 64)), (least - 1, "width", video(64, least - 1))]
        {
            match lpips.frames(&small, &small) {
                Err(Error::TooSmall { metric: "LPIPS", what: side, found: size, least: needed, .. }) => {
                    assert_eq!((side, size, needed), (what, found, least));
                }
                other => panic!("{network:?}: {other:?}"),
            }
            assert!(matches!(lpips.taps(&small), Err(Error::TooSmall { .. })));
        }
    }
}

#[test]
fn videos_that_cannot_be_compared_are_refused() {
    let lpips = of(Network::Squeeze);
    let video = noise([2, 3, 20, 20], 1);
    for other in [[3, 3, 20, 20], [2, 3, 20, 21], [2, 1, 20, 20]] {
        let error = lpips.frames(&video, &noise(other, 1)).expect_err("other shapes");
        assert!(matches!(error, Error::Shapes { first: [2, 3, 20, 20], second, .. } if second == other));
    }
    let gray = noise([2, 1, 20, 20], 1);
    let text = lpips.frames(&gray, &gray).expect_err("gray").to_string();
    assert!(text.contains("1 channels") && text.contains("repeat the channel"), "{text}");
}

#[test]
fn grey_levels_and_their_fractions_are_the_same_pictures() {
    let lpips = of(Network::Squeeze);
    let (a, b) = (noise([1, 3, 20, 20], 1), noise([1, 3, 20, 20], 2));
    let fractions = Video::from_tensor(&a.tensor(&Device::Cpu).expect("pixels")).expect("a video");
    let (levels, fractions) = (lpips.frames(&a, &b).expect("u8"), lpips.frames(&fractions, &b).expect("f32"));
    assert!((levels[0] - fractions[0]).abs() < 1e-6 * levels[0], "{levels:?} {fractions:?}");
}

#[test]
fn a_whole_classifier_is_opened_as_a_file_and_as_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("squeezenet1_1.safetensors");
    let mut tensors = random(Network::Squeeze);
    let built = Lpips::new(&SQUEEZE, VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu));
    let classifier = Tensor::zeros((1000, 512, 1, 1), DType::F32, &Device::Cpu).expect("zeros");
    tensors.insert("classifier.1.weight".into(), classifier);
    save(&tensors, &file);
    let (a, b) = (noise([1, 3, 20, 20], 1), noise([1, 3, 20, 20], 2));
    let expected = built.and_then(|lpips| lpips.frames(&a, &b)).expect("a value");
    let hub = Hub::new(HubSettings::from_variables(|_| None));
    for path in [file.as_path(), folder.path()] {
        let opened = Lpips::open(&SQUEEZE, path, &Device::Cpu).expect("torchvision's names");
        assert_eq!(opened.frames(&a, &b).expect("a value"), expected);
        let path = path.to_str().expect("UTF-8");
        let opened = Lpips::from_pretrained(&SQUEEZE, path, &hub, &Device::Cpu).expect("a path");
        assert_eq!(opened.frames(&a, &b).expect("a value"), expected);
    }
}

#[test]
fn unusable_weights_are_refused_with_the_file_to_take_and_how_to_convert_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    std::fs::write(place("alexnet-owt-7be5be79.pth"), b"\x80\x02\x8a\x0a").expect("a pickle");
    std::fs::write(place("renamed.safetensors"), b"\x80\x02\x8a").expect("a pickle under another name");
    std::fs::write(place("cut.safetensors"), b"\x10\x02\x00").expect("three bytes");
    save(&random(Network::Squeeze), &place("squeeze.safetensors"));
    let mut tensors = random(Network::Alex);
    tensors.remove("features.3.bias");
    save(&tensors, &place("short.safetensors"));
    let nan = Tensor::new(&[f32::NAN; 192], &Device::Cpu).expect("numbers");
    tensors.insert("features.3.bias".into(), nan);
    save(&tensors, &place("nan.safetensors"));

    let published = [
        (Network::Alex, "alexnet-owt-7be5be79.pth"),
        (Network::Vgg, "vgg16-397923af.pth"),
        (Network::Squeeze, "squeezenet1_1-b8a52dc0.pth"),
    ];
    for (network, file) in published {
        let config = LpipsConfig { network, ..LpipsConfig::default() };
        let error = Lpips::open(&config, place("absent.safetensors"), &Device::Cpu).expect_err("no file");
        let text = error.to_string();
        let words = [
            format!("https://download.pytorch.org/models/{file}"),
            format!("torch.load('{file}'"),
            "save_file(".into(),
            "a pickle is refused".into(),
        ];
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    for (name, reason) in [
        ("alexnet-owt-7be5be79.pth", "pickle"),
        ("renamed.safetensors", "pickle"),
        ("cut.safetensors", "damaged"),
        ("squeeze.safetensors", "features."),
        ("short.safetensors", "features.3.bias"),
        ("nan.safetensors", "NaN"),
    ] {
        let error = Lpips::open(&LpipsConfig::default(), place(name), &Device::Cpu).expect_err(name);
        assert!(matches!(error, Error::Weights { network: "LPIPS on AlexNet", .. }), "{error:?}");
        let source = error.source().expect("what is wrong with the file").to_string();
        assert!(source.contains(reason), "{name}: {source}");
    }
    let hub = Hub::new(HubSettings::from_variables(|name| (name == "HF_HUB_OFFLINE").then(|| "1".into())));
    let error = Lpips::from_pretrained(&LpipsConfig::default(), "owner/no-such-name", &hub, &Device::Cpu);
    assert!(matches!(error, Err(Error::Weights { .. })), "{error:?}");
}

#[test]
fn a_weight_that_is_no_number_is_refused_before_a_relu_can_hide_it() {
    let mut tensors = random(Network::Squeeze);
    let mut bias = vec![0f32; 64];
    bias[5] = f32::NAN;
    tensors.insert("features.0.bias".into(), Tensor::new(bias, &Device::Cpu).expect("a bias"));
    match Lpips::new(&SQUEEZE, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)) {
        Err(Error::NotFinite { index, .. }) => assert_eq!(index, [5]),
        other => panic!("{:?}", other.map(drop)),
    }
}

#[test]
fn features_beyond_f32_are_an_error_and_no_number() {
    let mut tensors = random(Network::Squeeze);
    let vast = |shape: &[usize]| Tensor::full(3e38f32, shape, &Device::Cpu).expect("numbers");
    tensors.insert("features.12.squeeze.bias".into(), vast(&[64]));
    tensors.insert("features.12.expand1x1.weight".into(), vast(&[256, 64, 1, 1]));
    let lpips = Lpips::new(&SQUEEZE, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu));
    let (a, b) = (noise([1, 3, 20, 20], 1), noise([1, 3, 20, 20], 2));
    let found = lpips.expect("finite weights").frames(&a, &b);
    assert!(matches!(found, Err(Error::NotFinite { what: "LPIPS", .. })), "{found:?}");
}

#[test]
fn half_precision_is_refused() {
    let vb = Params::seeded(0, DType::F16, &Device::Cpu);
    assert!(matches!(Lpips::new(&SQUEEZE, vb.frozen()), Err(Error::Setting { field: "dtype", .. })));
}

#[test]
fn a_configuration_is_read_and_written_by_name() {
    let text = r#"{"network":"vgg","spatial":true,"norm":"torchmetrics"}"#;
    let config: LpipsConfig = serde_json::from_str(text).expect("all fields");
    let expected = LpipsConfig { network: Network::Vgg, spatial: true, norm: UnitNorm::Torchmetrics };
    assert_eq!(config, expected);
    assert_eq!(serde_json::to_string(&config).expect("text"), text);
    assert_eq!(serde_json::from_str::<LpipsConfig>("{}").expect("defaults"), LpipsConfig::default());
    assert!(serde_json::from_str::<LpipsConfig>(r#"{"net":"vgg"}"#).is_err());
}
