//! Rules against sums over all gradients in FP64, states, and what is refused.

use proptest::prelude::*;
use quantbench_core::rng::Rng;

use super::*;

const RULES: [Rule; 6] = [
    Rule::Sgd(Sgd { momentum: Momentum::None }),
    Rule::Sgd(Sgd { momentum: Momentum::Heavy(0.9) }),
    Rule::Sgd(Sgd { momentum: Momentum::Nesterov(0.9) }),
    Rule::Adam(Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: Decay::Gradient }),
    Rule::Adam(Adam { beta1: 0.5, beta2: 0.99, epsilon: 1e-3, decay: Decay::Gradient }),
    Rule::Adam(Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: Decay::Decoupled }),
];

/// Factor of the rate and weight decay of the two groups.
const GROUPS: [(f64, f64); 2] = [(1.0, 0.01), (0.3, 0.0)];

fn vector(values: &[f32]) -> Tensor {
    Tensor::new(vec![values.len()], values.to_vec())
}

/// Two parameters, one in each group.
fn optimizer(rule: Rule) -> Optimizer {
    let mut parameters = Parameters::new();
    for (i, (rate, weight_decay)) in GROUPS.into_iter().enumerate() {
        parameters.add_group(Group { name: format!("group {i}"), rate, weight_decay }).unwrap();
    }
    parameters
        .add(0, "conv.weight", Tensor::new(vec![2, 1, 2], vec![0.5, -1.0, 1.5, 0.0]))
        .unwrap();
    parameters.add(1, "step", vector(&[0.25, -0.75])).unwrap();
    Optimizer::new(rule, parameters).unwrap()
}

/// Gradients of a step. They stay away from zero, where Adam makes a step of any size out of the
/// last bit; every third step has none for the second parameter.
fn gradients(seed: u64, step: u64) -> Vec<Option<Tensor>> {
    let mut rng = Rng::from_parts(&["optimizer tests", &seed.to_string(), &step.to_string()]);
    let mut values = |n: usize| -> Vec<f32> {
        (0..n)
            .map(|_| (0.1 + 0.9 * rng.unit_f32()) * if rng.below(2) == 0 { -1.0 } else { 1.0 })
            .collect()
    };
    let first = Tensor::new(vec![2, 1, 2], values(4));
    let second = (step % 3 != 2).then(|| vector(&values(2)));
    vec![Some(first), second]
}

fn rate(step: u64) -> f64 {
    0.05 / (1.0 + step as f64)
}

/// Where a number ends up, from its gradients and rates. Every mean is summed anew over all of the
/// gradients seen so far, as the papers define it, instead of being carried on.
fn reference(rule: Rule, start: f64, decay: f64, history: &[(f64, f64)]) -> f64 {
    let (mut p, mut seen) = (start, Vec::new());
    for (t, &(g, r)) in history.iter().enumerate() {
        let sum = |share: f64, seen: &[f64]| -> f64 {
            seen.iter().rev().zip(0..).map(|(g, age)| share.powi(age) * g).sum()
        };
        match rule {
            Rule::Sgd(Sgd { momentum }) => {
                seen.push(g + decay * p);
                p -= r * match momentum {
                    Momentum::None => seen[t],
                    Momentum::Heavy(m) => sum(m, &seen),
                    Momentum::Nesterov(m) => seen[t] + m * sum(m, &seen),
                };
            }
            Rule::Adam(adam) => {
                match adam.decay {
                    Decay::Gradient => seen.push(g + decay * p),
                    Decay::Decoupled => {
                        seen.push(g);
                        p -= r * decay * p;
                    }
                }
                let squares: Vec<f64> = seen.iter().map(|g| g * g).collect();
                let weights = vec![1.0; seen.len()];
                let mean = sum(adam.beta1, &seen) / sum(adam.beta1, &weights);
                let square = sum(adam.beta2, &squares) / sum(adam.beta2, &weights);
                p -= r * mean / (square.sqrt() + adam.epsilon);
            }
        }
    }
    p
}

