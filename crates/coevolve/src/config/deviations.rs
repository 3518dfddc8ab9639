//! In what a configuration departs from the paper: words for what changes the method, then every value.

use cola_flow::Shift;
use cola_lam::{CodeInit, CodeUpdate, Readout, TokenGradient};

use crate::Error;
use crate::config::ExperimentConfig;
use crate::config::tree::{Difference, differences, tree};
use crate::plan::PhaseKind;

/// Sections whose values change what is trained or measured.
const SECTIONS: [&str; 11] =
    ["plan", "start", "data", "codec", "lam", "dit", "flow", "optimizer", "phases", "remedies", "evaluation"];

impl ExperimentConfig {
    /// What deviates from the paper's recipe, for the run header: one line each; last, a line for each section with every
    /// value that differs from the preset `paper`, whose own value stands in brackets.
    ///
    /// # Errors
    /// None in practice: every field has a TOML form.
    pub fn deviations(&self) -> Result<Vec<String>, Error> {
        let (remedies, quantizer) = (&self.remedies, &self.lam.quantizer);
        let mut lines = vec![
            match self.latents.vae() {
                Some(_) => "latents are means of the video VAE's posteriors, without noise".into(),
                None => format!(
                    "latents are blocks of {0} x {0} pixels through a fixed transform instead of the video VAE",
                    self.codec.factor
                ),
            },
            "the video generator is this program's own, pre-trained on the training clips, instead of Open-Sora's".into(),
        ];
        let mut note = |holds: bool, line: String| {
            if holds {
                lines.push(line);
            }
        };
        note(
            self.plan.has(PhaseKind::Lam),
            "a LAM phase (own forward dynamics model) before the world model".into(),
        );
        note(
            self.data.crops > 0,
            format!("each clip has {} crops in all instead of a fresh one for every sample", self.data.crops),
        );
        note(
            remedies.restart_after > 0,
            format!(
                "dead codes restart after {} idle steps, until step {} of the LAM phase",
                remedies.restart_after, remedies.restart_until
            ),
        );
        note(
            remedies.motion_weight > 0.0,
            format!("moving patches weigh more in the LAM loss ({})", remedies.motion_weight),
        );
        note(
            remedies.hold_lam > 0,
            format!(
                "IDM and codebook hold still for the first {} steps with a world model",
                remedies.hold_lam
            ),
        );
        note(self.lam.code_init == CodeInit::Data, "first codes are encoder outputs".into());
        note(
            quantizer.update == CodeUpdate::Ema,
            format!("codes follow a moving average (decay {}) instead of the codebook loss", quantizer.decay),
        );
        note(quantizer.cosine, "tokens and codes are compared and used as unit vectors".into());
        note(
            quantizer.gradient == TokenGradient::Rotation,
            "gradients pass the quantizer by the rotation trick instead of straight through".into(),
        );
        note(
            quantizer.entropy_weight > 0.0,
            format!(
                "entropy penalty on the choice of codes ({}, temperature {})",
                quantizer.entropy_weight, quantizer.entropy_temperature
            ),
        );
        note(
            quantizer.is_scalar(),
            format!("finite scalar quantization with levels {:?} instead of a codebook", quantizer.levels),
        );
        note(
            self.lam.readout != Readout::Mean,
            format!("IDM read-out `{:?}` instead of `Mean`", self.lam.readout),
        );
        note(self.dit.action.zero_output, "the conditioner's output layer starts at zero".into());
        if let Shift::Fixed(ratio) = self.flow.time.shift {
            note(true, format!("fixed timestep shift {ratio}"));
        }
        lines.extend(self.changed_values()?);
        Ok(lines)
    }

    fn changed_values(&self) -> Result<Vec<String>, Error> {
        let (mut own, paper) = (self.clone(), Self::paper());
        // Not values of the method.
        (own.data.workers, own.data.path) = (paper.data.workers, paper.data.path.clone());
        let (own, paper) = (tree(&own)?, tree(&paper)?);
        let line = |section: &str| {
            let mut changes = Vec::new();
            differences("", own.get(section), paper.get(section), &mut changes);
            let value =
                |Difference { key, own, other }| format!("{key} {own} ({other})").trim_start().to_owned();
            let changes: Vec<String> = changes.into_iter().map(value).collect();
            (!changes.is_empty()).then(|| format!("{section}: {}", changes.join(", ")))
        };
        Ok(SECTIONS.into_iter().filter_map(line).collect())
    }
}
