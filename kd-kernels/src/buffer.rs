//! Floats that begin where a cache line does, so that vectors at multiples of 16 lie in one line.

/// Floats of a cache line.
pub(crate) const LINE: usize = 16;

/// A buffer that is used again for many tasks.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    first: usize,
}

impl Buffer {
    /// `count` floats. Those that were there keep their values unless the buffer has to grow, new ones are 0.
    pub(crate) fn take(&mut self, count: usize) -> &mut [f32] {
        if self.values.len() < count + LINE {
            self.values = vec![0.0; count + LINE];
            // In floats; where it is not known, vectors across two lines cost time and nothing else.
            let offset = self.values.as_ptr().align_offset(LINE * size_of::<f32>());
            self.first = if offset < LINE { offset } else { 0 };
        }
        &mut self.values[self.first..self.first + count]
    }
}
