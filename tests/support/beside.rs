//! Work that others do beside a push, again and again, and how long a test of it lasts.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// `few` of something; `all` of them with `BESIDE=all` in the environment, which takes minutes.
pub fn few_or_all<T>(few: T, all: T) -> T {
    if std::env::var_os("BESIDE").is_some_and(|value| value == "all") { all } else { few }
}

/// Do `work` while others do `beside` again and again.
pub fn with_beside<T>(beside: &[&(dyn Fn() + Sync)], work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for again in beside {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    again();
                }
            });
        }
        let _over = Over(&is_over);
        work()
    })
}

/// Ends the others also if the work fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
