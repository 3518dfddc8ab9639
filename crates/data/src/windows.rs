//! Which frames make a clip: windows of one length over runs of frames, by a step or by a rate.

use std::sync::Arc;

use crate::dataset::{Episode, Rows};
use crate::runs::Run;
use crate::{Clip, ClipOptions, Dataset, Error, Frames};

/// All windows of one length over the runs of a data set, and the rows that belong to them.
#[derive(Clone)]
pub(crate) struct Windows {
    runs: Arc<[Numbered]>,
    frames: usize,
    /// Windows of all runs before each one, and of all.
    before: Vec<usize>,
}

/// A run with what its frames are known by.
struct Numbered {
    run: Run,
    step: Step,
    /// Of the whole episode; shared by its runs.
    rows: Arc<Rows>,
}

/// From one frame of a clip to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// So many frames of the episode.
    Frames(usize),
    /// So many seconds; the nearest frame is taken.
    Seconds(f64),
}

/// A rate that is this close to a whole step is one: 30 of 29.97.
const WHOLE: f64 = 0.01;

impl Windows {
    /// Reads the rows of the runs' episodes.
    pub(crate) fn new(dataset: &dyn Dataset, runs: &[Run], options: &ClipOptions) -> Result<Self, Error> {
        for run in runs {
            let found = dataset.episodes().get(run.episode).map_or(0, |episode| episode.frames);
            if run.frames.start >= run.frames.end || run.frames.end > found {
                let field = format!("{:?} of episode {}", run.frames, run.episode);
                return Err(Error::setting("frames", field, format!("some of its {found} frames")));
            }
        }
        let mut episodes: Vec<usize> = runs.iter().map(|run| run.episode).collect();
        episodes.dedup();
        let mut rows = Vec::with_capacity(episodes.len());
        for (&episode, mut found) in episodes.iter().zip(dataset.rows(&episodes)?) {
            found.check(dataset, episode)?;
            (found.states, found.state_dim) = (Vec::new(), 0);
            rows.push((episode, Arc::new(found)));
        }
        let mut rows = rows.into_iter().peekable();
        let mut numbered = Vec::with_capacity(runs.len());
        for run in runs {
            while rows.peek().is_some_and(|(episode, _)| *episode != run.episode) {
                rows.next();
            }
            let Some((_, rows)) = rows.peek().cloned() else { continue };
            let step = Step::new(options, dataset, run.episode, rows.action_dim)?;
            numbered.push(Numbered { run: run.clone(), step, rows });
        }
        Self::of(numbered.into(), options.frames)
    }

    fn of(runs: Arc<[Numbered]>, frames: usize) -> Result<Self, Error> {
        if frames == 0 {
            return Err(Error::setting("frames", 0, "at least 1"));
        }
        let mut before = vec![0];
        for numbered in &*runs {
            before.push(before[before.len() - 1] + numbered.starts(frames));
        }
        if before[before.len() - 1] == 0 {
            let longest = runs.iter().max_by_key(|numbered| numbered.run.frames.len());
            return Err(longest.map_or_else(
                || Error::setting("episodes", 0, "at least 1"),
                |numbered| numbered.too_short(numbered.run.frames.len(), frames),
            ));
        }
        Ok(Self { runs, frames, before })
    }

    /// Windows of another length over the same runs.
    pub(crate) fn with_frames(&self, frames: usize) -> Result<Self, Error> {
        Self::of(self.runs.clone(), frames)
    }

    /// Number of windows.
    pub(crate) fn len(&self) -> usize {
        self.before.last().copied().unwrap_or(0)
    }

    /// Frames of a window.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// The runs.
    pub(crate) fn runs(&self) -> impl ExactSizeIterator<Item = &Run> {
        self.runs.iter().map(|numbered| &numbered.run)
    }

    /// A run and the rows of its episode.
    pub(crate) fn run(&self, run: usize) -> Result<(&Run, &Rows), Error> {
        self.numbered(run).map(|found| (&found.run, &*found.rows))
    }

    fn numbered(&self, run: usize) -> Result<&Numbered, Error> {
        let expected = || format!("below {}, the episodes of the split", self.runs.len());
        self.runs.get(run).ok_or_else(|| Error::setting("episode", run, expected()))
    }

    /// Run and first frame, counted in the run, of window `index`.
    pub(crate) fn locate(&self, index: usize) -> Result<(usize, usize), Error> {
        if index >= self.len() {
            return Err(Error::setting("clip index", index, format!("below {}", self.len())));
        }
        let run = self.before.partition_point(|&before| before <= index) - 1;
        Ok((run, index - self.before[run]))
    }

    /// The frames, counted in the run, of the window of `frames` frames that begins at `start`. A frame that is shown long
    /// may come more than once.
    pub(crate) fn places(&self, run: usize, start: usize, frames: usize) -> Result<Vec<usize>, Error> {
        let numbered = self.numbered(run)?;
        if frames == 0 {
            return Err(Error::setting("frames", 0, "at least 1"));
        }
        let found = numbered.run.frames.len().saturating_sub(start);
        if start >= numbered.starts(frames) {
            return Err(numbered.too_short(found, frames));
        }
        Ok((0..frames).map(|frame| numbered.place(start, frame)).collect())
    }

