//! What is wrong with a data set, found before a training run meets it.

mod pictures;
mod rows;
mod runs;
mod whole;

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Episode, Rows};
use crate::exclusions::{Exclusion, Exclusions, read_frames, write_frames};
use crate::{Error, Region, View};

/// Frames of one group of episodes, about: rows and pictures of a group are asked for at once, which lets a reader decode
/// in parallel.
const GROUP: usize = 4096;

/// What counts as wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateOptions {
    /// Identical pictures in a row that count as frozen.
    pub frozen: usize,
    /// A step in time longer than this many median steps is a gap.
    pub gap: f64,
    /// Brightest value that is nearly black, 0..=255. Video in limited range has black at 16.
    pub black: u8,
    /// Largest difference within a colour channel of a picture that shows nothing, 0..=255.
    pub uniform: u8,
    /// Longest side at which pictures are looked at, pixels; larger ones are reduced.
    pub side: usize,
}

impl Default for ValidateOptions {
    fn default() -> Self {
        Self { frozen: 10, gap: 1.5, black: 16, uniform: 4, side: 256 }
    }
}

impl ValidateOptions {
    fn view(&self, size: Option<(usize, usize)>) -> View {
        let side = self.side.max(1);
        let (height, width) = size.unwrap_or((side, side));
        View { region: Region::FULL, height: height.min(side), width: width.min(side) }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It may be meant; look at it.
    Warning,
    /// It cannot be read, or nothing good can be learned from it.
    Error,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Rows cannot be read.
    Rows,
    /// Another number of rows than of frames, or no frame at all.
    Length,
    /// Times that are no numbers or do not ascend.
    Times,
    /// A step in time that is much longer than the others.
    Gap,
    /// The rate that the data set tells is not that of its times.
    Rate,
    /// Actions that are no finite numbers.
    Actions,
    /// States that are no finite numbers.
    States,
    /// Actions that are the same in every row of the data set.
    ConstantActions,
    /// Actions of one size in some episodes and of another in others.
    ActionSize,
    /// A file or group that the data set holds but cannot be used.
    Skipped,
    /// A file that is not what was written.
    Checksum,
    /// A split that cannot be read, or shares episodes with another.
    Splits,
    /// Pictures that cannot be decoded.
    Pictures,
    /// Pictures with nearly black pixels only.
    Black,
    /// Pictures of one colour.
    Uniform,
    /// Many identical pictures in a row.
    Frozen,
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Number of the episode; `None` for the whole data set.
    pub episode: Option<usize>,
    /// The episode's name; empty for the whole data set.
    pub name: String,
    /// Frames concerned; `None` for all. In JSON `[first, one behind the last]`.
    #[serde(serialize_with = "write_frames", deserialize_with = "read_frames")]
    pub frames: Option<Range<usize>>,
    /// Camera concerned; `None` if the pictures are not.
    pub camera: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub what: What,
    /// In words.
    pub message: String,
}

/// Where findings of one episode come from.
#[derive(Clone, Copy)]
struct Place<'a> {
    number: usize,
    episode: &'a Episode,
    camera: Option<&'a str>,
}

impl Place<'_> {
    fn finding(
        &self,
        severity: Severity,
        what: What,
        frames: Option<Range<usize>>,
        message: impl Into<String>,
    ) -> Finding {
        Finding {
            episode: Some(self.number),
            name: self.episode.name.clone(),
            frames,
            camera: self.camera.map(str::to_owned),
            severity,
            what,
            message: message.into(),
        }
    }
}

/// Looks at all rows and, of these cameras, at all pictures of one episode. Findings come in the order rows, cameras.
///
/// Pictures are streamed; memory does not grow with the episode's length beyond some bytes a frame.
pub fn validate_episode(
    dataset: &dyn Dataset,
    episode: usize,
    cameras: &[String],
    options: &ValidateOptions,
) -> Vec<Finding> {
    let (found, _) = group(dataset, &[episode], cameras, options, &mut |_| {});
    found
}

