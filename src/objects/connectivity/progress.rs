//! `Checking connectivity`, for pushes that take long enough for somebody to wonder.

use std::{
    cell::Cell,
    env,
    time::{Duration, Instant},
};

use crate::{interrupt::Interrupts, wire::sideband::Sideband};

/// How often the clock is looked at, in objects.
const STRIDE: u64 = 256;

/// Counts the objects of one walk, and tells the person who pushes once it takes longer than `GIT_PROGRESS_DELAY`
/// seconds (2), every second from then on.
pub struct Progress<'a> {
    sideband: Option<&'a Sideband>,
    interrupts: &'a Interrupts,
    count: Cell<u64>,
    next: Cell<Instant>,
    shown: Cell<bool>,
}

impl<'a> Progress<'a> {
    /// Start to count; nothing is told without `sideband`. `interrupts` hear of a walk that is more than a few steps.
    pub fn new(sideband: Option<&'a Sideband>, interrupts: &'a Interrupts) -> Self {
        let delay = env::var("GIT_PROGRESS_DELAY").ok().and_then(|delay| delay.parse().ok()).unwrap_or(2);
        let next = Cell::new(Instant::now() + Duration::from_secs(delay));
        Progress { sideband, interrupts, count: Cell::new(0), next, shown: Cell::new(false) }
    }

    /// One more object was looked at.
    pub fn tick(&self) {
        self.count.set(self.count.get() + 1);
        if !self.count.get().is_multiple_of(STRIDE) {
            return;
        }
        self.interrupts.lasts();
        let Some(sideband) = self.sideband else { return };
        if Instant::now() >= self.next.get() {
            self.next.set(Instant::now() + Duration::from_secs(1));
            self.shown.set(true);
            sideband.tell(format!("Checking connectivity: {}\r", self.count.get()).as_bytes());
        }
    }

    /// The walk is over.
    pub fn done(&self) {
        let is_late = || Instant::now() >= self.next.get();
        if let Some(sideband) = self.sideband.filter(|_| self.shown.get() || is_late()) {
            sideband.tell(format!("Checking connectivity: {}, done.\n", self.count.get()).as_bytes());
        }
    }

    /// How many objects were looked at.
    pub fn count(&self) -> u64 {
        self.count.get()
    }
}
