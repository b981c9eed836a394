//! Every order in which the threads around a published value can run: `tests/race/run` builds this with `cfg(loom)`, which
//! puts a model in the place of the standard library's locks.
#![cfg(loom)]

#[path = "../../../host/src/sequence/published.rs"]
mod published;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use loom::thread;

    use crate::published::Published;

    /// Each reader gets there, and never sees the value go back.
    #[test]
    fn whoever_waits_is_woken_and_no_reader_goes_back() {
        loom::model(|| {
            let published = Arc::new(Published::new(0_u64));
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let published = Arc::clone(&published);
                    thread::spawn(move || {
                        let before = published.now();
                        let after = published.wait_while(Duration::MAX, |value| *value < 2);
                        assert!(*after == 2 && before <= after);
                    })
                })
                .collect();
            published.publish(1);
            published.publish(2);
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }
}
