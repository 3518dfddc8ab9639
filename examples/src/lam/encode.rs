//! `lam encode`: latent actions of videos and datasets as a table.

use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use cola_data::{
    Cells, Clip, ClipOptions, Column, ColumnKind, ColumnWriter, Dataset, Frames, OpenOptions, Region,
    VideoFile, View, collate,
};
use cola_lam::ActionSequence;
use cola_report::Progress;

use crate::lam::args::{DataArgs, EncodeArgs};
use crate::lam::model::{Model, region_of};
use crate::sources::decode_split;

/// Frames read at a time.
const PIECE: usize = 64;

/// Encodes a video file or a dataset.
///
/// # Errors
/// An input that is neither, or damaged; a table that cannot be written.
pub fn run(args: &EncodeArgs) -> Result<()> {
    let model = Model::open(&args.model)?;
    if args.input.is_dir() {
        let dataset = cola_data::open(&args.input, &OpenOptions::default())?;
        return encode_dataset(&model, args, &*dataset);
    }
    if !args.input.exists() {
        bail!("{}: neither a video file nor the folder of a dataset is here", args.input.display());
    }
    encode_video(&model, args)
}

/// The table while it is written.
struct Export<'a> {
    model: &'a Model,
    table: ColumnWriter,
    embeddings: bool,
    rows: usize,
}

/// What a stretch of transitions belongs to: transition `i` of it leads from frame `frames[i]` to `frames[i + 1]`.
struct Place<'a> {
    source: &'a str,
    episode: i64,
    /// Number of the first transition in its episode.
    first: usize,
    frames: &'a [usize],
    times: &'a dyn Fn(usize) -> f64,
}

impl<'a> Export<'a> {
    fn create(model: &'a Model, args: &EncodeArgs, what: &[(&str, &str)]) -> Result<Self> {
        use ColumnKind::{Doubles, Integers, Texts, Vectors};
        let config = &model.config.lam;
        let mut columns = vec![Column::new("codebook", Texts), Column::new("source", Texts)];
        for name in ["episode", "transition", "from_frame", "to_frame"] {
            columns.push(Column::new(name, Integers));
        }
        columns.extend([Column::new("from_time", Doubles), Column::new("to_time", Doubles)]);
        columns.extend((0..config.tokens).map(|at| Column::new(format!("code_{at}"), Integers)));
        if !args.codes_only {
            columns.push(Column::new("z", Vectors(config.action_dim())));
        }
        let mut metadata = vec![("cola.codebook", model.version.as_str())];
        metadata.extend_from_slice(what);
        let table = ColumnWriter::create(&args.out, &columns, &metadata)?;
        Ok(Self { model, table, embeddings: !args.codes_only, rows: 0 })
    }

    /// Actions `(1, S, ..)`.
    fn write(&mut self, actions: &ActionSequence, place: &Place<'_>) -> Result<()> {
        let codes = actions.codes.squeeze(0)?.to_vec2::<u32>()?;
        let count = codes.len();
        let each = |of: &dyn Fn(usize) -> i64| Cells::Integers((0..count).map(of).collect());
        let time = |shift: usize| {
            Cells::Doubles((0..count).map(|i| (place.times)(place.frames[i + shift])).collect())
        };
        let mut cells = vec![
            Cells::Texts(vec![self.model.version.clone(); count]),
            Cells::Texts(vec![place.source.to_string(); count]),
            each(&|_| place.episode),
            each(&|i| (place.first + i) as i64),
            each(&|i| place.frames[i] as i64),
            each(&|i| place.frames[i + 1] as i64),
            time(0),
            time(1),
        ];
        for position in 0..self.model.config.lam.tokens {
            let column = codes.iter().map(|action| i64::from(action[position]));
            cells.push(Cells::Integers(column.collect()));
        }
        if self.embeddings {
            cells.push(Cells::Floats(actions.embedding.flatten_all()?.to_vec1()?));
        }
        self.rows += count;
        Ok(self.table.write_rows(cells)?)
    }

    fn finish(self, out: &Path) -> Result<()> {
        self.table.finish()?;
        println!("table      {} transitions, {}", self.rows, out.display());
        Ok(())
    }
}

