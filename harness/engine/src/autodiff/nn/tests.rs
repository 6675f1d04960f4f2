//! A generator that learns, and images that are made to fit a network.

use std::collections::BTreeMap;

use quantbench_core::Tensor;
use quantbench_core::rng::Rng;
use quantbench_graph::Graph;
use quantbench_graph::testing::tiny_resnet;

use super::*;
use crate::autodiff::kernels::tests::noise;
use crate::autodiff::ops::{self, Activation, Arithmetic};
use crate::autodiff::optim::{Adam, Decay, Group, Optimizer, Parameters, Rule};
use crate::autodiff::{Device, Network, Tape, Unchanged, Value, Var, Window};

const ADAM: Adam = Adam { beta1: 0.5, beta2: 0.999, epsilon: 1e-8, decay: Decay::Gradient };

fn all() -> Group {
    Group { name: "all".to_string(), rate: 1.0, weight_decay: 0.0 }
}

/// The generator of GDFQ (Xu et al. 2020) with fewer channels, for images of 8 x 8.
struct Generator {
    labels: Embedding,
    first: Linear,
    norms: [BatchNorm; 3],
    convs: [Conv; 2],
}

impl Generator {
    fn new(init: &mut Init<'_>) -> Self {
        let same = Window::square(3, 1, 1);
        Self {
            labels: Embedding::new(init, "labels", 4, 12).unwrap(),
            first: Linear::new(init, "first", (12, 18 * 4), true).unwrap(),
            norms: [
                BatchNorm::new(init, "norm0", 18, true).unwrap(),
                BatchNorm::new(init, "norm1", 20, true).unwrap(),
                BatchNorm::new(init, "norm2", 3, false).unwrap(),
            ],
            convs: [
                Conv::new(init, "conv1", (18, 20), same, 1, true).unwrap(),
                Conv::new(init, "conv2", (20, 3), same, 1, true).unwrap(),
            ],
        }
    }

    fn run(&mut self, tape: &mut Tape, on: &OnTape, noise: Var, labels: &[u16]) -> Option<Var> {
        let double = Upsample { factor: 2 };
        let embedded = self.labels.run(tape, on, labels)?;
        let seed = ops::arithmetic(tape, Arithmetic::Multiply, embedded, noise)?;
        let x = self.first.run(tape, on, seed)?;
        let x = ops::reshape(tape, x, [18, 2, 2])?;
        let x = self.norms[0].train(tape, on, x)?;
        let x = double.run(tape, x)?;
        let x = self.convs[0].run(tape, on, x)?;
        let x = self.norms[1].train(tape, on, x)?;
        let x = ops::activate(tape, x, Activation::LeakyRelu(0.2));
        let x = double.run(tape, x)?;
        let x = self.convs[1].run(tape, on, x)?;
        let x = ops::activate(tape, x, Activation::Tanh);
        self.norms[2].train(tape, on, x)
    }
}

#[test]
fn a_generator_learns_an_image_for_each_label() {
    let device = Device::new();
    let train = |steps: usize| {
        let mut parameters = Parameters::new();
        let group = parameters.add_group(all()).unwrap();
        let stream = Rng::from_parts(&["generator", "1"]);
        let mut generator = Generator::new(&mut Init::new(&mut parameters, group, stream));
        let mut optimizer = Optimizer::new(Rule::Adam(ADAM), parameters).unwrap();
        let mut rng = Rng::from_parts(&["noise", "1"]);
        let targets = noise(&[4, 3, 8, 8], 40);
        let labels: Vec<u16> = (0..16).map(|i| i % 4).collect();
        let wanted: Vec<f32> = (0..4).flat_map(|_| targets.data.iter().copied()).collect();
        let wanted = Tensor::new(vec![16, 3, 8, 8], wanted);
        let mut losses = Vec::new();
        for _ in 0..steps {
            let mut tape = Tape::new(&device);
            let on = OnTape::trained(&mut tape, optimizer.parameters());
            let z = Tensor::new(
                vec![16, 12],
                (0..16 * 12).map(|_| 1.0 + 0.3 * normal(&mut rng)).collect(),
            );
            let z = tape.constant(Value::Map(device.map(&z).unwrap()));
            let image = generator.run(&mut tape, &on, z, &labels).unwrap();
            let target = device.map(&wanted).unwrap();
            let loss = ops::squared_error(&mut tape, image, target, None).unwrap();
            losses.push(tape.scalar(loss));
            let gradients = on.gradients(&mut tape.backward(loss));
            assert!(gradients.iter().all(Option::is_some), "every parameter is trained");
            optimizer.step(&gradients, 0.01).unwrap();
        }
        (losses, optimizer.save(), generator)
    };
    let (losses, state, generator) = train(60);
    assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
    assert_ne!(generator.norms[2].moments().mean, vec![0.0; 3], "running moments follow");
    // The same seeds give the same bits.
    assert_eq!(train(60).1, state);
}

