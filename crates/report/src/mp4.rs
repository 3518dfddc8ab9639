//! A clip for any player.

use std::path::Path;

use mp4_atom::{
    Atom, Avc1, Avcc, Dinf, Dref, DrefEntry, Encode, Error as BoxError, Ftyp, Hdlr, Mdat, Mdhd, Mdia, Minf,
    Moov, Mvhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url,
    Visual, Vmhd,
};

use crate::h264::Stream;
use crate::{Error, Image};

/// Frames a second that [`save_mp4`] takes.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=1000.0;
/// The largest denominator of a frame rate that is kept as a fraction; NTSC's is 1001.
const DENOMINATOR: u32 = 10_000;
/// Ticks of a second at least; some players are bad at fewer.
const TICKS: u32 = 10_000;
/// Bytes before the content of `mdat`.
const HEADER: usize = 8;

/// Writes frames as an H.264 MP4 that shows `fps` of them a second, whole or not at all.
///
/// Every frame is kept, at one high quality whatever the clip: brightness comes back at about 47 dB. Color has half of
/// the picture's resolution (4:2:0), so [upscale](Image::upscale) small frames where single pixels matter. Each 16th
/// frame is a key frame to seek to, the index comes first, so that a browser plays the file while it loads, and the same
/// frames give the same bytes.
///
/// H.264 needs even sides: the last column or row of an odd one is shown twice. Rates are exact to a part in 10⁹ if
/// near a fraction with a denominator up to 10,000, such as 30000/1001, else to 10⁻⁶ frames a second.
///
/// ```
/// use cola_report::{Image, save_mp4};
///
/// # let folder = tempfile::tempdir()?;
/// # let out = folder.path();
/// let mut frames = vec![Image::new(64, 48, [30, 60, 90]); 10];
/// for (time, frame) in frames.iter_mut().enumerate() {
///     frame.fill(4 * time, 16, 16, 16, [250, 180, 60]);
/// }
/// save_mp4(out.join("clip.mp4"), &frames, 5.0)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// No frames, frames that differ in size, have a side below 16 pixels or exceed 3840 x 2160 (or 2160 x 3840), a rate that
/// is not from 0.01 to 1000, what the encoder refuses, a file of 4 GiB or more, or what
/// [`cola_files::write_atomically`] meets.
pub fn save_mp4(path: impl AsRef<Path>, frames: &[Image], fps: f64) -> Result<(), Error> {
    let path = path.as_ref();
    if !RATES.contains(&fps) {
        return Err(Error::FrameRate { file: path.to_owned(), found: fps });
    }
    Image::check_clip(frames, "an MP4", path)?;
    let stream = Stream::encode(path, frames, fps)?;
    let bytes = file(stream, fps).map_err(|source| Error::Mp4 { file: path.to_owned(), source })?;
    cola_files::write_atomically(path, &bytes).map_err(Error::io(path, "write"))
}

/// The whole file: what it is, the index, the pictures.
fn file(stream: Stream, fps: f64) -> Result<Vec<u8>, BoxError> {
    let mut bytes = Vec::new();
    let compatible_brands = [b"isom", b"iso2", b"avc1", b"mp41"].map(Into::into).to_vec();
    Ftyp { major_brand: b"isom".into(), minor_version: 0x200, compatible_brands }.encode(&mut bytes)?;

    // The index has the same length wherever the pictures start.
    let mut index = Vec::new();
    movie(&stream, fps, 0)?.encode(&mut index)?;
    let start = bytes.len() + index.len() + HEADER;
    movie(&stream, fps, number(start, Stco::KIND)?)?.encode(&mut bytes)?;

    let data: Vec<u8> = stream.pictures.into_iter().flat_map(|picture| picture.bytes).collect();
    Mdat { data }.encode(&mut bytes)?;
    Ok(bytes)
}

/// The index of a file whose pictures lie one after the other from byte `start` on.
fn movie(stream: &Stream, fps: f64, start: u32) -> Result<Moov, BoxError> {
    let count = number(stream.pictures.len(), Stsz::KIND)?;
    let (timescale, sample_delta) = ticks(fps);
    let duration = u64::from(count) * u64::from(sample_delta);
    let (width, height) = (stream.width, stream.height);

    let avcc = Avcc::new(&stream.sequence_parameters, &stream.picture_parameters)?;
    let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let sizes = stream.pictures.iter().map(|picture| number(picture.bytes.len(), Stsz::KIND));
    let keys = (1..).zip(&stream.pictures).filter(|(_, picture)| picture.key).map(|(place, _)| place);
    let tables = Stbl {
        stsd: Stsd { codecs: vec![Avc1 { visual, avcc, ..Avc1::default() }.into()] },
        stts: Stts { entries: vec![SttsEntry { sample_count: count, sample_delta }] },
        stss: Some(Stss { entries: keys.collect() }),
        stsc: Stsc {
            entries: vec![StscEntry {
                first_chunk: 1,
                samples_per_chunk: count,
                sample_description_index: 1,
            }],
        },
        stsz: Stsz { samples: StszSamples::Different { sizes: sizes.collect::<Result<_, _>>()? } },
        stco: Some(Stco { entries: vec![start] }),
        ..Stbl::default()
    };
    let mdia = Mdia {
        mdhd: Mdhd { timescale, duration, language: "und".into(), ..Mdhd::default() },
        hdlr: Hdlr { handler: b"vide".into(), name: "VideoHandler".into() },
        minf: Minf {
            vmhd: Some(Vmhd::default()),
            dinf: Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } },
            stbl: tables,
            ..Minf::default()
        },
    };
    let tkhd = Tkhd {
        track_id: 1,
        duration,
        enabled: true,
        in_movie: true,
        width: width.into(),
        height: height.into(),
        ..Tkhd::default()
    };
    Ok(Moov {
        // No dates, or the same frames would give other bytes.
        mvhd: Mvhd {
            timescale,
            duration,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: 2,
            ..Mvhd::default()
        },
        trak: vec![Trak { tkhd, mdia, ..Trak::default() }],
        ..Moov::default()
    })
}

/// Ticks of a second and of a frame.
fn ticks(fps: f64) -> (u32, u32) {
    let near = |denominator: &u32| {
        let ticks = fps * f64::from(*denominator);
        (ticks - ticks.round()).abs() <= 1e-9 * ticks
    };
    // Within `RATES` all of these fit in 32 bits.
    match (1..=DENOMINATOR).find(near) {
        Some(denominator) => {
            let numerator = (fps * f64::from(denominator)).round() as u32;
            let times = TICKS.div_ceil(numerator);
            (numerator * times, denominator * times)
        }
        None => ((fps * 1e6).round() as u32, 1_000_000),
    }
}

/// A number of the index, all of which have 32 bits.
fn number(value: usize, kind: mp4_atom::FourCC) -> Result<u32, BoxError> {
    u32::try_from(value).map_err(|_| BoxError::TooLarge(kind))
}
