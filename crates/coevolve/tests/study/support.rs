//! Pairs of latent and real actions whose relation is known.

use candle_core::{DType, Device, Tensor};
use cola_coevolve::{ActionPairs, Error, StudyError};
use cola_random::{normals, stream, uniforms};
use rand::Rng;

/// Codebook rows of the tests, and numbers in each.
pub(crate) const ENTRIES: usize = 6;
pub(crate) const WIDTH: usize = 3;

/// `(K, d)`.
pub(crate) fn codebook() -> Tensor {
    let rows = normals(ENTRIES * WIDTH, &mut stream(1, "test-codebook", 0, 0));
    Tensor::from_vec(rows, (ENTRIES, WIDTH), &Device::Cpu).expect("a codebook")
}

/// `rows` transitions of two codes each; the real action `(rows, 2)` is what `act` makes of the codes.
pub(crate) fn coded(rows: usize, seed: u64, act: impl Fn([u32; 2]) -> [f32; 2]) -> ActionPairs {
    let mut rng = stream(seed, "test-codes", 0, 0);
    let codes: Vec<[u32; 2]> =
        (0..rows).map(|_| [0; 2].map(|_: u32| rng.random_range(0..ENTRIES as u32))).collect();
    let actions: Vec<f32> = codes.iter().flat_map(|codes| act(*codes)).collect();
    let codes: Vec<u32> = codes.into_iter().flatten().collect();
    let codes = Tensor::from_vec(codes, (rows, 2), &Device::Cpu).expect("codes");
    let flat = codes.flatten_all().expect("codes");
    let z = codebook().index_select(&flat, 0).and_then(|z| z.reshape((rows, 2 * WIDTH))).expect("rows");
    let actions = Tensor::from_vec(actions, (rows, 2), &Device::Cpu).expect("actions");
    ActionPairs { embedding: z.clone(), tokens: z, codes, actions, clips: rows }
}

/// `rows` transitions whose action is a line of the latent action, which is not quantized.
pub(crate) fn linear(rows: usize, seed: u64) -> ActionPairs {
    let z = Tensor::from_vec(
        uniforms(rows * 4, -1.0, 1.0, &mut stream(seed, "test-z", 0, 0)),
        (rows, 4),
        &Device::Cpu,
    )
    .expect("latent actions");
    let weight =
        Tensor::new(&[[0.3f32, -0.2, 0.1, 0.4], [0.0, 0.5, -0.4, 0.1]], &Device::Cpu).expect("weight");
    let actions = z.matmul(&weight.t().expect("weight")).and_then(|y| y + 0.25).expect("actions");
    let codes = Tensor::zeros((rows, 1), DType::U32, &Device::Cpu).expect("codes");
    ActionPairs { embedding: z.clone(), tokens: z, codes, actions, clips: rows }
}

/// The error of a study; another error is a failure.
pub(crate) fn study_error<T>(result: Result<T, impl Into<Box<Error>>>) -> StudyError {
    match result.err().map(|error| *error.into()) {
        Some(Error::Study(error)) => error,
        other => panic!("expected an error of the study, found {other:?}"),
    }
}
