//! The version names exactly one set of parameters.

use candle_core::{DType, Device, Result};
use cola_lam::{CODEBOOK, LamConfig, LatentActionModel, codebook_version};
use cola_nn::Params;

fn params(seed: u64) -> Result<Params> {
    let params = Params::seeded(seed, DType::F32, &Device::Cpu);
    LatentActionModel::new(&LamConfig::tiny(), params.trainable())?;
    Ok(params)
}

#[test]
fn equal_parameters_share_a_version_and_one_bit_changes_it() -> Result<()> {
    let (one, same, other) = (params(0)?, params(0)?, params(1)?);
    let version = codebook_version(&one)?;
    assert_eq!(version.len(), 16);
    assert_eq!(version, codebook_version(&same)?);
    assert_ne!(version, codebook_version(&other)?);

    let codebook = same.get(CODEBOOK).expect("a codebook").as_detached_tensor();
    let mut rows = codebook.flatten_all()?.to_vec1::<f32>()?;
    rows[0] = f32::from_bits(rows[0].to_bits() ^ 1);
    same.set(CODEBOOK, &candle_core::Tensor::from_vec(rows, codebook.shape(), &Device::Cpu)?)?;
    assert_ne!(version, codebook_version(&same)?);
    Ok(())
}
