//! A mixture as a file describes it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{in_group, normal, unique};
use crate::crop::Region;
use crate::{Error, OpenOptions};

/// Group weights by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Appendix A of the paper: 30 % Open X-Embodiment, 20 % AgiBot World, 50 % video of people.
    Paper,
}

impl Preset {
    /// The groups of [`Preset::Paper`] and their fractions.
    pub const PAPER: [(&'static str, f64); 3] = [("oxe", 0.30), ("agibot", 0.20), ("human", 0.50)];

    /// The name by which configurations call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
        }
    }

    /// Weights for those of the preset's groups that are there. The weight of the others is spread over them in
    /// proportion, and the note says so.
    ///
    /// # Errors
    /// No group, a group that the preset does not know, a name that is there twice.
    pub fn weights(self, groups: &[&str]) -> Result<GroupWeights, Error> {
        let Self::Paper = self;
        let known = Self::PAPER;
        unique("name of a group", groups.iter().copied())?;
        let weight = |name| match known.into_iter().find(|(group, _)| *group == name) {
            Some(found) => Ok(found),
            None => Err(Error::setting(
                "group.name",
                format!("`{name}`, which has no weight in preset `{}`", self.name()),
                format!(
                    "one of {}; or no preset and a weight for each group",
                    known.map(|(name, _)| name).join(", ")
                ),
            )),
        };
        let weights = groups.iter().copied().map(weight).collect::<Result<Vec<_>, Error>>()?;
        let weights = normal("group weights", weights.into_iter())?;
        let list = |of: &mut dyn Iterator<Item = (&str, f64)>| {
            let parts: Vec<String> =
                of.map(|(name, weight)| format!("{name} {:.1} %", 100.0 * weight)).collect();
            parts.join(", ")
        };
        let missing = list(&mut known.into_iter().filter(|(name, _)| !groups.contains(name)));
        let note = (!missing.is_empty()).then(|| {
            format!(
                "preset `{}`: without {missing}; that weight is spread over the rest: {}",
                self.name(),
                list(&mut groups.iter().copied().zip(weights.iter().copied()))
            )
        });
        Ok(GroupWeights { weights, note })
    }
}

/// The weights of groups.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupWeights {
    /// One for each group, in their order; together 1.
    pub weights: Vec<f64>,
    /// What a person has to be told of them: the preset's groups that are missing.
    pub note: Option<String>,
}

/// A mixture of data sets.
///
/// ```toml
/// preset = "paper"            # or a weight for each group
///
/// [[group]]
/// name = "oxe"
///
/// [[group.source]]
/// name = "bridge"
/// path = "/data/bridge"
/// rate = 5.0                  # or frame_stride
/// open = { format = "rlds", action = "action" }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureConfig {
    /// Where the groups' weights come from; without it each group has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The groups; at least one.
    pub group: Vec<GroupConfig>,
}

/// A group of a [`MixtureConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Its name; with a preset one of the preset's.
    pub name: String,
    /// How often it is drawn, beside the other groups' weights; not with a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Its data sets; at least one.
    pub source: Vec<SourceConfig>,
}

/// A data set of a [`MixtureConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name in the group.
    pub name: String,
    /// Its folder or file.
    pub path: PathBuf,
    /// How often it is drawn, beside the others of its group; without it, then for all of the group, by clips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Its split; without it all episodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Exclusion list that `dataset validate --repair` wrote for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<PathBuf>,
    /// Its camera; without it the only or the alphabetically first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Frames a second of its clips; not with `frame_stride`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Stored frames from one frame of a clip to the next; not with `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_stride: Option<usize>,
    /// The part of each frame that is used.
    #[serde(default)]
    pub region: Region,
    /// What it does not tell about itself.
    #[serde(default)]
    pub open: OpenOptions,
}

impl MixtureConfig {
    /// Refuses what no mixture can be made of; no file is looked at.
    ///
    /// # Errors
    /// No groups or sources, names that are empty or there twice, weights that are missing, not positive, or given
    /// beside a preset, a source with both `rate` and `frame_stride` or with one that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        self.weights()?;
        for group in &self.group {
            unique("group.source.name", group.source.iter().map(|source| source.name.as_str()))?;
            if group.source.is_empty() {
                return Err(Error::setting(
                    "group.source",
                    format!("none in `{}`", group.name),
                    "at least one",
                ));
            }
            in_group(&group.name, group.source.iter().map(|source| (source.name.as_str(), source.weight)))?;
            for source in &group.source {
                source.check(&group.name)?;
            }
        }
        Ok(())
    }

    /// The groups' weights, from the preset or their own.
    ///
    /// # Errors
    /// As [`check`](Self::check), as far as groups are concerned.
    pub fn weights(&self) -> Result<GroupWeights, Error> {
        let names: Vec<&str> = self.group.iter().map(|group| group.name.as_str()).collect();
        unique("group.name", names.iter().copied())?;
        let wrong = |group: &GroupConfig| group.weight.is_some() == self.preset.is_some();
        if let Some(group) = self.group.iter().find(|group| wrong(group)) {
            let found = match group.weight {
                Some(weight) => format!("{weight} for `{}`, beside a preset", group.name),
                None => format!("none for `{}`", group.name),
            };
            return Err(Error::setting(
                "group.weight",
                found,
                "a weight for each group, or `preset = \"paper\"`",
            ));
        }
        match self.preset {
            Some(preset) => preset.weights(&names),
            None => {
                let weights =
                    self.group.iter().filter_map(|group| Some((group.name.as_str(), group.weight?)));
                Ok(GroupWeights { weights: normal("group weights", weights)?, note: None })
            }
        }
    }
}

impl SourceConfig {
    fn check(&self, group: &str) -> Result<(), Error> {
        let name = format!("`{group}/{}`", self.name);
        let field = |field, found: String, expected: &str| Err(Error::setting(field, found, expected));
        if self.path.as_os_str().is_empty() {
            return field("group.source.path", format!("nothing for {name}"), "a folder or file");
        }
        match (self.rate, self.frame_stride) {
            (Some(_), Some(_)) => {
                field("group.source.rate", format!("one beside a frame_stride for {name}"), "one of the two")
            }
            (Some(rate), None) if !(rate > 0.0 && rate.is_finite()) => {
                field("group.source.rate", format!("{rate} for {name}"), "frames a second, above 0")
            }
            (None, Some(0)) => field("group.source.frame_stride", format!("0 for {name}"), "at least 1"),
            _ => self.region.pixels(1 << 16, 1 << 16).map(|_| ()),
        }
    }
}
