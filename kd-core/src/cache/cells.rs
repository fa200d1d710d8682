//! The rows: where each cell is, how its numbers are kept, and its checksum.

use std::fs::File;
use std::path::Path;

use burn::tensor::f16;

use crate::cache::checksum::{CRC_BYTES, crc};
use crate::cache::description::{CacheDescription, CacheDtype};
use crate::cache::header::Seal;
use crate::error::{Error, Result};

/// Where everything is in a file of one description.
///
/// A cell is one field of one row: its numbers and their checksum.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    seal: Seal,
    dtype: CacheDtype,
    rows: u64,
    /// Where each field begins within a row, and how many numbers it has.
    fields: Vec<(usize, usize)>,
    row_bytes: usize,
}

impl CacheDescription {
    /// Bytes of a row, its checksums included.
    pub(super) fn row_bytes(&self) -> u64 {
        let numbers = |shape: &[usize]| shape.iter().product::<usize>();
        let cell = |shape: &[usize]| numbers(shape) * self.dtype.bytes() + CRC_BYTES;
        self.fields
            .iter()
            .map(|field| cell(&field.shape) as u64)
            .sum()
    }
}

impl Cells {
    /// The places in a file of a description that was checked.
    pub(super) fn new(description: &CacheDescription, seal: Seal) -> Self {
        let mut row_bytes = 0;
        let mut fields = Vec::with_capacity(description.fields.len());
        for field in &description.fields {
            let numbers = field.shape.iter().product::<usize>();
            fields.push((row_bytes, numbers));
            row_bytes += numbers * description.dtype.bytes() + CRC_BYTES;
        }
        Self {
            seal,
            dtype: description.dtype,
            rows: description.rows(),
            fields,
            row_bytes,
        }
    }

    /// Rows in a complete file.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of fields.
    pub(super) fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Numbers in a field, of one row.
    pub(super) fn numbers(&self, field: usize) -> usize {
        self.fields[field].1
    }

    /// Bytes of a row.
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Bytes of a cell.
    pub(super) fn cell_bytes(&self, field: usize) -> usize {
        self.numbers(field) * self.dtype.bytes() + CRC_BYTES
    }

    /// Where a row begins in the file.
    pub(super) fn row_at(&self, row: u64) -> u64 {
        self.seal.rows_at + row * self.row_bytes as u64
    }

    /// Where a cell begins in the file.
    pub(super) fn cell_at(&self, row: u64, field: usize) -> u64 {
        self.row_at(row) + self.fields[field].0 as u64
    }

    /// The length of a complete file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.row_at(self.rows)
    }

    /// Rows that a file has room for by its length.
    pub(super) fn rows_there(&self, file: &File, path: &Path) -> Result<u64> {
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let rows = length.saturating_sub(self.row_at(0)) / self.row_bytes as u64;
        Ok(rows.min(self.rows))
    }

    /// Appends a cell to `bytes`; gives the first number that cannot be kept.
    pub(super) fn encode(
        &self,
        bytes: &mut Vec<u8>,
        row: u64,
        field: usize,
        numbers: &[f32],
    ) -> Result<(), f32> {
        let start = bytes.len();
        match self.dtype {
            CacheDtype::F32 => {
                if let Some(&bad) = numbers.iter().find(|number| !number.is_finite()) {
                    return Err(bad);
                }
                bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }
            CacheDtype::F16 => {
                for &number in numbers {
                    // To the nearest, and of two that are equally near to the even one.
                    let half = f16::from_f32(number);
                    if !half.is_finite() {
                        return Err(number);
                    }
                    bytes.extend_from_slice(&half.to_le_bytes());
                }
            }
        }
        let checksum = self.checksum(row, field, &bytes[start..]);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        Ok(())
    }

    /// Whether the checksum of a cell is that of its numbers.
    pub(super) fn is_whole(&self, row: u64, field: usize, cell: &[u8]) -> bool {
        let (numbers, checksum) = cell.split_at(cell.len() - CRC_BYTES);
        checksum == self.checksum(row, field, numbers).to_le_bytes()
    }

    /// The first field of a row that is not whole.
    pub(super) fn damaged(&self, row: u64, mut bytes: &[u8]) -> Option<usize> {
        (0..self.fields()).find(|&field| {
            let (cell, rest) = bytes.split_at(self.cell_bytes(field));
            bytes = rest;
            !self.is_whole(row, field, cell)
        })
    }

    /// Appends the numbers of a cell.
    pub(super) fn decode(&self, cell: &[u8], numbers: &mut Vec<f32>) {
        let bytes = &cell[..cell.len() - CRC_BYTES];
        match self.dtype {
            CacheDtype::F32 => {
                let (words, _) = bytes.as_chunks::<4>();
                numbers.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
            }
            CacheDtype::F16 => {
                let (words, _) = bytes.as_chunks::<2>();
                numbers.extend(words.iter().map(|word| f16::from_le_bytes(*word).to_f32()));
            }
        }
    }

    /// The checksum of the numbers of a cell, which is another in every other place and every other file.
    fn checksum(&self, row: u64, field: usize, numbers: &[u8]) -> u32 {
        let field = (field as u64).to_le_bytes();
        crc(&[&self.seal.bytes, &row.to_le_bytes(), &field, numbers])
    }
}
