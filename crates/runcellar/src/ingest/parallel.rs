//! Work in several threads, which end before the call does.

use std::sync::{Mutex, PoisonError};

use crate::Result;

/// Calls `act` with each item, in as many threads at once as there are processors, this one among them. After an error no
/// further item is begun; the first error is returned.
pub(super) fn for_each<T: Send>(items: Vec<T>, act: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let queue = Mutex::new((items.into_iter(), Ok(())));
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || match &mut *lock() {
        (items, Ok(())) => items.next(),
        _ => None,
    };
    let work = || {
        while let Some(item) = next() {
            if let Err(error) = act(item) {
                let outcome = &mut lock().1;
                if outcome.is_ok() {
                    *outcome = Err(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // On a machine at its limit of threads this one does it all.
            let (Ok(_) | Err(_)) = std::thread::Builder::new().name("runcellar".into()).spawn_scoped(scope, work);
        }
        work();
    });
    queue.into_inner().unwrap_or_else(PoisonError::into_inner).1
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::Error;

    #[test]
    fn each_item_is_met_once_and_an_error_ends_it() {
        let sum = AtomicU64::new(0);
        let add = |item: u64| {
            sum.fetch_add(item, Ordering::Relaxed);
            Ok(())
        };
        for_each((1..=100).collect(), add).expect("no item fails");
        assert_eq!(sum.load(Ordering::Relaxed), 5050);
        for_each(Vec::<u64>::new(), add).expect("nothing to do");
        let fails = |item: u64| if item == 3 { Err(Error::invalid("three")) } else { add(item) };
        assert!(for_each((1..=1_000_000).collect(), fails).is_err());
        assert!(sum.load(Ordering::Relaxed) < 500_000_000, "it did not go on to the end");
    }
}
