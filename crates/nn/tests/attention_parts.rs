//! Attention with a layer each for queries, keys and values.

use candle_core::{DType, Device, Result, Tensor};
use cola_nn::{HeadNorm, Params, Rope, SelfAttention, SelfAttentionConfig, normal};

/// One layer of three and a bias of zero are the same thing.
#[test]
fn attention_without_norms_is_that_of_its_three_layers_put_together() -> Result<()> {
    let config = SelfAttentionConfig { dim: 12, heads: 2, causal: true, silent: false };
    let rope = || Rope::new(6, 100.0).map(Some);
    let parts = Params::seeded(5, DType::F32, &Device::Cpu);
    let plain = SelfAttention::plain(&config, rope()?, parts.trainable())?;
    let whole = Params::seeded(6, DType::F32, &Device::Cpu);
    let joined = SelfAttention::new(&config, |_, _| Ok(HeadNorm::Identity), rope()?, whole.trainable())?;
    let get = |name: &str| parts.get(name).map(|var| var.as_detached_tensor()).expect(name);
    let weights = ["to_q.weight", "to_k.weight", "to_v.weight"].map(get);
    whole.set("qkv.weight", &Tensor::cat(&weights, 0)?)?;
    whole.set("proj.weight", &get("to_out.0.weight"))?;
    whole.set("proj.bias", &get("to_out.0.bias"))?;

    let x = normal(&[2, 5, 3, 12], &Device::Cpu, &mut cola_random::stream(1, "x", 0, 0))?;
    let (found, expected) = (plain.forward_across(&x)?, joined.forward_across(&x)?);
    let flat = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
    assert_eq!(flat(&found)?, flat(&expected)?);
    let grads = found.sqr()?.sum_all()?.backward()?;
    let of_whole = expected.sqr()?.sum_all()?.backward()?;
    let of_whole = of_whole.get(whole.get("qkv.weight").expect("a weight").as_tensor()).expect("a gradient");
    let vars = parts.vars();
    let all = vars.iter().map(|(name, var)| (name.as_str(), var));
    assert!(cola_golden::gradients_cover(&grads, all, [])?.is_empty());
    for (part, name) in ["to_q.weight", "to_k.weight", "to_v.weight"].into_iter().enumerate() {
        let own = grads.get(parts.get(name).expect(name).as_tensor()).expect(name);
        assert_eq!(flat(own)?, flat(&of_whole.narrow(0, 12 * part, 12)?)?, "{name}");
    }
    Ok(())
}
