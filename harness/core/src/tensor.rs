//! A dense FP32 tensor, row-major.

/// Row-major FP32 values with their dimensions; a scalar has no dimensions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Values; as many as the product of `dims`.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A tensor from its parts.
    ///
    /// # Panics
    /// If the number of values is not the product of the dimensions: a bug of the caller.
    pub fn new(dims: Vec<usize>, data: Vec<f32>) -> Self {
        assert_eq!(dims.iter().product::<usize>(), data.len(), "tensor dims and data differ");
        Self { dims, data }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Values of one step along the outermost dimension.
    pub fn stride(&self) -> usize {
        self.dims.iter().skip(1).product()
    }
}