/// Looks at all rows and, of these cameras, at all pictures of `episodes`, and at what only all of them together show.
///
/// Findings are sorted by episode and are the same on any number of threads. `progress` hears how many frames were looked
/// at, those of all cameras, of how many.
///
/// # Errors
/// An episode or a camera that is not there.
pub fn validate(
    dataset: &dyn Dataset,
    episodes: &[usize],
    cameras: &[String],
    options: &ValidateOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Finding>, Error> {
    let all = dataset.episodes();
    if let Some(episode) = episodes.iter().find(|&&episode| episode >= all.len()) {
        return Err(Error::setting("episode", episode, format!("below {}", all.len())));
    }
    cameras.iter().try_for_each(|camera| dataset.camera(Some(camera)).map(drop))?;
    let total = episodes.iter().map(|&episode| all[episode].frames).sum::<usize>() * cameras.len();
    let (mut done, mut found, mut constant) = (0, Vec::new(), rows::Constant::default());
    progress(0, total);
    let mut rest = episodes;
    while !rest.is_empty() {
        let mut frames = 0;
        let within = |&&episode: &&usize| {
            let first = frames == 0;
            frames += all[episode].frames;
            first || frames <= GROUP
        };
        let (now, later) = rest.split_at(rest.iter().take_while(within).count().max(1));
        let (findings, rows) = group(dataset, now, cameras, options, &mut |frames| {
            // A group that cannot be read at once is read again, episode by episode.
            done = (done + frames).min(total);
            progress(done, total);
        });
        found.extend(findings);
        rows.iter().flatten().for_each(|rows| constant.add(rows));
        rest = later;
    }
    found.sort_by_key(|finding| finding.episode);
    found.extend(constant.findings());
    found.extend(whole::check(dataset));
    Ok(found)
}

/// Findings of some episodes, and those of their rows that could be read.
fn group(
    dataset: &dyn Dataset,
    episodes: &[usize],
    cameras: &[String],
    options: &ValidateOptions,
    seen: &mut dyn FnMut(usize),
) -> (Vec<Finding>, Vec<Option<Rows>>) {
    let mut found = Vec::new();
    let all = dataset.episodes();
    let place = |number: usize| Some(Place { number, episode: all.get(number)?, camera: None });
    let places: Vec<Place<'_>> = episodes.iter().filter_map(|&number| place(number)).collect();

    let rows = rows::of(dataset, &places);
    let mut kept = Vec::with_capacity(rows.len());
    let mut refused = BTreeSet::new();
    for (place, rows) in places.iter().zip(rows) {
        match rows {
            Ok(rows) => {
                found.extend(rows::check(*place, &rows, options));
                kept.push(Some(rows));
            }
            Err(error) => {
                let message = words(&error);
                refused.insert((place.number, message.clone()));
                found.push(place.finding(Severity::Error, What::Rows, None, message));
                kept.push(None);
            }
        }
    }
    for camera in cameras {
        let places: Vec<Place<'_>> =
            places.iter().map(|place| Place { camera: Some(camera.as_str()), ..*place }).collect();
        found.extend(pictures::check(dataset, camera, &places, options, seen));
    }
    // Pictures are found by the rows' times: what keeps those from being read need not be said for each camera again.
    found.retain(|finding| {
        finding.what != What::Pictures
            || !finding.episode.is_some_and(|number| refused.contains(&(number, finding.message.clone())))
    });
    (found, kept)
}

/// An error and what caused it.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

impl Exclusions {
    /// What has to be left out so that the findings of at least this severity are gone. Findings about the whole data set
    /// cannot be mended so.
    ///
    /// An episode of which a finding concerns all frames is left out whole; the others lose the frames concerned.
    pub fn of(findings: &[Finding], at_least: Severity) -> Self {
        let grave = || findings.iter().filter(|finding| finding.severity >= at_least);
        let whole: BTreeSet<Option<usize>> =
            grave().filter(|finding| finding.frames.is_none()).map(|finding| finding.episode).collect();
        let mut episodes: Vec<Exclusion> = Vec::new();
        for finding in grave() {
            let Some(episode) = finding.episode else { continue };
            if finding.frames.is_some() && whole.contains(&Some(episode)) {
                continue;
            }
            let same = |entry: &&mut Exclusion| entry.episode == episode && entry.frames == finding.frames;
            match episodes.iter_mut().rev().take_while(|entry| entry.episode == episode).find(same) {
                Some(entry) => entry.reason += &format!("; {}", finding.message),
                None => episodes.push(Exclusion {
                    episode,
                    name: finding.name.clone(),
                    frames: finding.frames.clone(),
                    reason: finding.message.clone(),
                }),
            }
        }
        Self { episodes }
    }
}
