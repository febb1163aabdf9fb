//! What a signal that ends this process removes first.
//!
//! Nothing here runs in a signal handler: `signal-hook` wakes a thread, which removes what is registered and then lets
//! the signal do what it does. So a push that is ended by a signal that can be caught leaves no file behind. SIGPIPE ends
//! nothing (but an advertisement that nobody reads): a Rust program ignores it, and writing to a client that went away
//! fails like any other write.
//!
//! A thread costs as much as a tenth of a small push. There is none until something is ahead that may last: more input, a
//! child, a held lock, many objects ([`lasts`](Interrupts::lasts)). A signal that comes before that is heard then, or finds a
//! push that is over.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, PipeReader, PipeWriter, Read},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
};

use bstr::ByteSlice;
use signal_hook::{
    consts::{SIGALRM, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ},
    iterator::Signals,
};

use crate::system_error::words;

/// The signals that would end this process and may come from outside.
const ENDING: [i32; 10] = [SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGVTALRM, SIGPROF];

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    doomed: BTreeMap<u64, Doom>,
    /// How many [`HeldOff`] and [`Diverted`] there are.
    held_off: usize,
    /// Closed when a signal arrives, which its reader sees.
    diverted: Option<PipeWriter>,
    has_arrived: bool,
    has_left: bool,
}

#[derive(Debug)]
enum Doom {
    /// A file, or a directory with all that it holds.
    Tree(PathBuf),
    /// A directory that goes if nobody put anything into it.
    EmptyDirectory(PathBuf),
}

#[derive(Debug, Default)]
struct Shared {
    registry: Mutex<Registry>,
    released: Condvar,
}

/// The paths that go when a signal ends the process. Cloning gives another handle to the same registry.
///
/// The default hears no signals.
#[derive(Debug, Clone, Default)]
pub struct Interrupts {
    shared: Arc<Shared>,
    /// Starts the thread that hears signals.
    listener: Start,
    /// Starts what else a push needs that lasts.
    patience: Start,
}

/// Something that is started once at most.
#[derive(Debug, Clone)]
struct Start(Arc<LazyLock<(), Box<dyn FnOnce() + Send>>>);

impl Start {
    fn of(start: impl FnOnce() + Send + 'static) -> Self {
        Start(Arc::new(LazyLock::new(Box::new(start))))
    }

    fn now(&self) {
        LazyLock::force(&self.0);
    }
}

impl Default for Start {
    fn default() -> Self {
        Self::of(|| ())
    }
}

/// A path that is registered for as long as this value lives.
#[derive(Debug)]
#[must_use]
pub struct Doomed {
    registry: Interrupts,
    key: u64,
}

impl Interrupts {
    /// From now on no signal ends the process in between: those that come are heard as soon as the push turns out to
    /// [last](Self::lasts). Then `patience` begins as well, whatever else such a push needs.
    pub fn begin(patience: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        // A file that grows beyond its limit is a write that fails, like any other.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let ignored = ignored();
        let signals = Signals::new(ENDING.iter().filter(|signal| !ignored.contains(signal)))?;
        let shared = Arc::<Shared>::default();
        let registry = shared.clone();
        let listener = Start::of(move || {
            // Without a thread to spare they are not heard, and the push goes on to its end.
            std::thread::Builder::new().name("signals".into()).spawn(move || registry.hear(signals)).ok();
        });
        Ok(Interrupts { shared, listener, patience: Start::of(patience) })
    }

    /// Something is ahead that may take its time, such as a hook.
    pub fn lasts(&self) {
        self.listen();
        self.patience.now();
    }

    /// The client may take its time, and is not waiting for us.
    pub fn listen(&self) {
        self.listener.now();
    }

    /// Remove the file, or directory with all it holds, at `path` if a signal arrives while the returned value lives.
    pub fn doom(&self, path: PathBuf) -> Doomed {
        self.register(&mut self.lock(), Doom::Tree(path))
    }

