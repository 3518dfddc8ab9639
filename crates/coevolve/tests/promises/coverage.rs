//! Every trainable variable gets a finite gradient, every frozen one none: in every phase, on a part of a batch.

use candle_core::Device;
use cola_coevolve::{Key, PhaseKind, System, SystemParams, lam_step, world_step};
use cola_data::Loader;
use cola_golden::gradients_cover;

#[test]
fn gradient_coverage() {
    let plain = crate::support::config(crate::support::EVERY_PHASE);
    let recomputed = plain.with("compute.recompute=true").expect("a value");
    let prompt = plain.with("lam.readout=\"prompt\"").expect("a value");
    for (what, config) in [("plain", plain), ("recomputed", recomputed), ("prompt", prompt)] {
        let params = SystemParams::new(&config, &Device::Cpu).expect("parameters");
        crate::support::awake(&params).expect("noise");
        let loader = Loader::new(crate::support::clips(3), config.loader(), 0).expect("a loader");
        let part = loader.part(0, 2..6, true, &Device::Cpu).expect("a part of a batch");
        for kind in [PhaseKind::Pretrain, PhaseKind::Lam, PhaseKind::Warm, PhaseKind::Joint, PhaseKind::World]
        {
            let system = System::enter(&params, &config, kind.trains()).expect("modules");
            let key = Key { seed: 0, step: 0 };
            let step = match kind {
                PhaseKind::Lam => lam_step(&system, &config, &part),
                _ => world_step(&system, &config, &part, key, kind.has_actions()),
            };
            let grads = step.and_then(|step| step.loss.backward()).expect("gradients");
            let vars = params.vars(kind.trains());
            let of = |learns: bool| {
                let named = vars.iter().filter(move |(name, _, trains)| {
                    *trains == learns && !(learns && crate::support::is_exactly_zero(name))
                });
                named.map(|(name, var, _)| (name.as_str(), var))
            };
            assert!(of(true).count() > 10, "{what}, {kind:?} trains next to nothing");
            let complaints = gradients_cover(&grads, of(true), of(false)).expect("a comparison");
            assert!(complaints.is_empty(), "{what}, {kind:?}:\n  {}", complaints.join("\n  "));
        }
    }
}
