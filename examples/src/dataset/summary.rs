//! What a dataset holds, in numbers.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use cola_data::Episode;
use cola_report::Table;
use serde::Serialize;

use crate::dataset::numbers::{Component, Numbers};
use crate::dataset::source::{Patience, Source};

/// Frames whose rows are read at once, about.
const GROUP: usize = 65_536;
/// Texts that are shown.
const TEXTS: usize = 5;
/// Components of an action that are shown as rows of a table.
const SHOWN: usize = 32;

/// Smallest, middle and largest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread<T> {
    /// Smallest.
    pub min: T,
    /// The one in the middle.
    pub median: T,
    /// Largest.
    pub max: T,
}

impl<T: Copy> Spread<T> {
    fn of(mut values: Vec<T>, order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> Option<Self> {
        values.sort_by(order);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { min, median: values[values.len() / 2], max })
    }
}

/// A camera.
#[derive(Clone, Debug, Serialize)]
pub struct CameraSummary {
    /// Its name.
    pub key: String,
    /// Pixels; none if they differ between episodes.
    pub height: Option<usize>,
    /// Pixels; none if they differ between episodes.
    pub width: Option<usize>,
}

/// A split.
#[derive(Clone, Debug, Serialize)]
pub struct SplitSummary {
    /// Its name.
    pub name: String,
    /// Its episodes; none if it cannot be read.
    pub episodes: Option<usize>,
    /// Their frames.
    pub frames: Option<usize>,
}

/// How often a text occurs.
#[derive(Clone, Debug, Serialize)]
pub struct TextCount {
    /// The text.
    pub text: String,
    /// Episodes that have it.
    pub episodes: usize,
}

/// Everything that `dataset inspect` tells, `inspect.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Name of the folder or file.
    pub name: String,
    /// The format.
    pub format: String,
    /// Split that was looked at; none for all episodes.
    pub split: Option<String>,
    /// Files or groups that the dataset holds but cannot be used, with the reasons.
    pub skipped: Vec<(String, String)>,
    /// Number of episodes.
    pub episodes: usize,
    /// Number of frames of one camera.
    pub frames: usize,
    /// Length of all episodes whose rate is known.
    pub seconds: f64,
    /// Frames per second of the episodes that tell it.
    pub rate: Option<Spread<f64>>,
    /// Episodes without a rate.
    pub without_rate: usize,
    /// Frames of an episode.
    pub lengths: Option<Spread<usize>>,
    /// The cameras looked at.
    pub cameras: Vec<CameraSummary>,
    /// Splits that the dataset defines.
    pub splits: Vec<SplitSummary>,
    /// Numbers of an action; 0 if none are known.
    pub action_dim: usize,
    /// One for each number of an action.
    pub actions: Vec<Component>,
    /// Numbers of a state; 0 if none are known.
    pub state_dim: usize,
    /// Different texts.
    pub distinct_texts: usize,
    /// Episodes without text.
    pub without_text: usize,
    /// The most common ones.
    pub texts: Vec<TextCount>,
}