#[test]
fn parameters_begin_where_those_of_pytorch_do() {
    let mut parameters = Parameters::new();
    let group = parameters.add_group(all()).unwrap();
    let mut init = Init::new(&mut parameters, group, Rng::from_parts(&["init"]));
    Conv::new(&mut init, "conv", (32, 64), Window::square(3, 1, 1), 2, true).unwrap();
    Linear::new(&mut init, "fc", (400, 30), false).unwrap();
    Embedding::new(&mut init, "table", 100, 100).unwrap();
    BatchNorm::new(&mut init, "bn", 5, true).unwrap();
    assert!(BatchNorm::new(&mut init, "bn", 5, true).is_err(), "a name is given once");
    let value = |name: &str| parameters.all()[parameters.find(name).unwrap()].value().clone();
    for (name, dims, bound) in [
        ("conv.weight", vec![64, 16, 3, 3], 1.0 / 12.0),
        ("conv.bias", vec![64], 1.0 / 12.0),
        ("fc.weight", vec![30, 400], 0.05),
    ] {
        let tensor = value(name);
        assert_eq!(tensor.dims, dims, "{name}");
        let largest = tensor.data.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest <= bound && largest > 0.9 * bound, "{name}: {largest} of {bound}");
    }
    let moment = |p: i32| {
        value("table.weight").data.iter().map(|v| f64::from(*v).powi(p)).sum::<f64>() / 1e4
    };
    // Six standard errors of 10,000 numbers.
    assert!(
        moment(1).abs() < 0.06 && (moment(2) - 1.0).abs() < 0.09,
        "{} {}",
        moment(1),
        moment(2)
    );
    assert!((moment(4) - 3.0).abs() < 0.6, "{}", moment(4));
    assert_eq!(value("bn.weight").data, vec![1.0; 5]);
    assert_eq!(value("bn.bias").data, vec![0.0; 5]);
}

#[test]
fn running_moments_are_those_of_pytorch_and_evaluation_uses_them() {
    let mut parameters = Parameters::new();
    let group = parameters.add_group(all()).unwrap();
    let mut init = Init::new(&mut parameters, group, Rng::from_parts(&["norm"]));
    let mut norm = BatchNorm::new(&mut init, "bn", 1, true).unwrap();
    let mut tape = Tape::new(&Device::new());
    let on = OnTape::frozen(&mut tape, &parameters);
    let x = Tensor::new(vec![2, 1, 1, 2], vec![1.0, 2.0, 3.0, 6.0]);
    let x = Value::Map(tape.device().map(&x).unwrap());
    let x = tape.constant(x);
    let y = norm.train(&mut tape, &on, x).unwrap();
    // Mean 3, variance 3.5 over 4 values, 14/3 over 3 degrees of freedom.
    let found = tape.map(y).to_tensor().data;
    assert!((found[0] - -2.0 / 3.5f32.sqrt()).abs() < 1e-5, "{found:?}");
    let moments = norm.moments().clone();
    assert!((moments.mean[0] - 0.3).abs() < 1e-6, "{moments:?}");
    assert!((moments.variance[0] - (0.9 + 1.4 / 3.0)).abs() < 1e-6, "{moments:?}");
    let y = norm.evaluate(&mut tape, &on, x).unwrap();
    let want = (6.0 - moments.mean[0]) / (moments.variance[0] + 1e-5).sqrt();
    assert!((tape.map(y).at(1, 0, 1) - want).abs() < 1e-5);
    assert_eq!(norm.moments(), &moments, "evaluation moves nothing");
}

/// Images of noise are optimised through a frozen network until the values that its norms read
/// have the moments that the norms keep, and the network sees the classes that are asked for.
#[test]
fn images_follow_the_moments_that_norms_keep() {
    let graph = Graph::from_bytes(&tiny_resnet(4), "tiny").unwrap().fold_constants().unwrap();
    let network = Network::new(&graph, &[]).unwrap();
    assert_eq!(network.norms().len(), 4);
    let device = Device::new();
    let mut parameters = Parameters::new();
    let group = parameters.add_group(all()).unwrap();
    parameters.add(group, "image", noise(&[8, 3, 8, 8], 9)).unwrap();
    let mut optimizer = Optimizer::new(Rule::Adam(ADAM), parameters).unwrap();
    let labels: Vec<u16> = (0..8).map(|i| i % 4).collect();
    let (mut distances, mut losses) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        let mut tape = Tape::new(&device);
        let image = device.map(optimizer.parameters().all()[0].value()).unwrap();
        let image = tape.variable(Value::Map(image));
        let weights = network.parameters().iter();
        let weights: BTreeMap<String, Var> = weights
            .map(|(name, w)| (name.clone(), tape.constant(Value::Flat(w.clone()))))
            .collect();
        let inputs = BTreeMap::from([(network.input().to_string(), image)]);
        let run = network.run(&mut tape, inputs, &weights, false, &mut Unchanged).unwrap();
        let mut terms = Vec::new();
        for norm in network.norms() {
            let read = run.values[&norm.input];
            terms.push((ops::moments_loss(&mut tape, read, &norm.moments).unwrap(), 0.25));
        }
        let distance = ops::total(&mut tape, &terms);
        let class =
            ops::cross_entropy(&mut tape, run.values[network.output()], &labels, 0.0).unwrap();
        distances.push(tape.scalar(distance));
        losses.push(tape.scalar(class));
        let loss = ops::total(&mut tape, &[(class, 0.1), (distance, 1.0)]);
        let mut gradients = tape.backward(loss);
        assert!(weights.values().all(|w| gradients.flat(*w).is_none()), "frozen");
        let gradient = gradients.map(image).unwrap().to_tensor();
        optimizer.step(&[Some(gradient)], 0.05).unwrap();
    }
    assert!(distances[59] < 0.3 * distances[0], "{distances:?}");
    assert!(losses[59] < losses[0], "{losses:?}");
}
