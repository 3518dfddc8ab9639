//! Open-Sora v1.2's own numbers, forward and backward.

use candle_core::{DType, Device, Result, Tensor};
use cola_dit_world::{Axis, Conditions, DitBlock, DitConfig, DitWorld, Modulation};
use cola_flow::Given;
use cola_golden::{Golden, Tolerance};
use cola_nn::{Params, Rope};

/// Times the file's own float32 noise. The golden README allows 4 to 10.
const FACTOR: Tolerance = Tolerance::Noise(6.0);

fn params(golden: &Golden, prefix: &str) -> Result<Params> {
    let params = Params::seeded(0, DType::F32, &Device::Cpu);
    for (name, value) in golden.weights(prefix, DType::F32)? {
        params.set(&name, &value)?;
    }
    Ok(params)
}

fn block(golden: &Golden) -> Result<()> {
    let (b, t, s, hidden) = (golden.int("B"), golden.int("T"), golden.int("S"), golden.int("hidden_size"));
    let time = golden.config()["temporal"].as_bool() == Some(true);
    let axis = if time { Axis::Time } else { Axis::Space };
    let heads = golden.int("num_heads");
    let rope = if time { Some(Rope::new(hidden / heads, 10_000.0)?) } else { None };
    let params = params(golden, "weight.block.")?;
    let block = DitBlock::new(hidden, heads, 4, axis, rope, params.trainable())?;
    let (x, t6) = (golden.input_var("x", DType::F32)?, golden.input_var("t6", DType::F32)?);
    let y = block.forward(&x.reshape((b, t, s, hidden))?, &Modulation::per_frame(t6.as_tensor()))?;
    let y = y.reshape((b, t * s, hidden))?;
    golden.compare("output.x", &y, FACTOR)?;
    let grads = (y * golden.input("cotangent.x", DType::F32)?)?.sum_all()?.backward()?;
    golden.compare_gradient("input.x", &x, &grads, FACTOR)?;
    golden.compare_gradient("input.t6", &t6, &grads, FACTOR)?;
    golden.compare_weight_gradients("weight.block.", &params.vars(), &grads, FACTOR)?;
    Ok(())
}

fn model_config(golden: &Golden) -> DitConfig {
    DitConfig {
        in_channels: golden.int("in_channels"),
        patch: golden.config()["patch_size"][2].as_u64().expect("patch_size") as usize,
        hidden_size: golden.int("hidden_size"),
        depth: golden.int("depth"),
        num_heads: golden.int("num_heads"),
        mlp_ratio: golden.float("mlp_ratio") as usize,
        pred_sigma: golden.config()["pred_sigma"].as_bool() == Some(true),
        input_sq_size: golden.int("input_sq_size"),
        action: DitConfig::tiny().action,
    }
}

fn conditions(golden: &Golden, action: Option<&Tensor>) -> Result<Conditions> {
    let numbers = |name| golden.input(name, DType::F64)?.to_vec1::<f64>();
    // The reference reads only the first clip's height and width.
    let (height, width) = (numbers("height")?[0] as usize, numbers("width")?[0] as usize);
    Ok(Conditions { action: action.cloned(), fps: numbers("fps")?, height, width })
}

fn model(golden: &Golden) -> Result<()> {
    let params = params(golden, "weight.")?;
    let dit = DitWorld::new(&model_config(golden), params.trainable())?;
    let x = golden.input_var("x", DType::F32)?;
    let action =
        golden.has("input.action_mod").then(|| golden.input_var("action_mod", DType::F32)).transpose()?;
    let given = golden
        .has("input.x_mask")
        .then(|| Given::from_mask(&golden.input("x_mask", DType::F32)?))
        .transpose()?;
    let t = golden.input("timestep", DType::F32)?;
    let conditions = conditions(golden, action.as_deref())?;
    let v = dit.forward(&x, &t, given.as_ref(), &conditions)?;
    golden.compare("output.v", &v, FACTOR)?;
    let grads = (v * golden.input("cotangent.v", DType::F32)?)?.sum_all()?.backward()?;
    golden.compare_gradient("input.x", &x, &grads, FACTOR)?;
    if let Some(action) = &action {
        golden.compare_gradient("input.action_mod", action, &grads, FACTOR)?;
    }
    golden.compare_weight_gradients("weight.", &params.vars(), &grads, FACTOR)?;
    Ok(())
}

fn causality(golden: &Golden) -> Result<()> {
    let dit = DitWorld::new(&model_config(golden), params(golden, "weight.")?.frozen())?;
    let t = golden.input("timestep", DType::F32)?;
    let run = |x: &str, action: &str| {
        let action = golden.input(action, DType::F32)?;
        dit.forward(&golden.input(x, DType::F32)?, &t, None, &conditions(golden, Some(&action))?)
    };
    let (v, changed) = (run("x", "action_mod")?, run("x_changed", "action_mod_changed")?);
    golden.compare("output.v", &v, FACTOR)?;
    golden.compare("output.v_changed", &changed, FACTOR)?;
    let before = golden.int("changed_from_frame");
    let bits = |v: &Tensor| v.narrow(2, 0, before)?.flatten_all()?.to_vec1::<f32>();
    if bits(&v)? != bits(&changed)? {
        golden.fail(format!("velocities before frame {before} changed with later inputs"));
    }
    Ok(())
}

#[test]
fn every_reference_file_agrees() {
    cola_golden::run("cola-dit-world", |golden| match golden.name() {
        name if name.starts_with("block_paper_") => block(golden),
        name if name.starts_with("model_paper_causality") => causality(golden),
        name if name.starts_with("model_paper_") => model(golden),
        _ => candle_core::bail!("there is no comparison for files of this name"),
    });
}