fn encode_video(model: &Model, args: &EncodeArgs) -> Result<()> {
    let video = VideoFile::open(&args.input)?;
    if let Some(splits) = &args.splits {
        bail!("--splits {}: a video file has no splits; leave it out", splits.join(","));
    }
    let (height, width) = (video.height(), video.width());
    let region = match &args.region.region {
        Some(region) => region_of(region)?,
        None => centre(height, width),
    };
    let stride = args.stride.unwrap_or(model.config.data.frame_stride);
    let numbers: Vec<usize> = (0..video.frames()).step_by(stride).collect();
    if numbers.len() < 2 {
        bail!(
            "{}: {} of {} frames with a stride of {stride}, at least 2 are needed; choose a smaller --stride or a longer video",
            args.input.display(),
            numbers.len(),
            video.frames()
        );
    }
    let times = video.times();
    println!(
        "video      {} frames of {width} x {height}, {} of them read, {:.3} s apart on average",
        video.frames(),
        numbers.len(),
        (times[numbers[numbers.len() - 1]] - times[0]) / (numbers.len() - 1) as f64
    );
    let (stride, region_text) = (stride.to_string(), words(region));
    let name = args.input.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let what = [("cola.input", name.as_str()), ("cola.stride", &stride), ("cola.region", &region_text)];
    let mut export = Export::create(model, args, &what)?;

    // As a dataset is read: kept at no more than this size first, then resized for the model.
    let part = region.pixels(video.height(), video.width())?;
    let most = model.config.data.store;
    let view =
        View { region, height: (part.height as usize).min(most), width: (part.width as usize).min(most) };
    let mut sliding = model.lam.slide(model.config.data.frames)?;
    let mut bar = Progress::start("encode", numbers.len() as u64, 0);
    let (mut told, mut read) = (0, 0);
    let mut tell = |export: &mut Export<'_>, actions: Option<ActionSequence>| -> Result<()> {
        let Some(actions) = actions else { return Ok(()) };
        let frames = &numbers[told..=told + actions.codes.dim(1)?];
        let place = Place { source: &name, episode: 0, first: told, frames, times: &|frame| times[frame] };
        export.write(&actions, &place)?;
        told += frames.len() - 1;
        Ok(())
    };
    video.read(numbers.iter().copied(), &view, PIECE, |_, frames| -> Result<()> {
        read += frames.count;
        let found = sliding.push(&seen(model, frames)?)?;
        tell(&mut export, found)?;
        bar.tick(read as u64, "frames");
        Ok(())
    })?;
    tell(&mut export, sliding.finish()?)?;
    bar.finish("");
    export.finish(&args.out)
}

fn encode_dataset(model: &Model, args: &EncodeArgs, dataset: &dyn Dataset) -> Result<()> {
    let config = &model.config;
    if args.stride.is_some_and(|stride| stride != config.data.frame_stride) {
        bail!("--stride: a dataset is read with the model's own stride, {}", config.data.frame_stride);
    }
    let from = DataArgs { data: Some(args.input.clone()), region: args.region.clone() };
    let options = ClipOptions { frames: 2, ..model.clip_options(&from)? };
    let splits: Vec<String> = match &args.splits {
        Some(splits) => splits.clone(),
        None => dataset.splits(),
    };
    let name = args.input.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let stride = config.data.frame_stride.to_string();
    let (region, camera) = (words(options.region), dataset.camera(options.camera.as_deref())?.key.clone());
    let what = [
        ("cola.input", name.as_str()),
        ("cola.stride", &stride),
        ("cola.region", &region),
        ("cola.camera", &camera),
    ];
    let mut export = Export::create(model, args, &what)?;
    for split in &splits {
        let clips = decode_split(dataset, split, &options)?;
        let mut bar = Progress::start(&format!("encode {split}"), clips.runs() as u64, 0);
        for episode in 0..clips.runs() {
            let (run, rows) = clips.run(episode)?;
            let stored = run.frames.len();
            let frames: Vec<usize> = (0..stored).step_by(config.data.frame_stride).collect();
            if frames.len() >= 2 {
                let clip = clips.run_clip(episode, 0, frames.len())?;
                let number = clip.episode as i64;
                let actions = model
                    .lam
                    .infer_long(&seen(model, clip.frames)?, config.data.frames)
                    .with_context(|| format!("split `{split}`, episode {number}"))?;
                let place = Place {
                    source: split,
                    episode: number,
                    first: 0,
                    frames: &frames,
                    // Many formats store times in 32 bits, whose last digits mean nothing.
                    times: &|frame| (rows.times[frame] * 1e6).round() / 1e6,
                };
                export.write(&actions, &place)?;
            }
            bar.tick(episode as u64 + 1, "episodes");
        }
        bar.finish("");
    }
    export.finish(&args.out)
}

/// Frames as the model sees them in training, `(1, T, 3, side, side)` in `[0, 1]`.
fn seen(model: &Model, frames: Frames) -> Result<Tensor> {
    let clip = Clip { frames, actions: Vec::new(), action_dim: 0, episode: 0, start: 0 };
    let side = model.config.lam.image;
    Ok(collate(&[clip], side, side, &model.device)?.lam_view)
}

/// As `--region` takes it.
fn words(region: Region) -> String {
    let Region { top, left, height, width } = region;
    format!("{top},{left},{height},{width}")
}

/// The centred square.
fn centre(height: usize, width: usize) -> Region {
    let side = height.min(width) as f64;
    let (tall, wide) = (side / height as f64, side / width as f64);
    Region { top: (1.0 - tall) / 2.0, left: (1.0 - wide) / 2.0, height: tall, width: wide }
}
