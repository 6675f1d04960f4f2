//! From the options of one model, one method and one spec to a request.

use anyhow::{Context as _, anyhow};
use quantbench_core::{Params, Spec};
use quantbench_datasets::DataRoots;
use quantbench_runner::{Catalog, QuantizeRequest};

use crate::args::AskedArgs;
use crate::context::{self, Subject};
use crate::exit::{Failure, OrExit};

/// The spec of the options, checked against the method.
fn spec(args: &AskedArgs) -> Result<Spec, Failure> {
    let default = Spec::from_widths(args.bits);
    let mut spec = Spec {
        sites: args.sites.unwrap_or(default.sites),
        image: args.image,
        first_last: args.first_last,
        exclude: args.exclude.iter().cloned().collect(),
        ..default
    };
    for (layer, bits) in &args.layer_bits {
        if spec.layer_bits.insert(layer.clone(), *bits).is_some() {
            return Err(anyhow!("--layer-bits {layer}: is there twice; keep one")).or_usage();
        }
    }
    let method = quantbench_methods::find(&args.method).or_usage()?;
    method.card().fits_spec(&spec).map_err(|reason| anyhow!(reason)).or_usage()?;
    Ok(spec)
}

/// A request with all that it borrows from.
pub struct Asked<'c> {
    subject: Subject<'c>,
    spec: Spec,
    params: Params,
    method: &'static str,
}

impl<'c> Asked<'c> {
    /// Resolves names and reads the model.
    pub fn new(args: &AskedArgs, catalog: &'c Catalog, roots: &DataRoots) -> Result<Self, Failure> {
        if let Ok(external) = catalog.external(&args.method) {
            let name = external.card.name;
            let way = "name it in a survey and use `quantbench run`";
            return Err(anyhow!("method {name} is external: {way}")).or_usage();
        }
        let method = quantbench_methods::find(&args.method).or_usage()?.card().name;
        let spec = spec(args)?;
        let (dataset, preprocess) = (args.dataset.as_deref(), args.preprocess_of.as_deref());
        let subject = context::subject(&args.model, dataset, preprocess, catalog, roots)?;
        let params = params(&args.params).or_usage()?;
        Ok(Self { subject, spec, params, method })
    }

    /// The request.
    pub fn request(&self, args: &AskedArgs, portable: bool) -> QuantizeRequest<'_> {
        QuantizeRequest {
            model: &self.subject.bytes,
            origin: &self.subject.origin,
            dataset: self.subject.dataset,
            preprocess: &self.subject.preprocess,
            method: self.method,
            params: self.params.clone(),
            spec: self.spec.clone(),
            images: args.calibration_images,
            draw: args.draw,
            seed: args.seed,
            portable,
            threads: context::cores(),
        }
    }
}

/// `name=value` pairs; values are read as YAML and JSON scalars are.
fn params(given: &[String]) -> anyhow::Result<Params> {
    given
        .iter()
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| anyhow!("--param {pair}: expected NAME=VALUE"))?;
            let value = serde_json::from_str(value)
                .or_else(|_| serde_json::from_value(serde_json::Value::String(value.to_string())))
                .with_context(|| format!("--param {pair}: expected a switch, number or name"))?;
            Ok((name.to_string(), value))
        })
        .collect()
}
