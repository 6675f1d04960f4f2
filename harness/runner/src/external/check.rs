//! Whether an artefact from outside is what was asked: the model's interface, and no more bits.

use quantbench_core::row::LayerBits;
use quantbench_core::{Bits, Family, Spec};
use quantbench_graph::{Artefact, Graph, allocation, mean_weight_bits, sites};

use crate::work::WorkError;

/// Checks an artefact against the FP32 model (as it came, and folded) and the spec.
///
/// # Errors
/// [`WorkError::WrongFile`] with what differs and what was expected.
pub(crate) fn check(
    model: &Graph,
    folded: &Graph,
    artefact: &Artefact,
    spec: &Spec,
    family: Option<Family>,
) -> Result<(), WorkError> {
    interface(model, &artefact.graph).map_err(WorkError::WrongFile)?;
    let asked = asked(folded, spec)?;
    let found = allocation(artefact);
    widths(&asked, &found, spec, family == Some(Family::MixedPrecision))
        .map_err(WorkError::WrongFile)
}

/// One image in, the same logits out; names are the tool's own affair.
fn interface(model: &Graph, artefact: &Graph) -> Result<(), String> {
    let pairs = [
        ("input", model.image_dims(), artefact.image_dims()),
        ("output", model.item_dims(model.output()), artefact.item_dims(artefact.output())),
    ];
    for (what, want, have) in pairs {
        if want != have {
            return Err(format!(
                "its {what} has dimensions {have:?} for one image; the model's has {want:?}"
            ));
        }
    }
    Ok(())
}

/// The widths that a spec asks of each layer.
fn asked(folded: &Graph, spec: &Spec) -> Result<Vec<LayerBits>, WorkError> {
    let sites = sites(folded, spec)?;
    let layers = folded.layers();
    let weights = |index| sites.weights.iter().find(|w| w.layer == index);
    let one = |(index, layer): (usize, &quantbench_graph::Layer)| LayerBits {
        layer: layer.name.clone(),
        weights: weights(index).map_or(Bits::FP32, |site| site.bits),
        activations: sites.input_bits(folded, layer),
        parameters: layer.parameters(),
    };
    Ok(layers.iter().enumerate().map(one).collect())
}

/// Layer by layer where the tool kept the layers, else by the mean; of a mixed-precision method
/// the weights are a budget.
fn widths(
    asked: &[LayerBits],
    found: &[LayerBits],
    spec: &Spec,
    budget: bool,
) -> Result<(), String> {
    let same = asked.len() == found.len()
        && asked.iter().zip(found).all(|(a, f)| a.parameters == f.parameters);
    for (at, (ask, got)) in asked.iter().zip(found).enumerate().filter(|_| same) {
        // Some methods cannot know the range of the image; reports name an image in FP32 as such.
        let image = at == 0 && got.activations == Bits::FP32;
        let parts = [
            ("the weight", ask.weights, got.weights, !budget),
            ("the input", ask.activations, got.activations, !image),
        ];
        for (what, want, have, checked) in parts {
            if checked && have > want {
                let (layer, bits) = (&got.layer, spec.bits);
                return Err(format!(
                    "layer {layer:?}: {what} has {have} bits; {bits} asks for at most {want} there"
                ));
            }
        }
    }
    let (want, have) = (mean_weight_bits(asked), mean_weight_bits(found));
    if have > want + 1e-9 {
        return Err(format!(
            "its weights take {have:.3} bits on average; {} asks for at most {want:.3}",
            spec.bits
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(bits: &[(u8, u8, u64)]) -> Vec<LayerBits> {
        let one = |&(w, a, parameters): &(u8, u8, u64)| LayerBits {
            layer: format!("l{parameters}"),
            weights: Bits::new(w).unwrap(),
            activations: Bits::new(a).unwrap(),
            parameters,
        };
        bits.iter().map(one).collect()
    }

    #[test]
    fn more_bits_than_asked_are_refused_and_fewer_are_not() {
        let spec = Spec::from_widths("w4a4".parse().unwrap());
        let asked = layers(&[(8, 8, 10), (4, 4, 90)]);
        assert_eq!(widths(&asked, &layers(&[(8, 8, 10), (3, 4, 90)]), &spec, false), Ok(()));
        let wide = widths(&asked, &layers(&[(8, 8, 10), (8, 4, 90)]), &spec, false).unwrap_err();
        assert_eq!(wide, "layer \"l90\": the weight has 8 bits; w4a4 asks for at most 4 there");
        assert_eq!(widths(&asked, &layers(&[(8, 32, 10), (4, 4, 90)]), &spec, false), Ok(()));
        let float = widths(&asked, &layers(&[(8, 8, 10), (4, 32, 90)]), &spec, false).unwrap_err();
        assert!(float.starts_with("layer \"l90\": the input has 32 bits"), "{float}");
    }

    #[test]
    fn a_budget_and_other_layers_are_judged_by_the_mean() {
        let spec = Spec::from_widths("w4a4".parse().unwrap());
        let asked = layers(&[(4, 4, 50), (4, 4, 51)]);
        let mixed = layers(&[(2, 4, 50), (6, 4, 51)]);
        let over = widths(&asked, &mixed, &spec, true).unwrap_err();
        assert!(over.contains("4.020 bits on average"), "{over}");
        let fits = layers(&[(5, 4, 50), (3, 4, 51)]);
        assert_eq!(widths(&asked, &fits, &spec, true), Ok(()));
        assert_eq!(widths(&asked, &layers(&[(4, 32, 101)]), &spec, false), Ok(()));
        assert!(widths(&asked, &layers(&[(8, 4, 101)]), &spec, false).is_err());
    }
}
