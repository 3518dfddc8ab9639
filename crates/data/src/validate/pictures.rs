//! Checks of pictures: can they be decoded, do they show anything, do they change?

use std::ops::Range;

use super::runs::{frames as words_of, runs, told};
use super::{Finding, Place, Severity, ValidateOptions, What, words};
use crate::dataset::{Dataset, Decoded, Stretch};
use crate::{Error, View};

/// Frames of a stretch: what a reader that decodes stretch by stretch holds in memory at once, and how closely a place
/// that cannot be decoded is told.
const STRETCH: usize = 64;

/// What is kept of a picture.
#[derive(Clone, Copy)]
struct Digest {
    /// Of all its bytes.
    hash: u64,
    /// Brightest value.
    most: u8,
    /// Largest difference within a colour channel.
    spread: u8,
}

/// What is wrong with the pictures of a camera in some episodes. `seen` hears of every picture that was looked at.
///
/// All are asked for at once. If that fails, episode by episode, and the episodes that fail stretch by stretch.
pub(super) fn check(
    dataset: &dyn Dataset,
    camera: &str,
    places: &[Place<'_>],
    options: &ValidateOptions,
    seen: &mut dyn FnMut(usize),
) -> Vec<Finding> {
    let places: Vec<Place<'_>> = places.iter().filter(|place| place.episode.frames > 0).copied().collect();
    let size = match dataset.camera(Some(camera)) {
        Ok(found) => found.size,
        Err(error) => return places.iter().map(|place| unreadable(*place, None, &words(&error))).collect(),
    };
    let reading = Reading { dataset, camera, view: options.view(size) };
    if let Ok(digests) = reading.all(&places, seen) {
        return places.iter().zip(digests).flat_map(|(place, seen)| judge(*place, &seen, options)).collect();
    }
    places.iter().flat_map(|place| reading.alone(*place, options, seen)).collect()
}

struct Reading<'a> {
    dataset: &'a dyn Dataset,
    camera: &'a str,
    view: View,
}

