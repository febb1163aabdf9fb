//! How far a long step is, in git's way: one line that overwrites itself whenever the percentage changed.

use crate::wire::sideband::Sideband;

/// The progress of a step whose length is known.
pub struct Progress<'a> {
    title: &'static str,
    total: u64,
    done: u64,
    /// The percentage last told.
    told: Option<u64>,
    messages: Option<&'a Sideband>,
}

impl<'a> Progress<'a> {
    /// Tell the progress of `total` things to `messages`, if to anyone.
    pub fn new(title: &'static str, total: u64, messages: Option<&'a Sideband>) -> Self {
        let mut this = Progress { title, total, done: 0, told: None, messages };
        this.advance(0);
        this
    }

    /// So many more are done.
    pub fn advance(&mut self, more: u64) {
        self.done += more;
        if let (Some(messages), Some(percent)) = (self.messages, (100 * self.done).checked_div(self.total))
            && self.told != Some(percent)
        {
            self.told = Some(percent);
            messages.tell(format!("{}\r", self.line()).as_bytes());
        }
    }

    /// The last line, which stays: how it ended.
    pub fn finish(self, ending: &str) {
        if let Some(messages) = self.messages.filter(|_| self.total > 0) {
            messages.tell(format!("{}, {ending}.\n", self.line()).as_bytes());
        }
    }

    fn line(&self) -> String {
        let percent = (100 * self.done).checked_div(self.total).unwrap_or(100);
        format!("{}: {percent:3}% ({}/{})", self.title, self.done, self.total)
    }
}
