//! How far a killed run had come, as its folder tells.

use std::path::Path;

use cola_coevolve::{ExperimentConfig, checkpoint};
use cola_report::JsonLines;

use crate::kill_test::saves::unfinished;

/// Where a kill has hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// In words: `WARM, after step 13`.
    pub place: String,
    /// A checkpoint was being saved.
    pub saving: bool,
}

impl Reached {
    pub(crate) fn of(root: &Path) -> Self {
        let checkpoints = root.join("checkpoints");
        let saving = unfinished(&checkpoints).is_some();
        let Ok(config) = ExperimentConfig::read(&root.join("config.toml")) else {
            return Self { place: "before config.toml".into(), saving };
        };
        let saved = checkpoint::list(&checkpoints)
            .pop()
            .and_then(|newest| newest.file_name()?.to_str()?.strip_prefix("step-")?.parse::<u64>().ok());
        // A log may be torn anywhere, and then says nothing.
        let records = JsonLines::read(root.join("log.jsonl")).unwrap_or_default();
        let logged = records.last().and_then(|record| record["step"].as_u64());
        let step = saved.max(logged);
        let place = match (step, config.plan.locate(step.unwrap_or(0))) {
            (None, _) => "before the first record".into(),
            (Some(step), Some((index, _))) => {
                format!("{}, after step {step}", config.plan.phases()[index].kind.name())
            }
            (Some(_), None) if saving => "last step".into(),
            (Some(_), None) => "evaluation".into(),
        };
        Self { place: if saving { format!("{place}, saving") } else { place }, saving }
    }
}
