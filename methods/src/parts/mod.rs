//! Parts that methods share instead of copying: range estimators, calibration, weight grids, bit
//! allocation, sensitivities, statistics of activations, images of noise.

pub mod allocate;
pub mod calibrate;
pub mod channel_stats;
pub mod divergence;
pub mod moments;
pub mod noise;
pub mod normal;
pub mod probe;
pub mod ranges;
pub mod weights;
