//! What cannot be done is said.

use super::*;

fn said<T: std::fmt::Debug>(result: Result<T, PackedError>) -> String {
    let said = result.unwrap_err().to_string();
    assert!(!said.ends_with('.') && said.contains("expected") || said.contains("take"), "{said}");
    said
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let pack = Weights::pack;
    assert_eq!(
        said(pack(Kernel::Int8Exact, 2, 3, &[0; 5])),
        "the weight has 5 numbers, expected 6, the product of its dimensions"
    );
    assert_eq!(
        said(pack(Kernel::Int4, 1, 3, &[7, -8, 8])),
        "the weight has code 8 at position 2, expected -8 to 7 for int4"
    );
    assert_eq!(
        said(pack(Kernel::Binary, 1, 2, &[1, 0])),
        "the weight has code 0 at position 1, expected -1 or 1 for binary"
    );
    for (outputs, length) in [(0, 3), (3, 0), (1, 65_537), (1, usize::MAX)] {
        said(pack(Kernel::Ternary, outputs, length, &[]));
    }
    said(pack(Kernel::Int2, 1, 7_281, &vec![1; 7_281]));
}

#[test]
fn activations_that_do_not_fit_are_refused() {
    let pack = |kernel, bits, zero_point, codes: &[u8]| {
        said(Activations::pack(kernel, [1, 2], codes, bits, zero_point))
    };
    assert_eq!(
        pack(Kernel::Int2, 2, 0, &[3, 4]),
        "the activation has code 4 at position 1, expected 0 to 3 for int2"
    );
    assert_eq!(pack(Kernel::Int4, 7, 0, &[0; 2]), "the width of activations is 7, expected 8 to 8");
    assert_eq!(pack(Kernel::Binary, 1, 1, &[0; 2]), "the zero point is 1, expected 0 to 0");
    pack(Kernel::Ternary, 3, 8, &[0; 2]);
    pack(Kernel::Ternary, 9, 0, &[0; 2]);
    pack(Kernel::Int8Dot, 8, 0, &[0; 3]);
}

#[test]
fn operands_of_different_products_are_refused() {
    let packed = Weights::pack(Kernel::Int8Exact, 1, 4, &[1; 4]).unwrap();
    let isa = Isa::Portable;
    let other = Activations::pack(Kernel::Int4, [1, 4], &[1; 4], 8, 0).unwrap();
    assert_eq!(
        said(product(isa, &packed, &other, &Finish::Sums)),
        "the kernel that activations were packed for is int4, expected int8-exact as in the weights"
    );
    let longer = Activations::pack(Kernel::Int8Exact, [1, 5], &[1; 5], 8, 0).unwrap();
    said(product(isa, &packed, &longer, &Finish::Sums));
    said(micro_kernel(isa, &packed, &longer, 1));
    let fits = Activations::pack(Kernel::Int8Exact, [1, 4], &[1; 4], 8, 0).unwrap();
    let two = Requantize::new(&[1.0; 2], &[0.0; 2], 0, [0, 255]).unwrap();
    said(product(isa, &packed, &fits, &Finish::Requantize(&two)));
    let many = Thresholds::new(2, &[0, 1], &[false]).unwrap();
    said(product(isa, &packed, &fits, &Finish::Bits(&many)));
}

#[test]
fn finishes_without_sense_are_refused() {
    assert_eq!(
        said(Requantize::new(&[1.0, f32::NAN], &[0.0; 2], 0, [0, 255])),
        "the scale of output channel 1 is not finite; expected a number"
    );
    said(Requantize::new(&[1.0], &[0.0; 2], 0, [0, 255]));
    said(Requantize::new(&[1.0], &[0.0], 0, [9, 8]));
    said(Thresholds::new(2, &[1, 0], &[true]));
    said(Thresholds::new(2, &[1], &[true]));
    said(Thresholds::new(0, &[], &[]));
}

#[test]
fn convolutions_without_sense_are_refused() {
    let good =
        Geometry { image: [4, 4], channels: 2, window: [3, 3], stride: [1, 1], pads: [1; 4] };
    let conv = |kernel, geometry, bits| Conv::new(kernel, geometry, 1, &[1; 18], bits, 0);
    let exact = Kernel::Int8Exact;
    assert_eq!(
        said(conv(exact, Geometry { image: [4, 1], pads: [0; 4], ..good }, 8)),
        "the window is 3 along the width, expected at most 1, the image with its border"
    );
    said(conv(exact, Geometry { stride: [0, 1], ..good }, 8));
    said(conv(exact, Geometry { channels: 3, ..good }, 8));
    said(conv(exact, Geometry { window: [0, 3], ..good }, 8));
    said(conv(exact, Geometry { pads: [usize::MAX; 4], ..good }, 8));
    said(conv(Kernel::Ternary, good, 0));
    said(Depthwise::new(good, &[1; 17], 0));
    let fits = conv(exact, good, 8).unwrap();
    let run = |conv: &Conv, input| said(conv.run(Isa::Portable, input, &Finish::Sums));
    run(&fits, Input::Codes(&[0; 31]));
    run(&fits, Input::Codes(&[]));
    run(&fits, Input::Bits(&[0; 16]));
    let binary = conv(Kernel::Binary, good, 1).unwrap();
    run(&binary, Input::Codes(&[2; 32]));
    run(&binary, Input::Bits(&[0; 15]));
    said(Depthwise::new(good, &[1; 18], 0).unwrap().run(Isa::Portable, &[1], &Finish::Sums));
}

/// An instruction that is not there is not replaced in silence.
#[test]
fn a_kernel_needs_its_instruction() {
    for isa in Isa::available().into_iter().filter(|isa| isa.name() == "avx2") {
        let packed = Weights::pack(Kernel::Int8Dot, 1, 1, &[1]).unwrap();
        let activations = Activations::pack(Kernel::Int8Dot, [1, 1], &[1], 8, 0).unwrap();
        let said = said(product(isa, &packed, &activations, &Finish::Sums));
        assert!(said.starts_with("int8-dot needs an instruction that avx2 lacks"), "{said}");
    }
}
