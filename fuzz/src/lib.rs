//! What the fuzz targets share: a sound data set or run of which one file is the fuzzer's, read as a program would read it.
//!
//! The first byte of an input chooses one of the target's places, the rest is the file there. A panic that the crate
//! does not catch, an answer that contradicts itself, and whatever libFuzzer forbids are findings.

mod places;
mod runs;
mod sets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use cola_data::{Dataset, Error, Exclusions, MixtureConfig, OpenOptions, Region, Stretch, View};
use places::{Place, Reader};

/// Places of the target that runs, each with the folder of its data set.
static READY: OnceLock<Vec<(Place, PathBuf)>> = OnceLock::new();

/// The last panic: most are caught by the crate and told as errors.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Makes the data sets of a target and, where its corpus is empty, the seeds.
pub fn begin(target: &str) {
    // libFuzzer's own hook aborts at once, even where a panic is caught.
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    let places = places::of(target);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let (folder, new) = (sets::folder(), sets::is_empty(&corpus));
    let mut ready = Vec::new();
    for (number, place) in places.into_iter().enumerate() {
        let root = folder.join(number.to_string());
        place.base.make(&root).expect("a folder for the data set");
        if new {
            sets::write_seeds(&corpus, number, &place, &root).expect("a folder for the seeds");
        }
        ready.push((place, root));
    }
    drop(READY.set(ready));
}

/// Reads a data set with the fuzzer's bytes in it.
pub fn read(input: &[u8]) {
    let places = READY.get().expect("`begin` comes first");
    let Some((&choice, bytes)) = input.split_first() else { return };
    let (place, root) = &places[usize::from(choice) % places.len()];
    let mut bytes = bytes.to_vec();
    if let Some(mend) = place.mend {
        mend(root, &mut bytes);
    }
    let file = root.join(place.file);
    std::fs::write(&file, &bytes).expect("the folder of the data set");
    let read = || match &place.reader {
        Reader::Set(options) => read_set(root, options).map_err(|error| error.to_string()),
        Reader::Exclusions => read_exclusions(&file).map_err(|error| error.to_string()),
        Reader::Mixture => read_mixture(&bytes).map_err(|error| error.to_string()),
        Reader::Run(read) => read(root, &file, &bytes),
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        // Messages are made of what the file holds.
        Ok(told) => drop(told),
        Err(_) => {
            eprintln!("{}", PANIC.lock().unwrap_or_else(PoisonError::into_inner));
            std::process::abort()
        }
    }
}

/// Reads the first episodes: rows, and the first and last picture of every camera.
fn read_set(root: &Path, options: &OpenOptions) -> Result<(), Error> {
    let dataset = cola_data::open(root, options)?;
    for split in dataset.splits() {
        drop(dataset.split(&split).map_err(|error| error.to_string()));
    }
    for episode in 0..dataset.episodes().len().min(3) {
        drop(read_rows(&*dataset, episode).map_err(|error| error.to_string()));
        for camera in dataset.cameras() {
            drop(read_pictures(&*dataset, episode, &camera.key).map_err(|error| error.to_string()));
        }
    }
    Ok(())
}

fn read_rows(dataset: &dyn Dataset, episode: usize) -> Result<(), Error> {
    let frames = dataset.episodes()[episode].frames;
    for rows in dataset.rows(&[episode])? {
        let found = (rows.times.len(), rows.actions.len(), rows.states.len());
        assert_eq!(found, (frames, frames * rows.action_dim, frames * rows.state_dim));
    }
    Ok(())
}

fn read_pictures(dataset: &dyn Dataset, episode: usize, camera: &str) -> Result<(), Error> {
    let view = View { region: Region::FULL, height: 16, width: 16 };
    let mut frames = vec![0, dataset.episodes()[episode].frames.saturating_sub(1)];
    frames.dedup();
    let count = frames.len();
    let found = dataset.read(camera, &Stretch { episode, frames }, &view)?;
    assert_eq!((found.count, found.rgb.len()), (count, count * 16 * 16 * 3));
    Ok(())
}

fn read_exclusions(file: &Path) -> Result<(), Error> {
    let list = Exclusions::read(file)?;
    for episode in 0..4 {
        let kept = list.keep(episode, 100);
        assert!(kept.iter().all(|run| run.start < run.end && run.end <= 100));
        assert!(kept.windows(2).all(|pair| pair[0].end < pair[1].start));
    }
    Ok(())
}

fn read_mixture(bytes: &[u8]) -> Result<(), Error> {
    let text = String::from_utf8_lossy(bytes);
    let Ok(config) = toml::from_str::<MixtureConfig>(&text) else { return Ok(()) };
    config.check()?;
    let sum: f64 = config.weights()?.weights.iter().sum();
    assert!((sum - 1.0).abs() < 1e-9, "weights sum up to {sum}");
    Ok(())
}
