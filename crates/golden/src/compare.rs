//! Verdicts: a tolerance for each tensor, the worst ratio of a file, one line a file.

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};

use crate::Golden;

/// How far a value may be from the stored one.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance {
    /// So many times the file's own float32 noise of this tensor (`f32_vs_f64` in the metadata).
    Noise(f64),
    /// Largest absolute difference; a stored infinity wants the same one.
    Absolute(f64),
    /// Largest difference divided by the stored tensor's largest magnitude.
    Relative(f64),
    /// Largest difference for entries up to 1 in magnitude; grows with the stored tensor's largest magnitude beyond.
    Scaled(f64),
}

impl Golden {
    /// Compares a value with the stored tensor `name` (full name). Collects failures; [`Golden::verdict`] reports them.
    ///
    /// # Errors
    /// Tensor arithmetic; another number of entries or a missing tolerance is a failure, not an error. The dimensions
    /// may be grouped otherwise than in the file: entries are compared in order.
    pub fn compare(&self, name: &str, found: &Tensor, tolerance: Tolerance) -> Result<()> {
        let expected = self.tensor(name);
        self.compared.borrow_mut().insert(name.to_string());
        if expected.elem_count() != found.elem_count() {
            self.fail(format!("{name}: shape {:?}, expected {:?}", found.dims(), expected.dims()));
            return Ok(());
        }
        let values = |tensor: &Tensor| tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
        let (expected, found) = (values(expected)?, values(found)?);
        let scale = expected.iter().fold(0f64, |most, value| most.max(value.abs()));
        let limit = match tolerance {
            Tolerance::Absolute(limit) => limit,
            Tolerance::Relative(factor) => factor * scale,
            Tolerance::Scaled(limit) => limit * scale.max(1.0),
            Tolerance::Noise(factor) => match self.noise[name]["max_abs"].as_f64() {
                Some(noise) => factor * noise.max(scale * f64::from(f32::EPSILON)),
                None => {
                    self.fail(format!("{name}: the file states no float32 noise for it"));
                    return Ok(());
                }
            },
        };
        let (mut worst, mut place) = (0f64, 0);
        for (index, (a, b)) in expected.iter().zip(&found).enumerate() {
            // Equal infinities agree where no tolerance grows with them; their difference would be NaN.
            let equal = a == b && matches!(tolerance, Tolerance::Absolute(_));
            let difference = if equal { 0.0 } else { (a - b).abs() };
            let difference = if difference.is_finite() { difference } else { f64::INFINITY };
            if difference > worst {
                (worst, place) = (difference, index);
            }
        }
        self.worst.set(self.worst.get().max(if worst == 0.0 { 0.0 } else { worst / limit }));
        if worst > limit || worst.is_infinite() {
            self.fail(format!(
                "{name}[{place}]: found {}, expected {}, difference {worst:.3e} above {limit:.3e}",
                found[place], expected[place]
            ));
        }
        Ok(())
    }

    /// Compares the gradient of a variable with `grad.<name>`; an absent gradient is a failure.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn compare_gradient(
        &self,
        name: &str,
        var: &Tensor,
        grads: &GradStore,
        tolerance: Tolerance,
    ) -> Result<()> {
        match grads.get(var) {
            Some(gradient) => self.compare(&format!("grad.{name}"), gradient, tolerance),
            None => {
                self.fail(format!("grad.{name}: no gradient arrived"));
                Ok(())
            }
        }
    }

    /// Compares the gradients of every weight below `prefix` (e.g. `weight.block.`) that the file has one for with those
    /// of the model's variables of the same names; a model without such a variable is a failure.
    ///
    /// # Errors
    /// Tensor arithmetic.
    pub fn compare_weight_gradients(
        &self,
        prefix: &str,
        vars: &[(String, Var)],
        grads: &GradStore,
        tolerance: Tolerance,
    ) -> Result<()> {
        let stem = format!("grad.{prefix}");
        for name in self.names(&stem) {
            match vars.iter().find(|(var, _)| *var == name[stem.len()..]) {
                Some((_, var)) => self.compare_gradient(&name["grad.".len()..], var, grads, tolerance)?,
                None => self.fail(format!("{name}: the model has no parameter of that name")),
            }
        }
        Ok(())
    }

    /// Notes a failure if the model's variables have other names than the file's weights below `prefix`: a model that
    /// created parameters of its own was not fed from the file.
    pub fn same_names(&self, prefix: &str, vars: &[(String, Var)]) {
        let stored: Vec<&str> = self.names(prefix).map(|name| &name[prefix.len()..]).collect();
        if !vars.iter().map(|(name, _)| name.as_str()).eq(stored.iter().copied()) {
            self.fail(format!("the model has {} parameters, the file {}", vars.len(), stored.len()));
        }
    }

    /// Notes a failure for every output and every gradient of the file that was not compared so far.
    pub fn all_compared(&self) {
        let left: Vec<&str> = ["output.", "grad."].into_iter().flat_map(|kind| self.names(kind)).collect();
        for name in left.into_iter().filter(|name| !self.compared.borrow().contains(*name)) {
            self.fail(format!("{name}: not compared"));
        }
    }

    /// Notes a failed claim that is not a comparison of tensors.
    pub fn fail(&self, what: String) {
        self.failures.borrow_mut().push(what);
    }

    /// `golden ok <file> worst=<difference/tolerance>`, or `golden FAILED <file>` and every difference.
    ///
    /// # Errors
    /// The second line, if a comparison failed or if nothing was compared.
    pub fn verdict(&self) -> std::result::Result<String, String> {
        if self.compared.borrow().is_empty() {
            self.fail("nothing was compared".into());
        }
        let failures = self.failures.borrow();
        if failures.is_empty() {
            Ok(format!("golden ok {} worst={:.3}", self.name, self.worst.get()))
        } else {
            Err(format!("golden FAILED {}\n  {}", self.name, failures.join("\n  ")))
        }
    }
}

/// Checks a gradient store against what must learn and what must not.
///
/// Returns one line for each trainable variable whose gradient is absent, not finite or all zero, and for each frozen
/// one that received a gradient.
///
/// # Errors
/// Tensor arithmetic.
pub fn gradients_cover<'a>(
    grads: &GradStore,
    trainable: impl IntoIterator<Item = (&'a str, &'a Var)>,
    frozen: impl IntoIterator<Item = (&'a str, &'a Var)>,
) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (name, var) in trainable {
        match grads.get(var.as_tensor()) {
            None => complaints.push(format!("{name}: no gradient")),
            Some(gradient) => {
                // Not the tensor's own maximum, which passes over a NaN that is not the first entry.
                let sizes = gradient.to_dtype(DType::F64)?.abs()?.flatten_all()?.to_vec1::<f64>()?;
                let wrong = sizes.iter().copied().find(|size| !size.is_finite());
                let largest = wrong.unwrap_or_else(|| sizes.iter().fold(0.0, |most, size| size.max(most)));
                if !largest.is_finite() || largest == 0.0 {
                    complaints.push(format!("{name}: largest gradient entry is {largest}"));
                }
            }
        }
    }
    for (name, var) in frozen {
        if grads.get(var.as_tensor()).is_some() {
            complaints.push(format!("{name}: frozen, but a gradient arrived"));
        }
    }
    Ok(complaints)
}
