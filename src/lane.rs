//! Work done beside the thread that hands it out: pieces of it, one after the other, in order.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Scope, ScopedJoinHandle},
};

use anyhow::{Result, anyhow};

/// How many pieces may wait. It bounds the memory that the lane holds.
const DEPTH: usize = 4;

/// What is done with each piece.
pub trait Work<Piece> {
    /// Do it. The piece is used again afterwards, as it is left.
    fn take(&mut self, piece: &mut Piece) -> Result<()>;
}

/// Some work, done here or in a thread of its own.
pub enum Lane<'scope, Piece, W> {
    /// At once: for work that is less than what a thread costs.
    Here(W),
    /// In a thread that is not there yet; `None` once its start failed.
    Soon(Option<(W, Box<Start<'scope, Piece, W>>)>),
    /// In a thread; `None` once that failed.
    Beside(Option<Beside<'scope, Piece, W>>),
}

/// Starts a thread that does the work.
type Start<'scope, Piece, W> = dyn FnOnce(W) -> Result<Beside<'scope, Piece, W>> + 'scope;

/// The thread's end of a lane.
pub struct Beside<'scope, Piece, W> {
    pieces: SyncSender<Piece>,
    used: Receiver<Piece>,
    thread: ScopedJoinHandle<'scope, Result<W>>,
}

impl<'scope, Piece: Default + Send + 'scope, W: Work<Piece> + Send + 'scope> Lane<'scope, Piece, W> {
    /// A thread that does `work`.
    pub fn beside(scope: &'scope Scope<'scope, '_>, name: &str, work: W) -> Result<Self> {
        Ok(Lane::Beside(Some(Beside::start(scope, name, work)?)))
    }

    /// The same, which starts with the first piece that is not [the last](Self::send_last): less is done here.
    pub fn beside_if_much(scope: &'scope Scope<'scope, '_>, name: &'static str, work: W) -> Self {
        Lane::Soon(Some((work, Box::new(move |work| Beside::start(scope, name, work)))))
    }

    /// Have `piece` worked on, and get one to fill next: a used one, if there is any. Fails as the work did.
    pub fn send(&mut self, mut piece: Piece) -> Result<Piece> {
        if let Lane::Soon(soon) = self
            && let Some((work, start)) = soon.take()
        {
            *self = Lane::Beside(Some(start(work)?));
        }
        match self {
            Lane::Here(work) => work.take(&mut piece).map(|()| piece),
            Lane::Soon(_) => Err(too_early()),
            Lane::Beside(slot) => {
                if let Some(beside) = slot
                    && beside.pieces.send(piece).is_ok()
                {
                    return Ok(beside.used.try_recv().unwrap_or_default());
                }
                match slot.take().map(Beside::finish) {
                    Some(Err(err)) => Err(err),
                    _ => Err(too_early()),
                }
            }
        }
    }

    /// Have the last `piece` worked on.
    pub fn send_last(&mut self, mut piece: Piece) -> Result<()> {
        match self {
            Lane::Soon(Some((work, _))) => work.take(&mut piece),
            _ => self.send(piece).map(drop),
        }
    }

    /// Wait until all is done.
    pub fn finish(self) -> Result<W> {
        match self {
            Lane::Here(work) | Lane::Soon(Some((work, _))) => Ok(work),
            Lane::Beside(Some(beside)) => beside.finish(),
            Lane::Soon(None) | Lane::Beside(None) => Err(too_early()),
        }
    }
}

impl<'scope, Piece: Default + Send + 'scope, W: Work<Piece> + Send + 'scope> Beside<'scope, Piece, W> {
    fn start(scope: &'scope Scope<'scope, '_>, name: &str, mut work: W) -> Result<Self> {
        let (pieces, coming) = sync_channel::<Piece>(DEPTH);
        let (give_back, used) = sync_channel(DEPTH + 1);
        let run = move || {
            for mut piece in coming {
                work.take(&mut piece)?;
                // Nobody to take it back is nobody to need it.
                give_back.try_send(piece).ok();
            }
            Ok(work)
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn_scoped(scope, run)?;
        Ok(Beside { pieces, used, thread })
    }
}

impl<Piece, W> Beside<'_, Piece, W> {
    fn finish(self) -> Result<W> {
        drop(self.pieces);
        self.thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
    }
}

fn too_early() -> anyhow::Error {
    anyhow!("a thread ended too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes where each piece was worked on.
    struct Note(Vec<(u32, std::thread::ThreadId)>);

    impl Work<u32> for Note {
        fn take(&mut self, piece: &mut u32) -> Result<()> {
            self.0.push((*piece, std::thread::current().id()));
            Ok(())
        }
    }

    #[test]
    fn a_thread_starts_when_more_than_one_piece_comes() {
        let here = std::thread::current().id();
        for count in [1, 2, 100] {
            let Note(taken) = std::thread::scope(|scope| {
                let mut lane = Lane::beside_if_much(scope, "note", Note(Vec::new()));
                for piece in 1..count {
                    lane.send(piece).expect("sent");
                }
                lane.send_last(count).expect("sent");
                lane.finish().expect("done")
            });
            assert!(taken.iter().map(|(piece, _)| *piece).eq(1..=count));
            assert!(taken.iter().all(|(_, thread)| (*thread == here) == (count == 1)));
        }
    }
}
