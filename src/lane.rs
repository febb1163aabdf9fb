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
    /// In a thread; `None` once that failed.
    Beside(Option<Beside<'scope, Piece, W>>),
}

/// The thread's end of a lane.
pub struct Beside<'scope, Piece, W> {
    pieces: SyncSender<Piece>,
    used: Receiver<Piece>,
    thread: ScopedJoinHandle<'scope, Result<W>>,
}

impl<'scope, Piece: Default + Send + 'scope, W: Work<Piece> + Send + 'scope> Lane<'scope, Piece, W> {
    /// A thread that does `work`.
    pub fn beside(scope: &'scope Scope<'scope, '_>, name: &str, mut work: W) -> Result<Self> {
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
        Ok(Lane::Beside(Some(Beside { pieces, used, thread })))
    }

    /// Have `piece` worked on, and get one to fill next: a used one, if there is any. Fails as the work did.
    pub fn send(&mut self, mut piece: Piece) -> Result<Piece> {
        match self {
            Lane::Here(work) => work.take(&mut piece).map(|()| piece),
            Lane::Beside(slot) => {
                if let Some(beside) = slot
                    && beside.pieces.send(piece).is_ok()
                {
                    return Ok(beside.used.try_recv().unwrap_or_default());
                }
                match slot.take().map(Beside::finish) {
                    Some(Err(err)) => Err(err),
                    _ => Err(anyhow!("a thread ended too early")),
                }
            }
        }
    }

    /// Wait until all is done.
    pub fn finish(self) -> Result<W> {
        match self {
            Lane::Here(work) => Ok(work),
            Lane::Beside(Some(beside)) => beside.finish(),
            Lane::Beside(None) => Err(anyhow!("a thread ended too early")),
        }
    }
}

impl<Piece, W> Beside<'_, Piece, W> {
    fn finish(self) -> Result<W> {
        drop(self.pieces);
        self.thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
    }
}