impl Summary {
    /// Reads all rows of a dataset, no pictures.
    ///
    /// # Errors
    /// Rows that cannot be read.
    pub fn of(source: &Source, split: Option<&str>) -> Result<(Self, Numbers)> {
        let dataset = &*source.dataset;
        let all = dataset.episodes();
        let episodes: Vec<&Episode> = source.episodes.iter().map(|&episode| &all[episode]).collect();
        let (actions, state_dim) = rows(source)?;

        let rates: Vec<f64> = episodes.iter().filter_map(|episode| episode.rate).collect();
        let seconds =
            episodes.iter().filter_map(|episode| Some(episode.frames as f64 / episode.rate?)).sum::<f64>();
        let mut texts: BTreeMap<&str, usize> = BTreeMap::new();
        for text in episodes.iter().flat_map(|episode| &episode.texts) {
            *texts.entry(text).or_default() += 1;
        }
        let distinct_texts = texts.len();
        let mut texts: Vec<TextCount> =
            texts.into_iter().map(|(text, episodes)| TextCount { text: text.to_owned(), episodes }).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.episodes));
        texts.truncate(TEXTS);
        let splits = dataset.splits().into_iter().map(|name| {
            let members = dataset.split(&name).ok();
            let frames = members.as_ref().map(|of| of.iter().map(|&episode| all[episode].frames).sum());
            SplitSummary { name, episodes: members.map(|of| of.len()), frames }
        });
        let cameras = source.cameras.iter().map(|camera| CameraSummary {
            key: camera.key.clone(),
            height: camera.size.map(|(height, _)| height),
            width: camera.size.map(|(_, width)| width),
        });
        let summary = Self {
            name: source.name(),
            format: dataset.format().to_string(),
            split: split.map(str::to_owned),
            skipped: dataset.skipped(),
            episodes: episodes.len(),
            frames: source.frames(),
            seconds,
            without_rate: episodes.len() - rates.len(),
            rate: Spread::of(rates, f64::total_cmp),
            lengths: Spread::of(episodes.iter().map(|episode| episode.frames).collect(), usize::cmp),
            cameras: cameras.collect(),
            splits: splits.collect(),
            action_dim: actions.components.len(),
            actions: actions.components.clone(),
            state_dim,
            distinct_texts,
            without_text: episodes.iter().filter(|episode| episode.texts.is_empty()).count(),
            texts,
        };
        Ok((summary, actions))
    }

    /// As it stands on the terminal.
    ///
    /// # Errors
    /// None in practice: every row of a table has the header's length.
    pub fn print(&self) -> Result<()> {
        println!("dataset    {}, format {}", self.name, self.format);
        if let Some(split) = &self.split {
            println!("part       split {split}");
        }
        println!("episodes   {}", self.episodes);
        if let Some((name, why)) = self.skipped.first() {
            println!("left out   {} that cannot be used, the first {name}: {why}", self.skipped.len());
        }
        match self.lengths {
            Some(Spread { min, max, .. }) if min == max => {
                println!("frames     {}, {min} in each episode", self.frames);
            }
            Some(Spread { min, median, max }) => {
                println!("frames     {}, {min} to {max} in an episode, median {median}", self.frames);
            }
            None => {}
        }
        match self.rate {
            Some(Spread { min, max, .. }) if min == max => println!("rate       {min} frames per second"),
            Some(Spread { min, median, max }) => {
                println!("rate       {min:.3} to {max:.3} frames per second, median {median:.3}");
            }
            None => println!("rate       unknown; tell it with --rate"),
        }
        if self.rate.is_some() {
            let beside = match self.without_rate {
                0 => String::new(),
                count => format!(", without {count} episodes of unknown rate"),
            };
            println!("duration   {}{beside}", duration(self.seconds));
        }
        for camera in &self.cameras {
            match (camera.height, camera.width) {
                (Some(height), Some(width)) => println!("camera     {}, {width} x {height}", camera.key),
                _ => println!("camera     {}, sizes differ from episode to episode", camera.key),
            }
        }
        for split in &self.splits {
            match (split.episodes, split.frames) {
                (Some(episodes), Some(frames)) => {
                    println!("split      {}: {episodes} episodes, {frames} frames", split.name);
                }
                _ => println!("split      {}: no episodes", split.name),
            }
        }
        if self.splits.is_empty() {
            println!("split      none defined");
        }
        match self.distinct_texts {
            0 => println!("texts      none"),
            count => println!("texts      {count} different, {} episodes without any", self.without_text),
        }
        for TextCount { text, episodes } in &self.texts {
            println!("  {episodes:>7}  {text}");
        }
        match self.state_dim {
            0 => println!("state      none"),
            dim => println!("state      {dim} numbers"),
        }
        self.print_actions()
    }

    fn print_actions(&self) -> Result<()> {
        if self.action_dim == 0 {
            println!("actions    none: training does not need them, probes and adapters do");
            return Ok(());
        }
        println!("actions    {} numbers\n", self.action_dim);
        let mut table = Table::new(["component", "min", "max", "mean", "std", "not finite"]);
        let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        for (index, part) in self.actions.iter().enumerate().take(SHOWN) {
            let (mean, std) = ((part.count > 0).then_some(part.mean), (part.count > 0).then_some(part.std));
            let cells = [number(part.min), number(part.max), number(mean), number(std)];
            table
                .row(std::iter::once(index.to_string()).chain(cells).chain([part.non_finite.to_string()]))?;
        }
        println!("{table}");
        if self.action_dim > SHOWN {
            println!("and {} more in inspect.json\n", self.action_dim - SHOWN);
        }
        Ok(())
    }
}

/// Figures of all actions, and the numbers of a state.
fn rows(source: &Source) -> Result<(Numbers, usize)> {
    let all = source.dataset.episodes();
    let (mut actions, mut state_dim, mut done) = (Numbers::default(), 0, 0);
    let mut bar = Patience::new("rows", "episodes");
    while done < source.episodes.len() {
        let mut frames = 0;
        let within = |&&episode: &&usize| {
            let first = frames == 0;
            frames += all[episode].frames;
            first || frames <= GROUP
        };
        let rest = &source.episodes[done..];
        let group = &rest[..rest.iter().take_while(within).count().max(1)];
        let found = source.dataset.rows(group).with_context(|| {
            let path = source.path.display();
            format!("rows cannot be read; `dataset validate {path}` finds all that is wrong")
        })?;
        for rows in found {
            actions.add(&rows.actions, rows.action_dim);
            state_dim = state_dim.max(rows.state_dim);
        }
        done += group.len();
        bar.tick(done, source.episodes.len());
    }
    bar.finish();
    Ok((actions, state_dim))
}

/// The two largest units of a time.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        ..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}
