//! A window: the grey values that are shown as black to white (PS3.3 section C.11.2.1.2).

/// The curve of a window (VOI LUT Function).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WindowFunction {
    /// From the first value to the last one, both of them whole numbers.
    #[default]
    Linear,
    /// From one edge to the other, for values that need not be whole.
    LinearExact,
    /// A smooth curve without a limit.
    Sigmoid,
}

/// A window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The value in the middle.
    pub centre: f64,
    /// The number of values from black to white.
    pub width: f64,
    /// The curve.
    pub function: WindowFunction,
}

impl Window {
    /// Whether the standard allows it.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let width_min = if self.function == WindowFunction::Linear { 1.0 } else { f64::MIN_POSITIVE };
        self.centre.is_finite() && self.width.is_finite() && self.width >= width_min
    }

    /// The brightness of a value, from 0 (black) to 1 (white).
    pub(crate) fn brightness(&self, value: f64) -> f64 {
        let (centre, width) = (self.centre, self.width);
        match self.function {
            WindowFunction::Linear => {
                let (offset, half) = (value - (centre - 0.5), (width - 1.0) / 2.0);
                if offset <= -half {
                    0.0
                } else if offset > half {
                    1.0
                } else {
                    offset / (width - 1.0) + 0.5
                }
            }
            WindowFunction::LinearExact => ((value - centre) / width + 0.5).clamp(0.0, 1.0),
            WindowFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - centre) / width).exp()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(centre: f64, width: f64, function: WindowFunction, values: &[f64]) -> Vec<u8> {
        let window = Window { centre, width, function };
        values.iter().map(|&value| (255.0 * window.brightness(value)).round() as u8).collect()
    }

    #[test]
    fn curves_of_the_standard() {
        let linear = WindowFunction::Linear;
        assert_eq!(
            levels(128.0, 256.0, linear, &[-1.0, 0.0, 1.0, 200.0, 255.0, 300.0]),
            [0, 0, 1, 200, 255, 255]
        );
        // A width of one is a threshold.
        assert_eq!(levels(10.0, 1.0, linear, &[9.0, 9.5, 9.6, 10.0]), [0, 0, 255, 255]);
        assert_eq!(levels(0.5, 1.0, WindowFunction::LinearExact, &[0.0, 0.5, 1.0]), [0, 128, 255]);
        assert_eq!(levels(100.0, 50.0, WindowFunction::Sigmoid, &[-900.0, 100.0, 900.0]), [0, 128, 255]);
    }

    #[test]
    fn a_window_without_extent_is_invalid() {
        let window = |centre, width, function| Window { centre, width, function }.is_valid();
        assert!(window(1.0, 1.0, WindowFunction::Linear) && window(1.0, 0.5, WindowFunction::Sigmoid));
        for (centre, width) in
            [(1.0, 0.5), (f64::NAN, 9.0), (1.0, f64::NAN), (1.0, f64::INFINITY), (1.0, -4.0)]
        {
            assert!(!window(centre, width, WindowFunction::Linear), "{centre}, {width}");
        }
    }
}
