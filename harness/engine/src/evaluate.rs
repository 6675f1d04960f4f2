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
/// that one, filled up with zeros at the end. `progress` hears how many images are done. The
/// logits are the first output.
///
/// # Errors
/// No images, no label for each, images that do not fit, another number of logits than classes,
/// logits that are not numbers (the message names the image), or a failure of the source or the
/// runtime.
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
    let fixed = session.fixed_batch();
    stream(images, fixed.unwrap_or(batch), &mut |start, mut tensor| {
        let count = tensor.dims.first().copied().unwrap_or(0);
        if let Some(size) = fixed {
            fill_up(&mut tensor, size);
        }
        let part = Part { start, count, classes: images.classes() };
        predict(session, &tensor, part, &mut predictions)?;
        progress(predictions.len());
        Ok(())
    })?;
    let correct = predictions.iter().zip(labels).filter(|(p, l)| p == l).count() as u64;
    let accuracy = Accuracy { correct, images: labels.len() as u64 };
    Ok(Evaluation { predictions, accuracy })
}

/// The images of a batch that are wanted.
#[derive(Clone, Copy)]
struct Part {
    /// Position of the first one.
    start: usize,
    /// How many; what follows them in the batch fills it up.
    count: usize,
    /// Classes of the data set.
    classes: usize,
}

/// Appends images of zeros to a batch until there are `size`.
fn fill_up(batch: &mut Tensor, size: usize) {
    if let Some(images) = batch.dims.first_mut().filter(|images| (1..size).contains(*images)) {
        let stride = batch.data.len() / *images;
        *images = size;
        batch.data.resize(size * stride, 0.0);
    }
}

/// Appends the predicted class of each image of a part.
fn predict(
    session: &mut Session,
    batch: &Tensor,
    part: Part,
    predictions: &mut Vec<u16>,
) -> Result<(), EngineError> {
    let origin = session.origin().to_string();
    let images = batch.dims.first().copied().unwrap_or(0);
    let mut outcome = Ok(());
    session.run_each(batch, &mut |output, dims, data| {
        if output == 0 {
            outcome = classes(&origin, dims, data, images, part, predictions);
        }
    })?;
    outcome
}

/// The largest logit's class for each image of a part of a batch of `images`.
fn classes(
    origin: &str,
    dims: &[usize],
    logits: &[f32],
    images: usize,
    part: Part,
    predictions: &mut Vec<u16>,
) -> Result<(), EngineError> {
    let width = match *dims {
        // [n, classes, 1, 1] is as good as [n, classes]: a pool without a flatten.
        [n, width, ref rest @ ..]
            if n == images && (1..=1 << 16).contains(&width) && rest.iter().all(|d| *d == 1) =>
        {
            width
        }
        _ => {
            let (origin, found) = (origin.to_string(), dims.to_vec());
            return Err(EngineError::Logits { origin, found, images });
        }
    };
    if width != part.classes {
        let (origin, data) = (origin.to_string(), part.classes);
        return Err(EngineError::Classes { origin, model: width, data });
    }
    for (i, row) in logits.chunks_exact(width).take(part.count).enumerate() {
        let mut best = 0;
        for (class, logit) in row.iter().enumerate() {
            if logit.is_nan() {
                let (origin, image) = (origin.to_string(), part.start + i);
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
        let part = Part { start: 10, count: 2, classes: dims.get(1).copied().unwrap_or(0) };
        classes("net", dims, logits, 2, part, &mut predictions).map(|()| predictions)
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
        for dims in [&[4][..], &[1, 4], &[2, 0], &[2, 3, 2], &[2, 1, 1, 3]] {
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
        let mut images = Values::new(&[4, 1, 1], vec![]).labelled(vec![2, 1, 3, 0, 1], 4);
        for class in [2, 0, 3, 3, 1] {
            images.data.extend((0..4).map(|c| if c == class { 1.0 } else { 0.0 }));
        }
        let mut heard = Vec::new();
        let done = evaluate(&mut session, &images, 2, &mut |n| heard.push(n)).unwrap();
        assert_eq!(done.predictions, [2, 0, 3, 3, 1]);
        assert_eq!(done.accuracy, Accuracy { correct: 3, images: 5 });
        assert_eq!(heard, [2, 4, 5]);
    }

    #[test]
    fn a_nan_in_the_last_partial_batch_names_its_image() {
        let Some(mut session) = session(&flatten_net(2), Optimisation::Off) else { return };
        let mut images = Values::new(&[2, 1, 1], vec![0.0; 10]).labelled(vec![0; 5], 2);
        images.data[9] = f32::NAN;
        let error = evaluate(&mut session, &images, 4, &mut |_| {}).unwrap_err();
        assert!(matches!(error, EngineError::NotANumber { image: 4, class: 1, .. }), "{error}");
    }

    #[test]
    fn neither_batch_size_nor_threads_change_a_prediction() {
        let Some(runtime) = runtime() else { return };
        let images = Values::random(&[3, 8, 8], 37, 5).labelled(vec![0; 37], 5);
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
    fn a_fixed_batch_is_kept_to_and_filled_up() {
        let pixels = vec![0.0, 1.0, 1.0, 0.0, 0.0, 1.0];
        let images = Values::new(&[2, 1, 1], pixels).labelled(vec![1, 0, 1], 2);
        for batch in [1, 2, 4] {
            let bytes = crate::testing::with_batch(&flatten_net(2), batch);
            let Some(mut session) = session(&bytes, Optimisation::Off) else { return };
            assert_eq!(session.fixed_batch(), Some(batch as usize));
            let mut heard = 0;
            let done = evaluate(&mut session, &images, 64, &mut |n| heard = n).unwrap();
            assert_eq!(done.predictions, [1, 0, 1], "batch {batch}");
            assert_eq!(done.accuracy, Accuracy { correct: 3, images: 3 });
            assert_eq!(heard, 3);
        }
    }

    #[test]
    fn another_number_of_classes_than_the_data_set_has_is_refused() {
        let Some(mut session) = session(&flatten_net(2), Optimisation::Off) else { return };
        for data in [1, 3, 10] {
            let images = Values::new(&[2, 1, 1], vec![0.0; 4]).labelled(vec![0; 2], data);
            let error = evaluate(&mut session, &images, 2, &mut |_| {}).unwrap_err();
            assert_eq!(error, EngineError::Classes { origin: "net".into(), model: 2, data });
            let text = error.to_string();
            let expected = format!("logits for 2 classes, the data set has {data} classes");
            assert!(text.contains(&expected), "{text}");
        }
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
