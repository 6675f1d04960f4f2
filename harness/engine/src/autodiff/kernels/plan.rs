//! Which pixel of a convolution reads which: forward, and backward to the input.

/// A two-dimensional convolution without its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Steps.
    pub stride: [usize; 2],
    /// Rows above and columns left of the input that are taken as zero.
    pub before: [usize; 2],
    /// Rows below and columns right of it.
    pub after: [usize; 2],
    /// Distance of neighbouring kernel positions.
    pub dilation: [usize; 2],
}

impl Window {
    /// A square kernel with that many zeros on every side.
    pub fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            before: [pad; 2],
            after: [pad; 2],
            dilation: [1; 2],
        }
    }

    /// Rows and columns of the output of an input; none if the kernel does not fit.
    pub fn output(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let mut out = [0; 2];
        for a in 0..2 {
            let reach = self.dilation[a] * self.kernel[a].checked_sub(1)? + 1;
            let room = (size[a] + self.before[a] + self.after[a]).checked_sub(reach)?;
            out[a] = room / self.stride[a].max(1) + 1;
        }
        Some(out)
    }

    /// Kernel positions.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// A part of the output of a pass and what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Rows and columns of this part.
    pub(crate) size: [usize; 2],
    /// The first of them in the whole output.
    pub(crate) origin: [usize; 2],
    /// Steps between them in the whole output.
    pub(crate) every: [usize; 2],
    /// For each kernel position that is read: its number, and where it is in the padded source for
    /// the first output pixel.
    pub(crate) taps: Vec<(usize, usize)>,
}

/// Along one axis, a position within a stride: the position, how many there are, and the kernel
/// positions that are read with what they add to the number of the output pixel.
type AxisPhase = (usize, usize, Vec<(usize, isize)>);

/// A pass over a padded copy of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Rows and columns of the source.
    pub(crate) source: [usize; 2],
    /// Zeros above and left of the source.
    pub(crate) before: [usize; 2],
    /// Rows and columns with zeros.
    pub(crate) padded: [usize; 2],
    /// Steps in the padded source from one output pixel to the next.
    pub(crate) step: [usize; 2],
    /// Rows and columns of the output.
    pub(crate) output: [usize; 2],
    /// The parts that make up the output.
    pub(crate) phases: Vec<Phase>,
}

impl Plan {
    /// From input to output; none if the kernel does not fit.
    pub(crate) fn forward(window: &Window, input: [usize; 2]) -> Option<Self> {
        let output = window.output(input)?;
        let padded = [0, 1].map(|a| input[a] + window.before[a] + window.after[a]);
        let taps = (0..window.taps()).map(|t| {
            let [ky, kx] = [t / window.kernel[1], t % window.kernel[1]];
            (t, ky * window.dilation[0] * padded[1] + kx * window.dilation[1])
        });
        let phase = Phase { size: output, origin: [0; 2], every: [1; 2], taps: taps.collect() };
        Some(Self {
            source: input,
            before: window.before,
            padded,
            step: window.stride,
            output,
            phases: vec![phase],
        })
    }

    /// From the gradient of the output to that of an input of that size: one phase per position
    /// within a stride, so that no zero is multiplied.
    pub(crate) fn backward(window: &Window, input: [usize; 2]) -> Option<Self> {
        let source = window.output(input)?;
        let axis = |a: usize| -> Vec<AxisPhase> {
            let stride = window.stride[a];
            (0..stride.min(input[a]))
                .map(|at| {
                    let taps = (0..window.kernel[a]).filter_map(|k| {
                        let from =
                            (at + window.before[a]) as isize - (k * window.dilation[a]) as isize;
                        (from.rem_euclid(stride as isize) == 0)
                            .then(|| (k, from.div_euclid(stride as isize)))
                    });
                    (at, (input[a] - at).div_ceil(stride), taps.collect())
                })
                .collect()
        };
        let axes = [axis(0), axis(1)];
        // Zeros before and after so that every read falls inside.
        let (mut before, mut padded) = ([0; 2], source);
        for a in 0..2 {
            let (mut low, mut high) = (0isize, 0isize);
            for (_, size, taps) in &axes[a] {
                for (_, shift) in taps {
                    low = low.max(-shift);
                    high = high.max(shift + *size as isize - source[a] as isize);
                }
            }
            before[a] = low as usize;
            padded[a] = source[a] + (low + high) as usize;
        }
        let mut phases = Vec::new();
        for (y, height, rows) in &axes[0] {
            for (x, width, columns) in &axes[1] {
                let mut taps = Vec::new();
                for (ky, down) in rows {
                    for (kx, right) in columns {
                        let row = (before[0] as isize + down) as usize;
                        let column = (before[1] as isize + right) as usize;
                        taps.push((ky * window.kernel[1] + kx, row * padded[1] + column));
                    }
                }
                phases.push(Phase {
                    size: [*height, *width],
                    origin: [*y, *x],
                    every: window.stride,
                    taps,
                });
            }
        }
        Some(Self { source, before, padded, step: [1; 2], output: input, phases })
    }

