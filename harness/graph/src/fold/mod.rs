//! Folding: constants, pass-through nodes and batch norm into the layers before them.

mod constants;
mod gemm;
mod moves;
mod norm;
mod prune;

pub(crate) use prune::fold as prune;

use crate::error::GraphError;
use crate::graph::Graph;

impl Graph {
    /// The same function with fewer nodes: constants become initializers, shape arithmetic is
    /// resolved, Identity and Dropout vanish, scaled Gemm and MatMul become plain Gemm, and batch
    /// norm is folded into the conv or FC before it (conventions, "BN folding").
    ///
    /// Names of values that survive do not change; a folded layer produces the value that its
    /// batch norm produced, and [`Graph::norm_stats`] knows what that norm knew.
    pub fn fold(&self) -> Result<Graph, GraphError> {
        self.fold_constants()?.fold_norms()
    }

    /// Batch norm folded into the layers before it, for a graph whose constants are folded.
    pub fn fold_norms(&self) -> Result<Graph, GraphError> {
        let mut graph = self.clone();
        norm::fold(&mut graph)?;
        prune::fold(&mut graph);
        crate::shape::infer(&mut graph)?;
        Ok(graph)
    }

    /// What [`Graph::fold`] does, but for batch norm, which stays: for training.
    pub fn fold_constants(&self) -> Result<Graph, GraphError> {
        let mut graph = self.clone();
        constants::fold(&mut graph)?;
        // Resolved shape arithmetic must not count as a reader of a layer's output.
        prune::fold(&mut graph);
        // Before IR version 4 every initializer would have to be a graph input as well.
        graph.model.ir_version = graph.model.ir_version.map(|v| v.max(4));
        gemm::fold(&mut graph)?;
        // Nodes that a Gemm took in are left behind.
        prune::fold(&mut graph);
        crate::shape::infer(&mut graph)?;
        Ok(graph)
    }
}
