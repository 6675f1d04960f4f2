//! Predicted classes and accuracy of a model on labelled images.

use quantbench_core::row::Accuracy;
use quantbench_core::{LabelledSource, Tensor};

use crate::error::EngineError;
use crate::session::Session;
use crate::stream::stream;

/// What a model predicts for each image, and how often it is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Predicted class of each image, in the order of the images: the largest logit, the first
    /// one of several equal.
    pub predictions: Vec<u16>,
    /// Top-1 accuracy.
    pub accuracy: Accuracy,
}

/// Runs a model over all images, `batch` at a time; a model whose input fixes the batch size gets
/// that one. `progress` hears how many images are done. The logits are the first output.
///
/// # Errors
/// No images, no label for each, images that do not fit, logits that are not numbers (the message
/// names the image), or a failure of the source or the runtime.
pub fn evaluate(
    session: &mut Session,
    images: &dyn LabelledSource,
    batch: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Evaluation, EngineError> {
    let labels = images.labels();
    if labels.len() != images.len() {
        return Err(EngineError::Labels { labels: labels.len(), images: images.len() });
    }
    if images.is_empty() {
        return Err(EngineError::NoImages { origin: session.origin().to_string() });
    }
    let mut predictions = Vec::with_capacity(labels.len());
    let batch = session.fixed_batch().unwrap_or(batch);
    stream(images, batch, &mut |start, tensor| {
        predict(session, &tensor, start, &mut predictions)?;
        progress(predictions.len());
        Ok(())
    })?;
    let correct = predictions.iter().zip(labels).filter(|(p, l)| p == l).count() as u64;
    let accuracy = Accuracy { correct, images: labels.len() as u64 };
    Ok(Evaluation { predictions, accuracy })
}

/// Appends the predicted class of each image of a batch whose first image is at `start`.
fn predict(
    session: &mut Session,
    batch: &Tensor,
    start: usize,
    predictions: &mut Vec<u16>,
) -> Result<(), EngineError> {
    let origin = session.origin().to_string();
    let images = batch.dims.first().copied().unwrap_or(0);
    let mut outcome = Ok(());
    session.run_each(batch, &mut |output, dims, data| {
        if output == 0 {
            outcome = classes(&origin, dims, data, images, start, predictions);
        }
    })?;
    outcome
}

/// The largest logit's class for each image.
fn classes(
    origin: &str,
    dims: &[usize],
    logits: &[f32],
    images: usize,
    start: usize,
    predictions: &mut Vec<u16>,
) -> Result<(), EngineError> {
    // [n, classes, 1, 1] is as good as [n, classes]: a pool without a flatten.
    let width: usize = dims.iter().skip(1).product();
    if dims.len() < 2 || dims[0] != images || !(1..=1 << 16).contains(&width) {
        let found = dims.to_vec();
        return Err(EngineError::Logits { origin: origin.to_string(), found, images });
    }
    for (i, row) in logits.chunks_exact(width).enumerate() {
        let mut best = 0;
        for (class, logit) in row.iter().enumerate() {
            if logit.is_nan() {
                let (origin, image) = (origin.to_string(), start + i);
                return Err(EngineError::NotANumber { origin, image, class });
            }
            if *logit > row[best] {
                best = class;
            }
        }
        predictions.push(best as u16);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Optimisation, Options};
    use crate::testing::{Values, flatten_net, runtime, tiny_net};

    fn predicted(dims: &[usize], logits: &[f32]) -> Result<Vec<u16>, EngineError> {
        let mut predictions = Vec::new();
        classes("net", dims, logits, 2, 10, &mut predictions).map(|()| predictions)
    }

    #[test]
    fn the_largest_logit_wins_and_the_first_of_equals() {
        let logits = [1.0, 3.0, 3.0, f32::NEG_INFINITY, -1.0, -1.0];
        assert_eq!(predicted(&[2, 3], &logits).unwrap(), [1, 1]);
        assert_eq!(predicted(&[2, 3, 1, 1], &[0.0; 6]).unwrap(), [0, 0]);
    }

    #[test]
    fn a_logit_that_is_no_number_names_image_and_class() {
        let error = predicted(&[2, 2], &[0.0, 1.0, 5.0, f32::NAN]).unwrap_err();
        let expected = EngineError::NotANumber { origin: "net".to_string(), image: 11, class: 1 };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("class 1 is not a number for image 11"), "{error}");
        // Also where it comes first, where a comparison alone would not notice it.
        assert!(predicted(&[2, 2], &[f32::NAN, 1.0, 0.0, 0.0]).is_err());
    }

    #[test]
    fn outputs_that_are_no_logits_are_refused() {
        for dims in [&[4][..], &[1, 4], &[2, 0]] {
            let error = predicted(dims, &vec![0.0; dims.iter().product()]).unwrap_err();
            assert!(matches!(error, EngineError::Logits { .. }), "{dims:?}: {error}");
        }
    }

    fn session(onnx: &[u8], optimisation: Optimisation) -> Option<Session> {
        let options = Options { threads: 1, optimisation };
        Some(Session::new(runtime()?, onnx, &options, "net").unwrap())
    }

    #[test]
    fn counts_the_images_whose_class_is_their_label() {
        let Some(mut session) = session(&flatten_net(4), Optimisation::All) else { return };
        // The net passes its four values on as logits: the class is the position of the largest.
        let mut images = Values::new(&[4, 1, 1], vec![]);
        for class in [2, 0, 3, 3, 1] {
            images.data.extend((0..4).map(|c| if c == class { 1.0 } else { 0.0 }));
        }
        images.labels = vec![2, 1, 3, 0, 1];
        let mut heard = Vec::new();
        let done = evaluate(&mut session, &images, 2, &mut |n| heard.push(n)).unwrap();
        assert_eq!(done.predictions, [2, 0, 3, 3, 1]);
        assert_eq!(done.accuracy, Accuracy { correct: 3, images: 5 });
        assert_eq!(heard, [2, 4, 5]);
    }

    #[test]
    fn a_nan_in_the_last_partial_batch_names_its_image() {
        let Some(mut session) = session(&flatten_net(2), Optimisation::Off) else { return };
        let mut images = Values::new(&[2, 1, 1], vec![0.0; 10]);
        images.data[9] = f32::NAN;
        images.labels = vec![0; 5];
        let error = evaluate(&mut session, &images, 4, &mut |_| {}).unwrap_err();
        assert!(matches!(error, EngineError::NotANumber { image: 4, class: 1, .. }), "{error}");
    }

    #[test]
    fn neither_batch_size_nor_threads_change_a_prediction() {
        let Some(runtime) = runtime() else { return };
        let mut images = Values::random(&[3, 8, 8], 37, 5);
        images.labels = vec![0; 37];
        let mut all = Vec::new();
        for (threads, batch) in [(1, 37), (2, 37), (1, 8), (2, 5), (3, 1)] {
            let options = Options { threads, optimisation: Optimisation::All };
            let mut session = Session::new(runtime, &tiny_net(1), &options, "net").unwrap();
            all.push(evaluate(&mut session, &images, batch, &mut |_| {}).unwrap().predictions);
        }
        assert!(all.iter().all(|p| *p == all[0]));
        assert!(all[0].iter().any(|p| *p != all[0][0]), "the net tells the images apart");
    }

    #[test]
    fn a_fixed_batch_is_kept_to() {
        let bytes = crate::testing::with_batch(&flatten_net(2), 1);
        let Some(mut session) = session(&bytes, Optimisation::Off) else { return };
        assert_eq!(session.fixed_batch(), Some(1));
        let mut images = Values::new(&[2, 1, 1], vec![0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
        images.labels = vec![1, 0, 1];
        let done = evaluate(&mut session, &images, 64, &mut |_| {}).unwrap();
        assert_eq!(done.accuracy, Accuracy { correct: 3, images: 3 });
    }

    #[test]
    fn no_images_or_too_few_labels_are_refused() {
        let Some(mut session) = session(&flatten_net(2), Optimisation::Off) else { return };
        let none = Values::new(&[2, 1, 1], vec![]);
        let error = evaluate(&mut session, &none, 4, &mut |_| {}).unwrap_err();
        assert!(matches!(error, EngineError::NoImages { .. }), "{error}");
        let unlabelled = Values::new(&[2, 1, 1], vec![0.0; 4]);
        let error = evaluate(&mut session, &unlabelled, 4, &mut |_| {}).unwrap_err();
        assert_eq!(error, EngineError::Labels { labels: 0, images: 2 });
    }
}