    /// Make the file at `path` and register it in one step that no signal falls into: a file of that name that somebody
    /// else made is never removed.
    pub fn create<T>(&self, path: &Path, make: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<(T, Doomed)> {
        let mut registry = self.lock();
        let made = make(path)?;
        Ok((made, self.register(&mut registry, Doom::Tree(path.to_owned()))))
    }

    /// The same for a directory that is to go only if nobody put anything into it.
    pub fn create_directory(&self, path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<Doomed> {
        let mut registry = self.lock();
        make(path)?;
        Ok(self.register(&mut registry, Doom::EmptyDirectory(path.to_owned())))
    }

    /// Hold off the end of the process until the returned guard is dropped, for a step that must not be cut in half.
    pub fn hold_off(&self) -> HeldOff {
        self.lock().held_off += 1;
        HeldOff(self.clone())
    }

    /// Be told of a signal instead of ended by it, for a step that has more to undo than files.
    pub fn divert(&self) -> io::Result<Diverted> {
        self.lasts();
        let (arrival, diverted) = io::pipe()?;
        let held_off = self.hold_off();
        let mut registry = self.lock();
        registry.diverted = Some(diverted).filter(|_| !registry.has_arrived);
        drop(registry);
        Ok(Diverted { arrival, held_off })
    }

    /// True if something that was to be [removed](Doomed::remove) is still there. Then what names it must stay too, for a
    /// recovery to find.
    pub fn has_left(&self) -> bool {
        self.lock().has_left
    }

    fn register(&self, registry: &mut Registry, doom: Doom) -> Doomed {
        let key = registry.next;
        registry.next += 1;
        registry.doomed.insert(key, doom);
        Doomed { registry: self.clone(), key }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.shared.lock()
    }
}

impl Shared {
    /// Wait for a signal, do what is to be done first, and let it end the process.
    fn hear(&self, mut signals: Signals) {
        let Some(signal) = signals.forever().next() else { return };
        let mut locked = self.lock();
        locked.has_arrived = true;
        locked.diverted = None;
        while locked.held_off > 0 {
            locked = self.released.wait(locked).unwrap_or_else(PoisonError::into_inner);
        }
        // Held to the end: nobody registers or commits any more. The newest first, since it may lie in an older one.
        for doom in locked.doomed.values().rev() {
            doom.carry_out();
        }
        // Does not come back for these signals.
        signal_hook::low_level::emulate_default_handler(signal).ok();
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While this lives a signal waits.
#[must_use]
pub struct HeldOff(Interrupts);

impl Drop for HeldOff {
    fn drop(&mut self) {
        let mut registry = self.0.lock();
        registry.held_off -= 1;
        if registry.has_arrived {
            self.0.shared.released.notify_all();
        }
    }
}

/// While this lives a signal waits, and shows: what [`as_fd`](AsFd::as_fd) gives becomes readable.
#[must_use]
pub struct Diverted {
    arrival: PipeReader,
    held_off: HeldOff,
}

impl Diverted {
    /// True if a signal has arrived.
    pub fn has_arrived(&self) -> bool {
        self.held_off.0.lock().has_arrived
    }

    /// Let the signal that has arrived end the process.
    pub fn give_way(self) -> ! {
        drop(self);
        loop {
            std::thread::park();
        }
    }
}

impl AsFd for Diverted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrival.as_fd()
    }
}

impl Doomed {
    /// Do what ends the path's life under this name, a rename or a removal, in one step with taking it off the register:
    /// the next file of that name is somebody else's.
    pub fn settle<T>(self, act: impl FnOnce() -> T) -> T {
        let mut registry = self.registry.lock();
        let done = act();
        registry.doomed.remove(&self.key);
        drop(registry);
        done
    }

    /// [Settle](Self::settle) it by a removal. One that fails, twice, is told, and [remembered](Interrupts::has_left).
    pub fn remove(self, path: &Path, remove: impl Fn(&Path) -> io::Result<()>) {
        let registry = self.registry.clone();
        // What stays may bar a ref for good; what failed may have been interrupted.
        if let Err(err) = self.settle(|| remove(path).or_else(|_| remove(path)))
            && err.kind() != io::ErrorKind::NotFound
        {
            say!("warning: unable to remove '{}': {}", path.display(), words(&err));
            registry.lock().has_left = true;
        }
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.registry.lock().doomed.remove(&self.key);
    }
}

impl Doom {
    fn carry_out(&self) {
        match self {
            Doom::Tree(path) => remove(path),
            Doom::EmptyDirectory(path) => drop(std::fs::remove_dir(path)),
        }
    }
}

/// The signals of which this process is to take no notice: whoever started it said so, as nohup(1) does.
fn ignored() -> Vec<i32> {
    // In one read: each makes the kernel write down all of it anew.
    let mut status = [0; 8192];
    let len = File::open("/proc/self/status").and_then(|mut file| file.read(&mut status)).unwrap_or_default();
    let field = |line: &[u8]| u64::from_str_radix(line.strip_prefix(b"SigIgn:")?.trim_ascii().to_str().ok()?, 16).ok();
    let mask = status[..len].lines().find_map(field);
    (1..=64).filter(|signal| mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)).collect()
}

fn remove(path: &Path) {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return };
    if !meta.is_dir() {
        std::fs::remove_file(path).ok();
        return;
    }
    // The other threads go on writing. Under another name nothing new gets into the directory.
    let mut gone = path.as_os_str().to_owned();
    gone.push("-ended");
    let path = if std::fs::rename(path, &gone).is_ok() { Path::new(&gone) } else { path };
    // But for what was being created that very moment.
    for _ in 0..100 {
        if std::fs::remove_dir_all(path).is_ok() || !path.exists() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_while_it_is_being_filled() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("doomed");
        std::fs::create_dir(&path).expect("a directory");
        let (started, wait) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let filled = &path;
            scope.spawn(move || {
                // Ends when the directory is gone.
                for number in 0.. {
                    if std::fs::write(filled.join(number.to_string()), "more").is_err() {
                        return;
                    }
                    started.send(()).ok();
                }
            });
            wait.recv().expect("a first file");
            remove(&path);
        });
        assert_eq!(std::fs::read_dir(root.path()).expect("listed").count(), 0);
    }
}
