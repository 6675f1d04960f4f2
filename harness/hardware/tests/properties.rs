//! What must hold for every model, layer and width.
#![allow(clippy::unwrap_used)]

mod common;

use common::modelled;
use proptest::prelude::*;
use quantbench_core::{Bits, CostModel as _};
use quantbench_hardware::{
    Bound, Level, ModelledLayer, Profile, Roofline, TargetCost, Work, Workload,
};

fn one(profile: &Profile, work: &Work) -> ModelledLayer {
    let workload = Workload { origin: "test".to_string(), layers: vec![work.clone()] };
    profile.cost(&workload).unwrap().layers.remove(0)
}

prop_compose! {
    fn conv()(
        channels in 1u64..300,
        filters in 1u64..300,
        kernel in 1u64..8,
        stride in 1u64..4,
        output in 1u64..60,
        groups in prop_oneof![Just(1u64), Just(2), Just(32)],
        depthwise in any::<bool>(),
    ) -> Work {
        let (channels, filters) = if depthwise && groups > 1 { (1, 1) } else { (channels, filters) };
        Work::conv("conv", (channels, filters), (kernel, stride), output, groups)
    }
}

prop_compose! {
    fn fc()(inputs in 1u64..5000, outputs in 1u64..5000) -> Work {
        Work::fc("fc", inputs, outputs)
    }
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![conv(), fc()]
}

