use super::*;
use crate::testing::{Values, runtime, tiny_net};

fn engine(threads: usize) -> Option<Engine> {
    Some(Engine::new(runtime()?, threads))
}

fn graph(onnx: &[u8]) -> Graph {
    Graph::from_bytes(onnx, "net.onnx").unwrap()
}

/// All taps of all images, per value: the dimensions of the last batch, and the numbers.
fn tapped(engine: Engine, values: &[&str], images: &Values, batch: usize) -> Vec<Tensor> {
    let mut taps = vec![Tensor::default(); values.len()];
    engine
        .taps(&graph(&tiny_net(1)), values, images, batch, &mut |value, dims, data| {
            taps[value].dims = dims.to_vec();
            taps[value].data.extend_from_slice(data);
        })
        .unwrap();
    taps
}

#[test]
fn taps_give_every_value_of_every_image_in_the_asked_order() {
    let Some(engine) = engine(1) else { return };
    let images = Values::random(&[3, 8, 8], 10, 1);
    let values = ["sum_relu", "image", "stem", "logits", "stem"];
    let taps = tapped(engine, &values, &images, 4);
    // The last batch holds two images.
    let dims: Vec<&[usize]> = taps.iter().map(|t| t.dims.as_slice()).collect();
    let (wide, image) = (&[2, 16, 8, 8][..], &[2, 3, 8, 8][..]);
    assert_eq!(dims, [wide, image, wide, &[2, 5], wide]);
    let lengths: Vec<usize> = taps.iter().map(Tensor::len).collect();
    assert_eq!(lengths, [10 * 1024, 10 * 192, 10 * 1024, 50, 10 * 1024]);
    assert_eq!(taps[1].data, images.data);
    assert_eq!(taps[2], taps[4]);
    assert!(taps[0].data.iter().all(|v| *v >= 0.0));
    // The conv's own output, not what a fused Relu would leave of it.
    assert!(taps[2].data.iter().any(|v| *v < 0.0));
}

#[test]
fn the_image_alone_needs_no_run() {
    let Some(engine) = engine(1) else { return };
    let images = Values::random(&[3, 8, 8], 5, 2);
    assert_eq!(tapped(engine, &["image"], &images, 2)[0].data, images.data);
}

#[test]
fn threads_and_batch_size_do_not_change_a_bit_of_a_tap() {
    let images = Values::random(&[3, 8, 8], 12, 3);
    let mut all = Vec::new();
    for (threads, batch) in [(1, 12), (2, 12), (2, 5), (1, 1)] {
        let Some(engine) = engine(threads) else { return };
        let taps = tapped(engine, &["stem", "sum", "features", "logits"], &images, batch);
        let bits: Vec<Vec<u32>> =
            taps.iter().map(|t| t.data.iter().map(|v| v.to_bits()).collect()).collect();
        all.push(bits);
    }
    assert!(all.iter().all(|taps| *taps == all[0]));
}

#[test]
fn a_value_that_does_not_exist_is_an_error() {
    let Some(engine) = engine(1) else { return };
    let images = Values::random(&[3, 8, 8], 2, 4);
    let error =
        engine.taps(&graph(&tiny_net(1)), &["stam"], &images, 2, &mut |_, _, _| {}).unwrap_err();
    assert!(matches!(error, EngineError::Graph(_)), "{error}");
    assert!(error.to_string().contains("stam"), "{error}");
}

#[test]
fn logits_of_all_images_are_those_of_one_session_run() {
    let Some(engine) = engine(1) else { return };
    let (net, images) = (tiny_net(1), Values::random(&[3, 8, 8], 11, 5));
    let logits = engine.logits(&graph(&net), &images, 4).unwrap();
    assert_eq!(logits.dims, [11, 5]);
    let mut session = engine.session(&net, Optimisation::Float).unwrap();
    let whole = session.run(&images.batch(0, 11).unwrap()).unwrap();
    assert_eq!(logits, whole[0]);
}

#[test]
fn no_images_give_no_logits() {
    let Some(engine) = engine(1) else { return };
    let images = Values::random(&[3, 8, 8], 0, 0);
    let error = engine.logits(&graph(&tiny_net(1)), &images, 4).unwrap_err();
    assert_eq!(error, EngineError::NoImages { origin: "net.onnx".to_string() });
}

#[test]
fn taps_in_turn_are_the_taps_at_any_number_of_threads() {
    let (net, images) = (graph(&tiny_net(1)), Values::random(&[3, 8, 8], 23, 7));
    let values = ["sum_relu", "image", "logits", "stem", "image"];
    for threads in [1, 2, 3, 9] {
        let Some(engine) = engine(threads) else { return };
        let want = tapped(engine, &values, &images, 4);
        let mut taps = vec![Vec::new(); values.len()];
        let look = |i: usize, data: &[f32]| (i, data.len());
        engine
            .taps_in_turn(&net, &values, &images, 4, &look, &mut |i, data, seen| {
                assert_eq!(seen, (i, data.len()));
                taps[i].extend_from_slice(data);
            })
            .unwrap();
        assert!(taps.iter().zip(&want).all(|(a, b)| *a == b.data), "{threads} threads");
    }
}

#[test]
fn taps_in_turn_tell_what_went_wrong() {
    let (net, images) = (graph(&tiny_net(1)), Values::random(&[3, 8, 9], 9, 4));
    let Some(engine) = engine(2) else { return };
    let run = |values: &[&str], batch| {
        engine.taps_in_turn(&net, values, &images, batch, &|_, _| (), &mut |_, _, ()| {})
    };
    assert_eq!(run(&["stem"], 0), Err(EngineError::NoBatch));
    assert!(matches!(run(&["stam"], 2), Err(EngineError::Graph(_))));
    assert!(matches!(run(&["stem"], 2), Err(EngineError::InputShape { .. })));
}
