//! Where the rows of each head lie in a tensor of tokens, so that every head can be written by a thread of its own.

use super::heads::{Heads, Source};

/// The places of one head's rows, wherever they lie.
pub(super) type Rows<'a, E> = Vec<&'a mut [E]>;

impl Heads {
    /// A tensor's rows, sorted by the part that its columns belong to and by unit.
    pub(super) fn places<'a, E, const N: usize>(
        &self,
        values: &'a mut [E],
        parts: [Source; N],
        lengths: [usize; N],
        units: usize,
    ) -> [Vec<Rows<'a, E>>; N] {
        let mut places: [Vec<Rows<'a, E>>; N] =
            lengths.map(|length| (0..units).map(|_| Vec::with_capacity(length)).collect());
        let (width, length) = (parts[0].width, lengths[0]);
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            let sequence = row / (length * self.inner) * self.inner + row % self.inner;
            for (column, cell) in values.chunks_exact_mut(self.size).enumerate() {
                for (part, places) in parts.iter().zip(&mut places) {
                    if let Some(head) =
                        column.checked_sub(part.offset / self.size).filter(|h| *h < self.heads)
                    {
                        places[sequence * self.heads + head].push(cell);
                        break;
                    }
                }
            }
        }
        places
    }

    /// Where the gradients of queries, keys and values go.
    pub(super) fn result_places<'a, E>(
        &self,
        results: &'a mut [&mut [E]],
        units: usize,
    ) -> [Vec<Rows<'a, E>>; 3] {
        let [q, k, v] = self.sources;
        let [queries, keys, _] = self.part_lengths();
        match results {
            [all] => self.places(all, [q, k, v], [queries, keys, keys], units),
            [for_q, for_kv] => {
                let [for_q] = self.places(for_q, [q], [queries], units);
                let [for_k, for_v] = self.places(for_kv, [k, v], [keys, keys], units);
                [for_q, for_k, for_v]
            }
            [for_q, for_k, for_v, ..] => {
                let [for_q] = self.places(for_q, [q], [queries], units);
                let [for_k] = self.places(for_k, [k], [keys], units);
                let [for_v] = self.places(for_v, [v], [keys], units);
                [for_q, for_k, for_v]
            }
            [] => [Vec::new(), Vec::new(), Vec::new()],
        }
    }
}