/// A pair of widths that a profile has.
fn widths(profile: &Profile, pick: usize) -> (u8, u8) {
    let (w, a) = (&profile.executes.weight_bits, &profile.executes.activation_bits);
    (w[pick % w.len()], a[(pick / w.len()) % a.len()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_layer_is_faster_than_its_roofline(work in work(), pick in 0usize..4096) {
        for profile in modelled() {
            let (w, a) = widths(&profile, pick);
            let layer = one(&profile, &work.clone().at(w, a));
            let at = format!("{} w{w}a{a} {work:?}", profile.name);
            prop_assert!(layer.utilisation > 0.0 && layer.utilisation <= 1.0 + 1e-9, "{at}: {}", layer.utilisation);
            prop_assert!(layer.cycles >= layer.compute_cycles && layer.compute_cycles > 0, "{at}");
            prop_assert!(layer.energy.total_j() > 0.0 && layer.energy.total_j().is_finite(), "{at}");
            let roofs = Roofline::of(profile.cost.as_ref().unwrap().model(), w, a);
            let least = roofs.least_seconds(2.0 * layer.macs as f64, layer.bytes_at(Level::Dram) as f64);
            prop_assert!(layer.seconds >= least * (1.0 - 1e-9), "{at}: {} s, at least {least} s", layer.seconds);
            prop_assert_eq!(layer.bound == Bound::Memory, layer.seconds > 0.0 && layer.cycles > layer.compute_cycles
                && !(profile.name == "edge-tpu" && layer.cycles <= 2 * layer.compute_cycles));
        }
    }

    #[test]
    fn more_of_anything_never_costs_less(work in work(), factor in 2u64..4) {
        let grown = |change: fn(&mut Work, u64)| {
            let mut work = work.clone();
            change(&mut work, factor);
            work
        };
        let larger = [
            ("filters", grown(|w, f| w.filters *= f)),
            ("images", Workload { origin: String::new(), layers: vec![work.clone()] }.batched(factor).layers.remove(0)),
            ("window", grown(|w, f| { w.window *= f; w.input_elements *= f; })),
            ("groups", grown(|w, f| { w.groups *= f; w.input_elements *= f; })),
        ];
        for profile in modelled() {
            let small = one(&profile, &work);
            for (what, work) in &larger {
                let large = one(&profile, work);
                prop_assert!(large.cycles >= small.cycles, "{} {what}: {} after {}", profile.name, large.cycles, small.cycles);
                prop_assert!(large.energy.total_j() >= small.energy.total_j(), "{} {what}", profile.name);
                prop_assert!(large.bytes_at(Level::Dram) >= small.bytes_at(Level::Dram), "{} {what}", profile.name);
            }
        }
    }

    #[test]
    fn fewer_bits_never_cost_more(work in work()) {
        for profile in modelled() {
            let (ws, actives) = (&profile.executes.weight_bits, &profile.executes.activation_bits);
            let mut last: Option<ModelledLayer> = None;
            for (i, &a) in actives.iter().enumerate() {
                let w = ws[i.min(ws.len() - 1)];
                let layer = one(&profile, &work.clone().at(w, a));
                prop_assert_eq!(layer.bit_operations, layer.macs * u64::from(w) * u64::from(a));
                if let Some(less) = last {
                    prop_assert!(layer.cycles >= less.cycles, "{} w{w}a{a}", profile.name);
                    prop_assert!(layer.bytes.total() >= less.bytes.total(), "{} w{w}a{a}", profile.name);
                }
                last = Some(layer);
            }
        }
    }

    #[test]
    fn totals_are_the_sums_of_layers(first in work(), second in work()) {
        for profile in modelled() {
            let workload = Workload { origin: "test".to_string(), layers: vec![first.clone(), second.clone()] };
            let cost = profile.cost(&workload).unwrap();
            let sum: f64 = cost.layers.iter().map(|l| l.seconds).sum();
            prop_assert!((cost.total.seconds - cost.total.overhead_seconds - sum).abs() <= 1e-12 + 1e-9 * sum);
            prop_assert_eq!(cost.total.macs, workload.macs());
            prop_assert_eq!(cost.total.bit_operations, workload.bit_operations());
            prop_assert_eq!(cost.total.cycles, cost.layers.iter().map(|l| l.cycles).sum::<u64>());
            let dram: u64 = cost.layers.iter().map(|l| l.bytes_at(Level::Dram)).sum();
            prop_assert_eq!(cost.total.bytes_at(Level::Dram), dram);
            prop_assert!(cost.total.utilisation <= 1.0 + 1e-9);
            prop_assert_eq!(cost.speed_up.layer_ceilings.len(), 2);
        }
    }
}

#[test]
fn bits_scale_where_the_hardware_makes_use_of_them() {
    let work = Work::conv("conv", (256, 256), (3, 1), 32, 1);
    let cycles =
        |name: &str, w, a| one(&common::profile(name), &work.clone().at(w, a)).compute_cycles;
    for (name, half, quarter) in
        [("bitfusion", 4, 16), ("loom", 4, 16), ("bismo", 4, 16), ("stripes", 2, 4)]
    {
        let eight = cycles(name, 8, 8);
        assert_eq!(eight, half * cycles(name, 4, 4), "{name}");
        assert_eq!(eight, quarter * cycles(name, 2, 2), "{name}");
    }
    assert_eq!(cycles("eyeriss", 8, 8), cycles("eyeriss", 2, 2), "everything is 16 bits there");
    assert_eq!(cycles("mcu-m4", 8, 8), cycles("mcu-m4", 4, 8), "unpacked before the multiply");
}

#[test]
fn a_method_gets_the_cost_of_a_layer_and_infinity_where_there_are_no_units() {
    let layers = vec![Work::conv("a", (16, 16), (3, 1), 32, 1), Work::fc("b", 64, 10)];
    let workload = Workload { origin: "test".to_string(), layers };
    for profile in modelled() {
        let cost = profile.cost(&workload).unwrap();
        let asked = TargetCost::new(&profile, &workload).unwrap();
        for (i, layer) in cost.layers.iter().enumerate() {
            let found = asked.layer(i, Bits::EIGHT, Bits::EIGHT);
            assert_eq!(
                (found.seconds, found.joules),
                (layer.seconds, layer.energy.total_j()),
                "{}",
                profile.name
            );
        }
        assert_eq!(asked.layer(0, Bits::FP32, Bits::FP32).seconds, f64::INFINITY);
        assert_eq!(asked.layer(2, Bits::EIGHT, Bits::EIGHT).seconds, f64::INFINITY);
    }
}
