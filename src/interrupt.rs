//! What a signal that ends this process removes first.
//!
//! Nothing here runs in a signal handler: `signal-hook` wakes a thread, which removes what is registered and then lets
//! the signal do what it does. So a push that is ended by SIGINT, SIGTERM, SIGHUP or SIGPIPE leaves no file behind.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    doomed: BTreeMap<u64, PathBuf>,
}

/// The paths that go when a signal ends the process. Cloning gives another handle to the same registry.
#[derive(Debug, Clone, Default)]
pub struct Interrupts(Arc<Mutex<Registry>>);

/// A path that is registered for as long as this value lives.
#[derive(Debug)]
#[must_use]
pub struct Doomed {
    registry: Interrupts,
    key: u64,
}

impl Interrupts {
    /// Start to listen for signals.
    pub fn listen() -> std::io::Result<Self> {
        let this = Interrupts::default();
        let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let registry = this.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Held to the end: nobody registers or commits any more.
                let locked = registry.lock();
                for path in locked.doomed.values() {
                    remove(path);
                }
                // Does not come back for these signals.
                signal_hook::low_level::emulate_default_handler(signal).ok();
            }
        })?;
        Ok(this)
    }

    /// Remove the file, or directory with all it holds, at `path` if a signal arrives while the returned value lives.
    pub fn doom(&self, path: PathBuf) -> Doomed {
        let mut registry = self.lock();
        let key = registry.next;
        registry.next += 1;
        registry.doomed.insert(key, path);
        Doomed { registry: self.clone(), key }
    }

    /// Hold off the end of the process until the returned guard is dropped, for a step that must not be cut in half.
    pub fn hold_off(&self) -> HeldOff<'_> {
        HeldOff { _registry: self.lock() }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While this lives a signal waits. Registering a path meanwhile would wait as well: do not.
#[must_use]
pub struct HeldOff<'a> {
    _registry: MutexGuard<'a, Registry>,
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.registry.lock().doomed.remove(&self.key);
    }
}

fn remove(path: &std::path::Path) {
    // The main thread may still be writing into the directory, so that one pass can meet a new file.
    for _ in 0..100 {
        let gone = match std::fs::symlink_metadata(path) {
            Err(_) => return,
            Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
            Ok(_) => std::fs::remove_file(path),
        };
        if gone.is_ok() {
            return;
        }
    }
}