    /// Numbers of a channel of the padded source.
    pub(crate) fn plane(&self) -> usize {
        self.padded[0] * self.padded[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All pairs (output pixel, kernel position, input pixel) of a window.
    fn pairs(window: &Window, input: [usize; 2]) -> Vec<(usize, usize, usize)> {
        let output = window.output(input).unwrap();
        let mut all = Vec::new();
        for (oy, ox) in (0..output[0]).flat_map(|y| (0..output[1]).map(move |x| (y, x))) {
            for t in 0..window.taps() {
                let k = [t / window.kernel[1], t % window.kernel[1]];
                let at = [0, 1].map(|a| {
                    let o = [oy, ox][a];
                    (o * window.stride[a] + k[a] * window.dilation[a]) as isize
                        - window.before[a] as isize
                });
                if (0..2).all(|a| (0..input[a] as isize).contains(&at[a])) {
                    let i = at[0] as usize * input[1] + at[1] as usize;
                    all.push((oy * output[1] + ox, t, i));
                }
            }
        }
        all.sort_unstable();
        all
    }

    /// The pairs of a plan: (pixel written, kernel position, source pixel read).
    fn planned(plan: &Plan) -> Vec<(usize, usize, usize)> {
        let mut all = Vec::new();
        for phase in &plan.phases {
            for y in 0..phase.size[0] {
                for x in 0..phase.size[1] {
                    let to = (phase.origin[0] + y * phase.every[0]) * plan.output[1]
                        + phase.origin[1]
                        + x * phase.every[1];
                    for (t, at) in &phase.taps {
                        let at = at + y * plan.step[0] * plan.padded[1] + x * plan.step[1];
                        assert!(at < plan.plane());
                        let row = (at / plan.padded[1]).wrapping_sub(plan.before[0]);
                        let column = (at % plan.padded[1]).wrapping_sub(plan.before[1]);
                        if row < plan.source[0] && column < plan.source[1] {
                            all.push((to, *t, row * plan.source[1] + column));
                        }
                    }
                }
            }
        }
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn plans_read_what_the_definition_reads(
            input in [1usize..9, 1usize..9], kernel in [1usize..4, 1usize..4],
            stride in [1usize..4, 1usize..4], before in [0usize..3, 0usize..3],
            after in [0usize..3, 0usize..3], dilation in [1usize..3, 1usize..3],
        ) {
            let window = Window { kernel, stride, before, after, dilation };
            prop_assume!(window.output(input).is_some());
            let want = pairs(&window, input);
            prop_assert_eq!(&planned(&Plan::forward(&window, input).unwrap()), &want);
            let mut back: Vec<_> = planned(&Plan::backward(&window, input).unwrap())
                .into_iter()
                .map(|(input, t, output)| (output, t, input))
                .collect();
            back.sort_unstable();
            prop_assert_eq!(back, want);
        }
    }

    #[test]
    fn a_kernel_that_does_not_fit_has_no_output() {
        assert_eq!(Window::square(5, 1, 1).output([2, 9]), None);
        assert_eq!(Window::square(3, 2, 1).output([32, 32]), Some([16, 16]));
    }
}