    /// The clip of pictures at these [`places`](Self::places).
    ///
    /// The actions between two pictures are those of all steps between them, one after the other.
    pub(crate) fn clip(&self, run: usize, places: &[usize], frames: Frames) -> Result<Clip, Error> {
        let Numbered { run, step, rows } = self.numbered(run)?;
        let each = match step {
            Step::Frames(step) => rows.action_dim * step,
            Step::Seconds(_) => 0,
        };
        let start = places.first().copied().unwrap_or(0);
        let first = (run.frames.start + start) * rows.action_dim;
        let actions = rows.actions[first..first + each * (places.len() - 1)].to_vec();
        Ok(Clip {
            frames,
            actions,
            action_dim: each,
            episode: run.episode as u64,
            start: run.frames.start + start,
        })
    }
}

impl Numbered {
    /// Windows of `frames` frames that begin in the run.
    fn starts(&self, frames: usize) -> usize {
        let length = self.run.frames.len();
        match self.step {
            Step::Frames(step) => (length + 1).saturating_sub(reach(frames, step)),
            Step::Seconds(step) => {
                let times = self.times();
                let span = (frames - 1) as f64 * step;
                let last = times.last().copied().unwrap_or(0.0);
                // Times ascend, so the starts that fit come first. Half a step may be lacking: the last frame is shown on.
                times.partition_point(|&start| start + span <= last + 0.5 * step.min(self.mean_step()))
            }
        }
    }

    /// The frame of the run that comes as number `frame` in the window that begins at `start`.
    fn place(&self, start: usize, frame: usize) -> usize {
        match self.step {
            Step::Frames(step) => start + frame * step,
            Step::Seconds(step) => {
                let times = self.times();
                let wanted = times[start] + frame as f64 * step;
                let after = times.partition_point(|&time| time < wanted).min(times.len() - 1);
                let before = after.saturating_sub(1);
                // Half-way between two, by a hair: always the later one, so that rounding decides nothing.
                if wanted - times[before] + 1e-6 < times[after] - wanted { before } else { after }
            }
        }
    }

    /// Times of the run's frames.
    fn times(&self) -> &[f64] {
        &self.rows.times[self.run.frames.clone()]
    }

    /// Mean time from one frame of the run to the next, seconds.
    fn mean_step(&self) -> f64 {
        let times = self.times();
        (times[times.len() - 1] - times[0]) / (times.len() - 1).max(1) as f64
    }

    fn too_short(&self, found: usize, frames: usize) -> Error {
        let (expected, stride) = match self.step {
            Step::Frames(step) => (reach(frames, step), step),
            Step::Seconds(step) => {
                let stride = step / self.mean_step().max(1e-9);
                (((frames - 1) as f64 * stride).ceil() as usize + 1, stride.round() as usize)
            }
        };
        Error::ShortEpisode { found, expected, frames, stride }
    }
}

impl Step {
    /// The step that the options ask for in an episode.
    fn new(
        options: &ClipOptions,
        dataset: &dyn Dataset,
        episode: usize,
        action_dim: usize,
    ) -> Result<Self, Error> {
        if options.frame_stride == 0 {
            return Err(Error::setting("frame_stride", 0, "at least 1"));
        }
        let Some(rate) = options.rate else { return Ok(Self::Frames(options.frame_stride)) };
        if options.frame_stride != 1 {
            let found = format!("{rate} beside a frame_stride of {}", options.frame_stride);
            return Err(Error::setting("rate", found, "one of the two: leave frame_stride at 1"));
        }
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Error::setting("rate", rate, "a positive number of frames per second"));
        }
        let Episode { name, rate: own, .. } = &dataset.episodes()[episode];
        let Some(own) = own else {
            let expected =
                "a data set that tells its own rate; say it when opening (open.rate), or use frame_stride";
            return Err(Error::setting("rate", format!("{rate} for {name} of unknown rate"), expected));
        };
        let step = own / rate;
        let whole = step.round();
        if whole < 1.0 || step < 1.0 - WHOLE {
            let found = format!("{rate} for {name} of {own} frames per second");
            return Err(Error::setting("rate", found, format!("at most {own}")));
        }
        if (step - whole).abs() <= WHOLE * whole && action_dim > 0 {
            return Ok(Self::Frames(whole as usize));
        }
        if action_dim > 0 {
            let (fast, slow) = (own / step.floor(), own / step.ceil());
            let found = format!("{rate}, a step of {step:.2} frames of {name}");
            let expected = format!(
                "a whole step, so that the same number of actions lies between frames: {fast} or {slow}"
            );
            return Err(Error::setting("rate", found, expected));
        }
        Ok(Self::Seconds(1.0 / rate))
    }
}

/// Frames from the first of a window to its last.
fn reach(frames: usize, step: usize) -> usize {
    (frames - 1).saturating_mul(step).saturating_add(1)
}