impl Reading<'_> {
    /// Digests of all frames of the episodes.
    fn all(
        &self,
        places: &[Place<'_>],
        seen: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Option<Digest>>>, Error> {
        let mut digests: Vec<Vec<Option<Digest>>> =
            places.iter().map(|place| vec![None; place.episode.frames]).collect();
        let (mut wanted, mut owners) = (Vec::new(), Vec::new());
        for (owner, place) in places.iter().enumerate() {
            for start in (0..place.episode.frames).step_by(STRETCH) {
                wanted.push(stretch(*place, start));
                owners.push((owner, start));
            }
        }
        self.dataset.read_many(
            self.camera,
            &wanted,
            &self.view,
            &mut |Decoded { stretch, place, rgb }| {
                let slot = owners
                    .get(stretch)
                    .and_then(|&(owner, start)| digests.get_mut(owner)?.get_mut(start + place));
                if let Some(slot) = slot {
                    *slot = Some(digest(&rgb));
                }
                seen(1);
                Ok(())
            },
        )?;
        Ok(digests)
    }

    /// Findings of one episode, which may be unreadable in part.
    fn alone(
        &self,
        place: Place<'_>,
        options: &ValidateOptions,
        seen: &mut dyn FnMut(usize),
    ) -> Vec<Finding> {
        let whole = match self.all(&[place], seen) {
            Ok(digests) => {
                return digests.iter().flat_map(|digests| judge(place, digests, options)).collect();
            }
            Err(error) => words(&error),
        };
        let frames = place.episode.frames;
        let mut digests = vec![None; frames];
        let mut failed: Vec<(Range<usize>, String)> = Vec::new();
        for start in (0..frames).step_by(STRETCH) {
            let wanted = stretch(place, start);
            let end = start + wanted.frames.len();
            let mut taken = Vec::with_capacity(wanted.frames.len());
            let read = self.dataset.read_many(self.camera, &[wanted], &self.view, &mut |decoded| {
                taken.push((start + decoded.place, digest(&decoded.rgb)));
                Ok(())
            });
            match read {
                Ok(()) => taken.into_iter().for_each(|(frame, found)| digests[frame] = Some(found)),
                Err(error) => match failed.last_mut() {
                    Some((run, _)) if run.end == start => run.end = end,
                    _ => failed.push((start..end, words(&error))),
                },
            }
        }
        let mut found = Vec::new();
        match failed.as_slice() {
            // Together they cannot be read, although each stretch can.
            [] => found.push(unreadable(place, None, &whole)),
            [(run, why)] if run.len() == frames => found.push(unreadable(place, None, why)),
            parts => found.extend(parts.iter().map(|(run, why)| unreadable(place, Some(run.clone()), why))),
        }
        // Frames that were not read are told already.
        let known = failed.iter().flat_map(|(run, _)| run.clone());
        for frame in known {
            digests[frame] = Some(Digest { hash: frame as u64, most: 255, spread: 255 });
        }
        found.extend(judge(place, &digests, options));
        found
    }
}

fn stretch(place: Place<'_>, start: usize) -> Stretch {
    let end = place.episode.frames.min(start + STRETCH);
    Stretch { episode: place.number, frames: (start..end).collect() }
}

fn unreadable(place: Place<'_>, frames: Option<Range<usize>>, why: &str) -> Finding {
    let message = match &frames {
        Some(run) => format!("{}: {why}", words_of(run)),
        None => why.to_owned(),
    };
    place.finding(Severity::Error, What::Pictures, frames, message)
}

/// Findings about an episode's decoded pictures.
fn judge(place: Place<'_>, digests: &[Option<Digest>], options: &ValidateOptions) -> Vec<Finding> {
    let having = |is: &dyn Fn(Digest) -> bool| {
        told(runs((0..digests.len()).filter(|&frame| digests[frame].is_some_and(is))))
    };
    let black = |digest: Digest| digest.most <= options.black;
    let uniform = |digest: Digest| !black(digest) && digest.spread <= options.uniform;
    let mut found = Vec::new();
    for (run, words) in told(runs((0..digests.len()).filter(|&frame| digests[frame].is_none()))) {
        let message = format!("{words}: the reader handed no picture over");
        found.push(place.finding(Severity::Error, What::Pictures, Some(run), message));
    }
    for (run, words) in having(&black) {
        found.push(place.finding(Severity::Error, What::Black, Some(run), format!("{words}: black")));
    }
    for (run, words) in having(&uniform) {
        let message = format!("{words}: one colour all over");
        found.push(place.finding(Severity::Warning, What::Uniform, Some(run), message));
    }
    // A black or empty picture is told already, however often it is repeated.
    let same = |a: usize, b: usize| match (digests[a], digests[b]) {
        (Some(a), Some(b)) => a.hash == b.hash && !black(a) && !uniform(a),
        _ => false,
    };
    let (mut frozen, mut start) = (Vec::new(), 0);
    for frame in 1..=digests.len() {
        if frame == digests.len() || !same(start, frame) {
            if frame - start >= options.frozen.max(2) {
                frozen.push(start..frame);
            }
            start = frame;
        }
    }
    for (run, words) in told(frozen) {
        let message = format!("{words}: the picture stands still, {} identical ones", run.len());
        found.push(place.finding(Severity::Warning, What::Frozen, Some(run), message));
    }
    found
}

fn digest(rgb: &[u8]) -> Digest {
    // Sixteen pixels side by side, which compilers turn into vector instructions; a byte's place tells its channel.
    let (mut least, mut most) = ([u8::MAX; 48], [u8::MIN; 48]);
    let mut take = |block: &[u8]| {
        for ((least, most), value) in least.iter_mut().zip(&mut most).zip(block) {
            *least = (*least).min(*value);
            *most = (*most).max(*value);
        }
    };
    let (blocks, rest) = rgb.as_chunks::<48>();
    blocks.iter().for_each(|block| take(block));
    take(rest);
    let spread = |channel: usize| {
        let of = |values: &[u8; 48]| values.iter().skip(channel).step_by(3).copied().collect::<Vec<_>>();
        let (low, high) = (of(&least).into_iter().min(), of(&most).into_iter().max());
        high.unwrap_or(0).saturating_sub(low.unwrap_or(0))
    };
    let spread = (0..3).map(spread).max().unwrap_or(0);
    Digest { hash: hash(rgb), most: most.into_iter().max().unwrap_or(0), spread }
}

/// Multiplies and rotates eight bytes at a time, as FxHash does. A chance equality, one in 2^64 for each pair of
/// neighbours, would only have to last for the length of a frozen stretch.
fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
}
