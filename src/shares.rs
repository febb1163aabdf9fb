//! Work on many like things, cut into shares: one for each of a few threads.

use std::{panic::resume_unwind, thread};

/// Do `work` on up to `threads` shares of `items`, each in a thread of its own but the first, and return what came of each, in
/// order. The share of a thread that cannot be had is worked on here.
pub fn in_shares<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return vec![work(items)];
    }
    let work = &work;
    thread::scope(|scope| {
        let mut shares = items.chunks(items.len().div_ceil(threads));
        let mine = shares.next().unwrap_or_default();
        let start = |share| thread::Builder::new().name("share".into()).spawn_scoped(scope, move || work(share));
        let others: Vec<_> = shares.map(|share| start(share).map_err(|_| share)).collect();
        let mut results = vec![work(mine)];
        results.extend(others.into_iter().map(|other| match other {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(share) => work(share),
        }));
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_the_shares_is_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..103).collect();
        for threads in [0, 1, 2, 7, 103, 500] {
            let results = in_shares(&items, threads, <[usize]>::to_vec);
            assert_eq!(results.concat(), items, "{threads} threads");
            assert!(results.len() <= threads.max(1), "{threads} threads");
        }
        assert_eq!(in_shares(&[], 4, |share: &[u8]| share.len()), [0]);
    }
}
