//! Distances of feature sets and of statistics, streamed moments.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Result, Tensor};
use cola_golden::{Golden, Tolerance};
use cola_metrics::{
    Covariance, Features, Frechet, KernelDistance, Moments, frechet_from_features, frechet_from_moments,
    frechet_from_statistics, kernel_distance,
};

/// Their kernel distances are what cancellation leaves, say the makers of the files.
const NO_KVD: [&str; 2] = ["large_mean", "tiny_noise"];

/// Every case of the file: names with features, with statistics, with rows to stream.
pub(crate) fn compare(golden: &Golden) -> Result<()> {
    let cases: BTreeSet<String> =
        golden.names("").filter_map(|name| Some(name.rsplit_once('.')?.0.to_string())).collect();
    for case in &cases {
        let has = |name: &str| golden.has(&format!("{case}.{name}"));
        match () {
            () if has("x") && has("y") => features(golden, case)?,
            () if has("mu1") && has("sigma1") && has("mu2") && has("sigma2") => statistics(golden, case)?,
            () if has("x") && has("splits") => stream(golden, case)?,
            () => golden.fail(format!("{case}: neither features nor statistics nor a stream")),
        }
    }
    Ok(())
}

/// From features by the nuclear norm, and from their moments by eigenvalues.
fn features(golden: &Golden, case: &str) -> Result<()> {
    let set = |name: &str| Features::from_tensor(golden.tensor(&format!("{case}.{name}")));
    let (x, y) = (set("x").map_err(wrap)?, set("y").map_err(wrap)?);
    let moments = |set: &Features| {
        let mut moments = Moments::new(set.width());
        moments.add(set.values()).map(|()| moments)
    };
    let (m, n) = (moments(&x).map_err(wrap)?, moments(&y).map_err(wrap)?);
    for (rule, stored) in [(Covariance::Unbiased, "fd"), (Covariance::Biased, "fd_biased_cov")] {
        let exact = frechet_from_features(&x, &y, rule).map_err(wrap)?;
        let streamed = frechet_from_moments(&m, &n, rule).map_err(wrap)?;
        for found in [exact, streamed] {
            let limit = Tolerance::Absolute(1e-9 * (found.trace_first + found.trace_second));
            number(golden, &format!("{case}.{stored}"), found.distance, limit)?;
            if rule == Covariance::Unbiased && golden.has(&format!("{case}.parts")) {
                let Frechet { mean_term, trace_first, trace_second, trace_root, .. } = found;
                let parts = Tensor::new(&[mean_term, trace_first, trace_second, trace_root], &Device::Cpu)?;
                golden.compare(&format!("{case}.parts"), &parts, limit)?;
            }
        }
    }
    if !NO_KVD.contains(&case) {
        let KernelDistance { distance, within_first, within_second, across } =
            kernel_distance(&x, &y).map_err(wrap)?;
        let largest = within_first.abs().max(within_second.abs()).max(across.abs());
        number(golden, &format!("{case}.kvd"), distance, Tolerance::Absolute(1e-9 * largest))?;
    }
    Ok(())
}

fn statistics(golden: &Golden, case: &str) -> Result<()> {
    let numbers = |name: &str| flat(golden, &format!("{case}.{name}"));
    let (mu1, sigma1, mu2, sigma2) =
        (numbers("mu1")?, numbers("sigma1")?, numbers("mu2")?, numbers("sigma2")?);
    let found = frechet_from_statistics(&mu1, &sigma1, &mu2, &sigma2).map_err(wrap)?;
    let stored = format!("{case}.fd");
    // Of a distance far below the traces, f64 keeps no ten digits: the rounding of the traces is left to it.
    let rounding = 64.0 * f64::EPSILON * (found.trace_first + found.trace_second);
    let limit =
        if golden.has(&stored) { (1e-10 * flat(golden, &stored)?[0].abs()).max(rounding) } else { rounding };
    number(golden, &stored, found.distance, Tolerance::Absolute(limit))
}

/// Rows in the file's chunks into one accumulator, each chunk into its own and merged, and merged from behind.
fn stream(golden: &Golden, case: &str) -> Result<()> {
    let rows = golden.tensor(&format!("{case}.x"));
    let width = rows.dim(1)?;
    let rows = rows.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let splits = golden.tensor(&format!("{case}.splits")).to_dtype(DType::I64)?.to_vec1::<i64>()?;
    let part = |ends: &[i64]| {
        let mut moments = Moments::new(width);
        moments.add(&rows[ends[0] as usize * width..ends[1] as usize * width]).map(|()| moments)
    };
    let parts: std::result::Result<Vec<Moments>, _> = splits.windows(2).map(part).collect();
    let parts = parts.map_err(wrap)?;
    let mut one = Moments::new(width);
    for ends in splits.windows(2) {
        one.add(&rows[ends[0] as usize * width..ends[1] as usize * width]).map_err(wrap)?;
    }
    let merged = |parts: Vec<&Moments>| {
        let mut all = Moments::new(width);
        parts.into_iter().try_for_each(|part| all.merge(part)).map(|()| all).map_err(wrap)
    };
    for found in [one, merged(parts.iter().collect())?, merged(parts.iter().rev().collect())?] {
        vector(golden, &format!("{case}.mean"), found.mean())?;
        for (rule, stored) in [(Covariance::Unbiased, "cov_unbiased"), (Covariance::Biased, "cov_biased")] {
            vector(golden, &format!("{case}.{stored}"), found.covariance(rule).map_err(wrap)?)?;
        }
    }
    Ok(())
}

fn vector(golden: &Golden, name: &str, values: Vec<f64>) -> Result<()> {
    if golden.has(name) {
        golden.compare(name, &Tensor::new(values, &Device::Cpu)?, Tolerance::Absolute(1e-10))?;
    }
    Ok(())
}

fn number(golden: &Golden, name: &str, value: f64, tolerance: Tolerance) -> Result<()> {
    if golden.has(name) {
        golden.compare(name, &Tensor::new(&[value], &Device::Cpu)?, tolerance)?;
    }
    Ok(())
}

fn flat(golden: &Golden, name: &str) -> Result<Vec<f64>> {
    golden.tensor(name).flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

fn wrap(error: cola_metrics::Error) -> candle_core::Error {
    candle_core::Error::wrap(error)
}
