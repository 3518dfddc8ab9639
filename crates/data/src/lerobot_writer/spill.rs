//! Bytes that wait for the end of their episode on the disk.

use std::fs::File;
use std::io::{BufWriter, Read, Result, Seek, SeekFrom, Write};
use std::path::Path;

/// Pieces of bytes in a nameless file, which the system removes with its owner, however that ends.
pub(super) struct Spill {
    file: BufWriter<File>,
    /// Where each piece ends.
    ends: Vec<u64>,
}

impl Spill {
    /// An empty one on the disk of `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile_in(folder)?), ends: Vec::new() })
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> Result<()> {
        self.file.write_all(piece)?;
        self.ends.push(self.ends.last().copied().unwrap_or(0) + piece.len() as u64);
        Ok(())
    }

    /// Bytes of piece `index`; 0 if there is none.
    pub(super) fn length(&self, index: usize) -> u64 {
        let [start, end] = self.bounds(index);
        end - start
    }

    /// Piece `index` as it was pushed; empty if there is none.
    pub(super) fn read(&mut self, index: usize) -> Result<Vec<u8>> {
        self.file.flush()?;
        let mut piece = vec![0; self.length(index) as usize];
        let [start, _] = self.bounds(index);
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut piece)?;
        Ok(piece)
    }

    /// Forgets all pieces; the room is used again.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.file.flush()?;
        self.file.get_mut().set_len(0)?;
        self.file.rewind()?;
        self.ends.clear();
        Ok(())
    }

    fn bounds(&self, index: usize) -> [u64; 2] {
        let end = |count: usize| match count {
            0 => 0,
            count => self.ends.get(count - 1).or(self.ends.last()).copied().unwrap_or(0),
        };
        [end(index), end(index + 1)]
    }
}
