//! Ragged arrays: rows of different lengths, one after the other in one piece of memory.

use crate::error::{Error, Result};
use std::ops::Range;

/// R rows; row i is `values[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ragged<T> {
    /// 0, ascending, the number of values, `[R + 1]`.
    offsets: Vec<u32>,
    values: Vec<T>,
}

impl<T> Ragged<T> {
    /// `offsets`: where each row begins in `values`, and where the last one ends, `[R + 1]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless the offsets ascend from 0 to the number of values.
    pub fn new(offsets: Vec<u32>, values: Vec<T>) -> Result<Ragged<T>> {
        let ends = [offsets.first(), offsets.last()].map(|end| end.map(|&end| end as usize));
        if ends != [Some(0), Some(values.len())] || !offsets.is_sorted() {
            return Err(Error::invalid(format!(
                "{} offsets that do not ascend from 0 to {}, the number of values",
                offsets.len(),
                values.len()
            )));
        }
        Ok(Ragged { offsets, values })
    }

    /// Number of rows, R.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where row `i` lies in the values.
    pub fn range(&self, i: usize) -> Range<usize> {
        self.offsets[i] as usize..self.offsets[i + 1] as usize
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &[T] {
        &self.values[self.range(i)]
    }

    /// The rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[T]> {
        (0..self.len()).map(|i| self.row(i))
    }

    /// Where each row begins in the values, and where the last one ends, `[R + 1]`.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The values of all rows.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The values of all rows, to be changed.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// The offsets, and the values to be changed.
    pub fn split_mut(&mut self) -> (&[u32], &mut [T]) {
        (&self.offsets, &mut self.values)
    }

    /// Adds a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = T>) {
        self.values.extend(row);
        self.offsets.push(self.values.len() as u32);
    }

    /// The same rows of what `f` makes of the values.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Ragged<U> {
        Ragged { offsets: self.offsets.clone(), values: self.values.iter().map(f).collect() }
    }

    /// The rows of all parts, one part after the other.
    pub fn concat(parts: Vec<Ragged<T>>) -> Ragged<T> {
        let rows: usize = parts.iter().map(Ragged::len).sum();
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        let mut values = Vec::with_capacity(parts.iter().map(|part| part.values.len()).sum());
        for part in parts {
            let start = values.len() as u32;
            offsets.extend(part.offsets[1..].iter().map(|end| start + end));
            values.extend(part.values);
        }
        Ragged { offsets, values }
    }
}

impl Ragged<u32> {
    /// The members of each of `count` groups, ascending. `of`: the group of every member, below `count`.
    pub fn members(of: &[u32], count: usize) -> Ragged<u32> {
        let mut offsets = vec![0; count + 1];
        for &group in of {
            offsets[group as usize + 1] += 1;
        }
        for group in 0..count {
            offsets[group + 1] += offsets[group];
        }
        let mut next = offsets.clone();
        let mut values = vec![0; of.len()];
        for (member, &group) in of.iter().enumerate() {
            values[next[group as usize] as usize] = member as u32;
            next[group as usize] += 1;
        }
        Ragged { offsets, values }
    }
}

impl<T> Default for Ragged<T> {
    /// No row.
    fn default() -> Ragged<T> {
        Ragged { offsets: vec![0], values: vec![] }
    }
}

impl<T, R: IntoIterator<Item = T>> FromIterator<R> for Ragged<T> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Ragged<T> {
        let mut ragged = Ragged::default();
        rows.into_iter().for_each(|row| ragged.push(row));
        ragged
    }
}

#[cfg(test)]
mod tests {
    use super::Ragged;

    #[test]
    fn rows_lie_between_the_offsets() {
        let ragged = Ragged::new(vec![0, 2, 2, 3], vec![7, 8, 9]).unwrap();
        assert_eq!(ragged.rows().collect::<Vec<_>>(), [&[7, 8][..], &[], &[9]]);
        assert_eq!(ragged, Ragged::from_iter([vec![7, 8], vec![], vec![9]]));
        assert_eq!(Ragged::concat(vec![ragged.clone(), Ragged::default(), ragged.clone()]).row(5), [9]);
        assert_eq!(ragged.map(|v| v - 7).values(), [0, 1, 2]);
        assert!(Ragged::<u8>::default().is_empty());
    }

    #[test]
    fn offsets_that_do_not_fit_are_refused() {
        for offsets in [vec![], vec![1, 3], vec![0, 2], vec![0, 4], vec![0, 2, 1, 3]] {
            let error = Ragged::new(offsets.clone(), vec![7, 8, 9]).unwrap_err().to_string();
            assert!(error.contains("offsets"), "{offsets:?}: {error}");
        }
    }

    #[test]
    fn members_ascend() {
        let groups = Ragged::members(&[2, 0, 2, 2], 4);
        assert_eq!(groups.rows().collect::<Vec<_>>(), [&[1][..], &[], &[0, 2, 3], &[]]);
        assert_eq!(Ragged::members(&[], 0), Ragged::default());
    }
}
