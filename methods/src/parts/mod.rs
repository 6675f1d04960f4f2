//! Parts that methods share instead of copying: range estimators, calibration, weight grids, bit
//! allocation, statistics of activations.

pub mod allocate;
pub mod calibrate;
pub mod channel_stats;
pub mod divergence;
pub mod moments;
pub mod normal;
pub mod ranges;
pub mod weights;