proptest! {
    #[test]
    fn rules_are_those_of_the_papers(
        rule in prop::sample::select(RULES.to_vec()), seed in 0u64..1000, steps in 1u64..40,
    ) {
        let mut trained = optimizer(rule);
        let start = trained.parameters().clone();
        for step in 0..steps {
            trained.step(&gradients(seed, step), rate(step)).unwrap();
        }
        for (index, (before, after)) in
            start.all().iter().zip(trained.parameters().all()).enumerate()
        {
            let (factor, decay) = GROUPS[index];
            for at in 0..before.value().len() {
                let history: Vec<(f64, f64)> = (0..steps)
                    .filter_map(|step| {
                        let g = gradients(seed, step)[index].as_ref()?.data[at];
                        Some((f64::from(g), factor * rate(step)))
                    })
                    .collect();
                let start = f64::from(before.value().data[at]);
                let expected = reference(rule, start, decay, &history);
                let found = f64::from(after.value().data[at]);
                prop_assert!(
                    (found - expected).abs() < 3e-6, "{} at {}: {} {}", after.name(), at, found,
                    expected
                );
            }
        }
    }

    #[test]
    fn going_on_from_a_state_changes_no_bit(
        rule in prop::sample::select(RULES.to_vec()), seed in 0u64..1000, steps in 1u64..20,
        share in 0.0f64..1.0,
    ) {
        let (mut whole, mut resumed) = (optimizer(rule), optimizer(rule));
        let stop = (steps as f64 * share) as u64;
        let mut state = whole.save();
        for step in 0..steps {
            if step == stop {
                state = whole.save();
            }
            whole.step(&gradients(seed, step), rate(step)).unwrap();
        }
        resumed.load(&state).unwrap();
        prop_assert_eq!(resumed.steps(), stop);
        for step in resumed.steps()..steps {
            resumed.step(&gradients(seed, step), rate(step)).unwrap();
        }
        prop_assert_eq!(&resumed.memory, &whole.memory);
        prop_assert_eq!(resumed.save(), whole.save());
    }

    #[test]
    fn a_damaged_state_is_refused_and_changes_nothing(
        rule in prop::sample::select(RULES.to_vec()), at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
    ) {
        let mut trained = optimizer(rule);
        trained.step(&gradients(0, 0), 0.1).unwrap();
        let whole = trained.save();
        let at = at.index(whole.len());
        let mut damaged = whole.clone();
        damaged[at] ^= flip;
        for bytes in [&damaged[..], &whole[..at]] {
            let message = trained.load(bytes).unwrap_err().to_string();
            prop_assert!(message.starts_with("cannot load the state of the optimizer"));
            prop_assert_eq!(&trained.save(), &whole);
        }
    }
}

/// A gradient of one and a rate of 0.1, so that the sums can be done by hand.
#[test]
fn steps_are_those_done_by_hand() {
    for (rule, expected) in [
        (RULES[0], [-0.1, -0.2, -0.3]),
        (RULES[1], [-0.1, -0.29, -0.561]),
        (RULES[2], [-0.19, -0.461, -0.8049]),
        (RULES[3], [-0.1, -0.2, -0.3]),
    ] {
        let mut parameters = Parameters::new();
        let group = Group { name: "all".to_string(), rate: 1.0, weight_decay: 0.0 };
        let group = parameters.add_group(group).unwrap();
        parameters.add(group, "p", vector(&[0.0])).unwrap();
        let mut trained = Optimizer::new(rule, parameters).unwrap();
        for expected in expected {
            trained.step(&[Some(vector(&[1.0]))], 0.1).unwrap();
            let found = trained.parameters().all()[0].value().data[0];
            assert!((found - expected).abs() < 1e-6, "{rule:?}: {found} {expected}");
        }
    }
}

#[test]
fn a_state_of_something_else_says_what_is_different() {
    let refused = |into: &mut Optimizer, bytes: &[u8], words: &str| {
        let message = into.load(bytes).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    };
    let saved = optimizer(RULES[1]).save();
    refused(&mut optimizer(RULES[3]), &saved, "rule \"sgd-momentum\", expected \"adam\"");
    refused(&mut optimizer(RULES[0]), &saved, "rule \"sgd-momentum\", expected \"sgd\"");
    refused(&mut optimizer(RULES[1]), b"PK\x03\x04 and so on", "something else");
    refused(&mut optimizer(RULES[1]), b"", "something else");
    refused(&mut optimizer(RULES[1]), &saved[..10], "cut off after 10 bytes");
    refused(&mut optimizer(RULES[1]), &saved[..saved.len() - 5], "cut off or damaged");
    let mut newer = saved.clone();
    newer[8] = 2;
    refused(&mut optimizer(RULES[1]), &newer, "version 2, this program reads 1");

    let one = |name: &str, value: Tensor| {
        let mut parameters = Parameters::new();
        let group = Group { name: "all".to_string(), rate: 1.0, weight_decay: 0.0 };
        parameters.add_group(group).unwrap();
        parameters.add(0, name, value).unwrap();
        Optimizer::new(RULES[1], parameters).unwrap()
    };
    let saved = one("a", vector(&[1.0, 2.0])).save();
    refused(&mut optimizer(RULES[1]), &saved, "1 parameters, expected 2");
    refused(&mut one("b", vector(&[1.0, 2.0])), &saved, "is \"a\", expected \"b\"");
    refused(&mut one("a", vector(&[1.0])), &saved, "dimensions [2], expected [1]");
}

