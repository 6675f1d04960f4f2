//! Parts that methods share instead of copying: range estimators, calibration, weight grids, bit
//! allocation, sensitivities, statistics of activations, images of noise.

pub mod allocate;
pub(crate) mod basis;
pub mod bias;
pub mod calibrate;
pub mod channel_stats;
pub mod cholesky;
pub mod divergence;
pub(crate) mod elementary;
pub mod hessian;
pub mod known_ranges;
pub mod levels;
pub mod moments;
pub mod noise;
pub mod normal;
pub mod patches;
pub mod powell;
pub mod probe;
pub mod ranges;
pub(crate) mod reconstruct;
pub mod reestimate;
pub(crate) mod train;
pub(crate) mod vector;
pub mod weights;
