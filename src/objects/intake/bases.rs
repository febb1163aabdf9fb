//! The objects that a depth-first walk through deltas stands on, the content of the nearest ones at hand.

use std::ops::Range;

/// An object that others are based on.
pub struct Frame {
    /// Its row; `None` if it is borrowed, and cannot be made again.
    pub row: Option<u32>,
    /// Its content, `None` when dropped.
    pub data: Option<Vec<u8>>,
    /// What is based on it by offset and was not resolved yet, as the plan counts them.
    pub children: Range<u32>,
    /// What is based on it by its id, likewise.
    pub refs: Range<u32>,
}

/// A path of such objects, each based on the one below. Contents beyond a budget are dropped, the lowest first.
pub struct Bases {
    frames: Vec<Frame>,
    budget: usize,
    /// The bytes of all contents that are at hand.
    held: usize,
    /// Below this frame no content is at hand, but for a borrowed one.
    dropped: usize,
    /// The next frame to be made again, while that goes on.
    missing: Option<usize>,
}

impl Bases {
    /// The path that starts with `root`, whose content is at hand.
    pub fn new(root: Frame, budget: usize) -> Self {
        let held = root.len();
        Bases { frames: vec![root], budget, held, dropped: 0, missing: None }
    }

    /// The topmost.
    pub fn top(&mut self) -> Option<&mut Frame> {
        self.frames.last_mut()
    }

    /// The content of the topmost; nothing while it is dropped.
    pub fn content(&self) -> &[u8] {
        self.frames.last().and_then(|top| top.data.as_deref()).unwrap_or_default()
    }

    /// Take the topmost away; returns its content if that is at hand.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let top = self.frames.pop()?;
        self.held -= top.len();
        self.dropped = self.dropped.min(self.frames.len());
        top.data
    }

    /// Put `frame`, which is based on the topmost, on top. Returns the content that is not needed any more, if there is one.
    pub fn push(&mut self, frame: Frame) -> Option<Vec<u8>> {
        let done = self.frames.len() - 1;
        let unneeded = self.release_if_done(done);
        self.held += frame.len();
        self.frames.push(frame);
        self.drop_beyond_budget(self.frames.len() - 1);
        unneeded
    }

    /// The row whose content is to be made next so that the topmost's will be at hand, and what it is based on: nothing if it
    /// is a whole object. `None` when the topmost's is at hand.
    pub fn lowest_missing(&mut self) -> Option<(u32, Option<&[u8]>)> {
        let top = self.frames.len().checked_sub(1)?;
        if self.frames[top].data.is_some() {
            self.missing = None;
            return None;
        }
        let missing = match self.missing {
            Some(missing) => missing,
            None => self.frames.iter().rposition(|frame| frame.data.is_some()).map_or(0, |at| at + 1),
        };
        self.missing = Some(missing);
        let base = missing.checked_sub(1).and_then(|below| self.frames[below].data.as_deref());
        Some((self.frames[missing].row?, base))
    }

    /// Give the row that [`lowest_missing`](Self::lowest_missing) named its content again.
    pub fn put_back(&mut self, data: Vec<u8>) {
        let Some(at) = self.missing else { return };
        self.held += data.len();
        self.frames[at].data = Some(data);
        if let Some(below) = at.checked_sub(1) {
            self.release_if_done(below);
        }
        self.dropped = self.dropped.min(at);
        self.drop_beyond_budget(at);
        self.missing = Some(at + 1);
    }

    /// Take the content of frame `at` if nothing more is based on it but the frame above.
    fn release_if_done(&mut self, at: usize) -> Option<Vec<u8>> {
        let frame = &mut self.frames[at];
        if frame.row.is_none() || !frame.children.is_empty() || !frame.refs.is_empty() {
            return None;
        }
        self.held -= frame.len();
        frame.data.take()
    }

    /// Drop contents below frame `top` until the budget is kept.
    fn drop_beyond_budget(&mut self, top: usize) {
        while self.held > self.budget && self.dropped < top {
            let frame = &mut self.frames[self.dropped];
            if frame.row.is_some() {
                self.held -= frame.len();
                frame.data = None;
            }
            self.dropped += 1;
        }
    }
}

impl Frame {
    fn len(&self) -> usize {
        self.data.as_ref().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(row: u32) -> Frame {
        Frame { row: Some(row), data: Some(vec![row as u8; 10]), children: 0..1, refs: 0..0 }
    }

    #[test]
    fn what_was_dropped_on_the_way_down_is_made_again_on_the_way_up() {
        let mut bases = Bases::new(frame(0), 25);
        for row in 1..6 {
            assert!(bases.push(frame(row)).is_none());
            assert!(bases.held <= 25, "{}", bases.held);
        }
        let mut made = Vec::new();
        for row in (0..6).rev() {
            while let Some((row, base)) = bases.lowest_missing() {
                assert_eq!(base.map(|base| base[0]), row.checked_sub(1).map(|below| below as u8));
                made.push(row);
                bases.put_back(vec![row as u8; 10]);
                assert!(bases.held <= 25, "{}", bases.held);
            }
            assert_eq!(bases.content(), vec![row as u8; 10]);
            bases.pop();
        }
        assert_eq!(made, [0, 1, 2, 3, 0, 1], "each trip upwards fills what the budget holds");
        assert_eq!(bases.held, 0);
    }
}
