//! Batches of images, the next one prepared while the current one runs.

use std::sync::mpsc::sync_channel;

use quantbench_core::{ImageSource, Tensor};

use crate::error::EngineError;

/// Calls `run` with the position of the first image and each batch in order; the last batch holds
/// what is left.
///
/// A helper thread prepares the next batch meanwhile, so at most two batches are in memory
/// whatever the number of images. An error of either side ends both.
pub(crate) fn stream(
    images: &dyn ImageSource,
    batch: usize,
    run: &mut dyn FnMut(usize, Tensor) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    if batch == 0 {
        return Err(EngineError::NoBatch);
    }
    let starts = (0..images.len()).step_by(batch);
    // Without room in the channel: the helper holds its finished batch until it is taken.
    let (send, receive) = sync_channel(0);
    std::thread::scope(|scope| {
        let ahead = starts.clone();
        scope.spawn(move || {
            for start in ahead {
                // A receiver that is gone has met an error: nobody wants the rest.
                if send.send(images.batch(start, batch)).is_err() {
                    return;
                }
            }
        });
        // Moved in here, so that leaving early drops it and frees the helper before the scope
        // waits for it.
        let receive = receive;
        for (start, tensor) in starts.zip(receive.iter()) {
            run(start, tensor?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use quantbench_core::SourceError;

    use super::*;

    /// `len` images of one value each, their position; optionally slow, or broken at a position.
    #[derive(Default)]
    struct Counting {
        len: usize,
        broken_at: Option<usize>,
        delay: Duration,
        made: AtomicUsize,
    }

    impl ImageSource for Counting {
        fn len(&self) -> usize {
            self.len
        }
        fn dims(&self) -> &[usize] {
            &[1]
        }
        fn batch(&self, start: usize, n: usize) -> Result<Tensor, SourceError> {
            std::thread::sleep(self.delay);
            self.made.fetch_add(1, Ordering::SeqCst);
            if self.broken_at.is_some_and(|at| (start..start + n).contains(&at)) {
                return Err(SourceError("image 5 is damaged".to_string()));
            }
            let end = (start + n).min(self.len);
            Ok(Tensor::new(vec![end - start, 1], (start..end).map(|i| i as f32).collect()))
        }
    }

    #[test]
    fn every_image_once_in_order_with_a_partial_batch_last() {
        for len in [0, 1, 3, 4, 5, 8, 10] {
            let images = Counting { len, ..Counting::default() };
            let mut seen = Vec::new();
            stream(&images, 4, &mut |start, tensor| {
                assert_eq!(start, seen.len());
                seen.extend(tensor.data);
                Ok(())
            })
            .unwrap();
            let expected: Vec<f32> = (0..len).map(|i| i as f32).collect();
            assert_eq!(seen, expected);
            assert_eq!(images.made.into_inner(), len.div_ceil(4));
        }
    }

    #[test]
    fn a_broken_image_ends_the_stream_with_its_reason() {
        let images = Counting { len: 100, broken_at: Some(5), ..Counting::default() };
        let mut batches = 0;
        let error = stream(&images, 4, &mut |_, _| {
            batches += 1;
            Ok(())
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "image 5 is damaged");
        assert_eq!(batches, 1);
    }

    #[test]
    fn an_error_while_running_stops_the_helper_soon() {
        let images = Counting { len: 1000, ..Counting::default() };
        let error = stream(&images, 1, &mut |_, _| Err(EngineError::NoBatch)).unwrap_err();
        assert_eq!(error, EngineError::NoBatch);
        assert!(images.made.into_inner() <= 3);
    }

    #[test]
    fn preparing_and_running_overlap_and_only_one_batch_is_ahead() {
        let delay = Duration::from_millis(20);
        let images = Counting { len: 10, delay, ..Counting::default() };
        let begun = Instant::now();
        stream(&images, 1, &mut |start, _| {
            std::thread::sleep(delay);
            assert!(images.made.load(Ordering::SeqCst) <= start + 2);
            Ok(())
        })
        .unwrap();
        // One after the other would take 20 delays, overlapped 11.
        assert!(begun.elapsed() < delay * 18, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_batch_of_none_is_refused() {
        let images = Counting { len: 3, ..Counting::default() };
        assert_eq!(stream(&images, 0, &mut |_, _| Ok(())), Err(EngineError::NoBatch));
    }
}
