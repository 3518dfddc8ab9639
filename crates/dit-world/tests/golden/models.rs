//! Whole models, reference and paper form.

use candle_core::{DType, Result, Tensor};
use cola_golden::Golden;

use crate::support::{compare, conditions, given, model as build, var};

pub(crate) fn model(golden: &Golden) -> Result<()> {
    let (dit, params) = build(golden)?;
    let x = golden.input_var("x", golden.dtype())?;
    let (action, y) = (var(golden, "action_mod")?, var(golden, "y")?);
    let t = golden.input("timestep", golden.dtype())?;
    let conditions = conditions(golden, action.as_deref(), y.as_deref())?;
    let v = dit.forward(&x, &t, given(golden)?.as_ref(), &conditions)?;
    let inputs: Vec<_> = [("x", Some(&x)), ("action_mod", action.as_ref()), ("y", y.as_ref())]
        .into_iter()
        .filter_map(|(name, var)| Some((name, var?)))
        .collect();
    compare(golden, &[("v", &v)], &inputs, "weight.", &params)
}

/// Two runs whose inputs differ from one frame on.
pub(crate) fn causality(golden: &Golden) -> Result<()> {
    let (dit, _) = build(golden)?;
    let t = golden.input("timestep", golden.dtype())?;
    let run = |x: &str, action: &str| {
        let action = golden.input(action, golden.dtype())?;
        dit.forward(&golden.input(x, golden.dtype())?, &t, None, &conditions(golden, Some(&action), None)?)
    };
    let (v, changed) = (run("x", "action_mod")?, run("x_changed", "action_mod_changed")?);
    golden.compare("output.v", &v, golden.tolerance())?;
    golden.compare("output.v_changed", &changed, golden.tolerance())?;
    let before = golden.int("changed_from_frame");
    let bits = |v: &Tensor| v.narrow(2, 0, before)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    if bits(&v)? != bits(&changed)? {
        golden.fail(format!("velocities before frame {before} changed with later inputs"));
    }
    Ok(())
}
