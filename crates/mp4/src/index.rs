//! The boxes around the pictures.

use mp4_atom::{
    Atom, Avc1, Avcc, Dinf, Dref, DrefEntry, Encode, Error as BoxError, Ftyp, Hdlr, Mdat, Mdhd, Mdia, Minf,
    Moov, Mvhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url,
    Visual, Vmhd,
};

use crate::encoder::Encoder;

/// The largest denominator of a frame rate that is kept as a fraction; NTSC's is 1001.
const DENOMINATOR: u32 = 10_000;
/// Ticks of a second at least; some players are bad at fewer.
const TICKS: u32 = 10_000;
/// Bytes before the content of `mdat`.
pub(crate) const HEADER: u32 = 8;

/// What the index says about each picture.
#[derive(Default)]
pub(crate) struct Index {
    /// Bytes of each.
    pub(crate) sizes: Vec<u32>,
    /// Numbers of the key frames, counted from 1.
    pub(crate) keys: Vec<u32>,
    /// Bytes of all.
    pub(crate) total: u32,
}

impl Index {
    /// Takes the next picture.
    pub(crate) fn add(&mut self, bytes: usize, key: bool) -> Result<(), BoxError> {
        let size = number(bytes, Stsz::KIND)?;
        let count = number(self.sizes.len() + 1, Stsz::KIND)?;
        let total = self.total.checked_add(size).filter(|total| *total <= u32::MAX - HEADER);
        self.total = total.ok_or(BoxError::TooLarge(Mdat::KIND))?;
        self.sizes.push(size);
        if key {
            self.keys.push(count);
        }
        Ok(())
    }

    /// All that stands before the pictures: what the file is, the index, the head of `mdat`.
    pub(crate) fn head(&self, encoder: &Encoder, fps: f64) -> Result<Vec<u8>, BoxError> {
        let mut bytes = Vec::new();
        let compatible_brands = [b"isom", b"iso2", b"avc1", b"mp41"].map(Into::into).to_vec();
        Ftyp { major_brand: b"isom".into(), minor_version: 0x200, compatible_brands }.encode(&mut bytes)?;
        // The index has the same length wherever the pictures start.
        let mut index = Vec::new();
        self.movie(encoder, fps, 0)?.encode(&mut index)?;
        let start = bytes.len() + index.len() + HEADER as usize;
        self.movie(encoder, fps, number(start, Stco::KIND)?)?.encode(&mut bytes)?;
        bytes.extend((self.total + HEADER).to_be_bytes());
        bytes.extend(b"mdat");
        Ok(bytes)
    }

    /// The index of a file whose pictures lie one after the other from byte `start` on.
    fn movie(&self, encoder: &Encoder, fps: f64, start: u32) -> Result<Moov, BoxError> {
        let count = number(self.sizes.len(), Stsz::KIND)?;
        let (timescale, sample_delta) = ticks(fps);
        let duration = u64::from(count) * u64::from(sample_delta);
        let (width, height) = (encoder.width, encoder.height);

        let avcc = Avcc::new(&encoder.sequence_parameters, &encoder.picture_parameters)?;
        let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
        let tables = Stbl {
            stsd: Stsd { codecs: vec![Avc1 { visual, avcc, ..Avc1::default() }.into()] },
            stts: Stts { entries: vec![SttsEntry { sample_count: count, sample_delta }] },
            stss: Some(Stss { entries: self.keys.clone() }),
            stsc: Stsc {
                entries: vec![StscEntry {
                    first_chunk: 1,
                    samples_per_chunk: count,
                    sample_description_index: 1,
                }],
            },
            stsz: Stsz { samples: StszSamples::Different { sizes: self.sizes.clone() } },
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
}

/// Ticks of a second and of a frame.
fn ticks(fps: f64) -> (u32, u32) {
    let near = |denominator: &u32| {
        let ticks = fps * f64::from(*denominator);
        (ticks - ticks.round()).abs() <= 1e-9 * ticks
    };
    // Within the rates allowed all of these fit in 32 bits.
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
