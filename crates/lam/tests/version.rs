//! The version names exactly one set of parameters.

use candle_core::{DType, Device, Result};
use cola_lam::{CODEBOOK, LamConfig, LatentActionModel, Readout, codebook_version};
use cola_nn::Params;

fn params(seed: u64) -> Result<Params> {
    let params = Params::seeded(seed, DType::F32, &Device::Cpu);
    LatentActionModel::new(&LamConfig::tiny(), params.trainable())?;
    Ok(params)
}

#[test]
fn equal_parameters_share_a_version_and_one_bit_changes_it() -> Result<()> {
    let (one, same, other) = (params(0)?, params(0)?, params(1)?);
    let config = LamConfig::tiny();
    let version = codebook_version(&config, &one)?;
    assert!(version.starts_with("lam-") && version.len() == 20, "{version}");
    assert_eq!(version, codebook_version(&config, &same)?);
    assert_ne!(version, codebook_version(&config, &other)?);

    let codebook = same.get(CODEBOOK).expect("a codebook").as_detached_tensor();
    let mut rows = codebook.flatten_all()?.to_vec1::<f32>()?;
    rows[0] = f32::from_bits(rows[0].to_bits() ^ 1);
    same.set(CODEBOOK, &candle_core::Tensor::from_vec(rows, codebook.shape(), &Device::Cpu)?)?;
    assert_ne!(version, codebook_version(&config, &same)?);
    // The same numbers read otherwise are another model.
    let other = LamConfig { readout: Readout::Mean, ..LamConfig::tiny() };
    assert_ne!(codebook_version(&other, &one)?, version);
    Ok(())
}
