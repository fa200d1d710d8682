//! Floats that begin where a cache line does, so that vectors at multiples of 16 lie in one line.

use std::cell::RefCell;

/// Floats of a cache line.
pub(crate) const LINE: usize = 16;

/// Buffers that a thread keeps for its next tasks, at most.
const KEPT: usize = 8;

thread_local! {
    /// What the last tasks of this thread have left: new memory would have to be cleared, page by page.
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that is used again for many tasks.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    first: usize,
}

impl Buffer {
    /// `count` floats. Those that were there keep their values unless the buffer has to grow, new ones are 0.
    pub(crate) fn take(&mut self, count: usize) -> &mut [f32] {
        if self.grow(count) {
            // What is behind them may be asked for later, and is to be 0 then.
            self.values.truncate(count + LINE);
            self.values.fill(0.0);
        }
        &mut self.values[self.first..self.first + count]
    }

    /// `count` floats of any value, for those who write what they read. A buffer is used in one of the two
    /// ways.
    pub(crate) fn take_any(&mut self, count: usize) -> &mut [f32] {
        self.grow(count);
        &mut self.values[self.first..self.first + count]
    }

    /// Makes room for `count` floats; whether they may have any value now.
    fn grow(&mut self, count: usize) -> bool {
        let needed = count + LINE;
        if self.values.len() >= needed {
            return false;
        }
        let spare = SPARE.with_borrow_mut(|spare| {
            let fitting = spare.iter().enumerate();
            let fitting = fitting.filter(|(_, values)| values.len() >= needed);
            let (index, _) = fitting.min_by_key(|(_, values)| values.len())?;
            Some(spare.swap_remove(index))
        });
        let is_used = spare.is_some();
        self.values = spare.unwrap_or_else(|| vec![0.0; needed]);
        // In floats; where it is not known, vectors across two lines cost time and nothing else.
        let offset = self.values.as_ptr().align_offset(LINE * size_of::<f32>());
        self.first = if offset < LINE { offset } else { 0 };
        is_used
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if values.is_empty() {
            return;
        }
        // At the end of a thread there is nobody to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(values);
                return;
            }
            let smallest = spare.iter_mut().min_by_key(|kept| kept.len());
            if let Some(kept) = smallest.filter(|kept| kept.len() < values.len()) {
                *kept = values;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_left_is_seen_by_those_alone_who_write_first() {
        let mut used = Buffer::default();
        used.take_any(1000).fill(7.0);
        drop(used);
        let mut buffer = Buffer::default();
        assert_eq!(buffer.take(500), [0.0; 500]);
        buffer.take(500).fill(1.0);
        // It keeps what it has, and is clear where it grows.
        assert_eq!(buffer.take(500), [1.0; 500]);
        assert_eq!(buffer.take(900), [0.0; 900]);
    }
}