#[test]
fn divergence_names_the_parameter_and_the_step() {
    let mut trained = optimizer(RULES[1]);
    trained.step(&gradients(1, 0), 0.1).unwrap();
    let before = trained.save();
    let mut bad = gradients(1, 1);
    bad[1] = Some(vector(&[1.0, f32::NAN]));
    let message = trained.step(&bad, 0.1).unwrap_err().to_string();
    let expected = "the gradient of parameter \"step\" is NaN at element 1 in step 1 ";
    assert!(message.contains(expected), "{message}");
    assert_eq!(trained.save(), before, "nothing was changed");

    bad[1] = None;
    bad[0] = Some(Tensor::new(vec![2, 1, 2], vec![0.0, 0.0, -1e38, 0.0]));
    let message = trained.step(&bad, 1e10).unwrap_err().to_string();
    let expected = "parameter \"conv.weight\" is inf at element 2 in step 1 ";
    assert!(message.contains(expected), "{message}");
    assert_eq!(trained.steps(), 1);
}

#[test]
fn gradients_that_do_not_fit_are_refused() {
    let mut trained = optimizer(RULES[0]);
    let before = trained.save();
    let mut refused = |gradients: &[Option<Tensor>], rate: f64, words: &str| {
        let message = trained.step(gradients, rate).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
        assert_eq!(trained.save(), before);
    };
    refused(&[None], 0.1, "1 gradients for 2 parameters");
    refused(&[Some(vector(&[0.0; 4])), None], 0.1, "\"conv.weight\" has dimensions [4]");
    refused(&[None, None], f64::NAN, "learning rate is NaN in step 0");
    refused(&[None, None], -0.1, "learning rate is -0.1");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let adam = Adam::default();
    for (rule, words) in [
        (Rule::Sgd(Sgd { momentum: Momentum::Heavy(1.0) }), "the momentum is 1;"),
        (Rule::Sgd(Sgd { momentum: Momentum::Nesterov(0.0) }), "above 0 and below 1"),
        (Rule::Sgd(Sgd { momentum: Momentum::Nesterov(f64::NAN) }), "Nesterov's rule is NaN"),
        (Rule::Adam(Adam { beta1: -0.1, ..adam }), "beta1 of Adam is -0.1"),
        (Rule::Adam(Adam { beta2: 1.0, ..adam }), "beta2 of Adam is 1;"),
        (Rule::Adam(Adam { epsilon: f64::INFINITY, ..adam }), "epsilon of Adam is inf"),
    ] {
        let message = Optimizer::new(rule, Parameters::new()).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let message = Optimizer::new(RULES[0], Parameters::new()).unwrap_err().to_string();
    assert!(message.contains("no parameters"), "{message}");

    let mut parameters = Parameters::new();
    let mut group = Group { name: "scales".to_string(), rate: -1.0, weight_decay: 0.0 };
    let message = parameters.add_group(group.clone()).unwrap_err().to_string();
    assert!(message.contains("rate of group \"scales\" is -1"), "{message}");
    (group.rate, group.weight_decay) = (1.0, f64::NAN);
    let message = parameters.add_group(group.clone()).unwrap_err().to_string();
    assert!(message.contains("weight decay of group \"scales\" is NaN"), "{message}");
    group.weight_decay = 0.0;
    parameters.add_group(group).unwrap();
    parameters.add(0, "w", vector(&[1.0])).unwrap();
    for (group, name, value, words) in [
        (0, "w", 0.0, "two parameters \"w\""),
        (1, "v", 0.0, "group 1 of 1"),
        (0, "v", f32::NEG_INFINITY, "\"v\" is -inf at element 1 before training"),
    ] {
        let message = parameters.add(group, name, vector(&[0.0, value])).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(parameters.all().len(), 1);
}
