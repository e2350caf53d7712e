//! Nonlinearities and their slopes, on vectors and in f64: docs/maths.md (9m).

use cubecl::prelude::*;

use crate::prims::math::{exp_within, larger};

/// Nonlinearity between the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// z / (1 + exp(-z)).
    Silu,
    /// The tanh form: z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))).
    Gelu,
    /// tanh z.
    Tanh,
    /// max(z, 0).
    Relu,
}

impl Activation {
    /// All of them.
    pub const ALL: [Activation; 4] = [Activation::Silu, Activation::Gelu, Activation::Tanh, Activation::Relu];

    /// The activation of one number.
    pub fn at(self, z: f64) -> f64 {
        match self {
            Activation::Silu => z / (1.0 + (-z).exp()),
            Activation::Gelu => 0.5 * z * (1.0 + gelu_inner(z).tanh()),
            Activation::Tanh => z.tanh(),
            Activation::Relu => z.max(0.0),
        }
    }

    /// Its slope there; of ReLU 0 at 0.
    pub fn slope(self, z: f64) -> f64 {
        match self {
            Activation::Silu => {
                let s = 1.0 / (1.0 + (-z).exp());
                s * (1.0 + z * (1.0 - s))
            }
            Activation::Gelu => {
                let t = gelu_inner(z).tanh();
                let steep = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * z * z);
                0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * steep
            }
            Activation::Tanh => 1.0 - z.tanh().powi(2),
            Activation::Relu => f64::from(u8::from(z > 0.0)),
        }
    }
}

fn gelu_inner(z: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z * z * z)
}

/// The activation of every lane.
#[cube]
pub fn act<L: Size>(z: Vector<f32, L>, #[comptime] kind: Activation) -> Vector<f32, L> {
    let one = Vector::new(1.0f32);
    match comptime!(kind) {
        Activation::Silu => z / (one + exp_within::<L>(Vector::new(0.0f32) - z)),
        Activation::Gelu => {
            let inner = fma(z * z * z, Vector::new(0.044_715f32), z) * Vector::new(0.797_884_6f32);
            Vector::new(0.5f32) * z * (one + tanh::<L>(inner))
        }
        Activation::Tanh => tanh::<L>(z),
        Activation::Relu => larger::<L>(z, Vector::new(0.0f32)),
    }
}

/// The slope of every lane's activation; absolute error below 2^-20.
#[cube]
pub fn act_slope<L: Size>(z: Vector<f32, L>, #[comptime] kind: Activation) -> Vector<f32, L> {
    let one = Vector::new(1.0f32);
    match comptime!(kind) {
        Activation::Silu => {
            let s = one / (one + exp_within::<L>(Vector::new(0.0f32) - z));
            s * fma(z, one - s, one)
        }
        Activation::Gelu => {
            // With r = (1 - tanh)/2: half of 1 + tanh is 1 - r, half of 1 - tanh^2 is 2 r (1 - r).
            let inner = fma(z * z * z, Vector::new(0.044_715f32), z) * Vector::new(0.797_884_6f32);
            let r = one / (exp_within::<L>(inner + inner) + one);
            let steep = fma(z * z, Vector::new(0.107_032_22f32), Vector::new(0.797_884_6f32));
            let rest = one - r;
            fma(Vector::new(2.0f32) * z * r * rest, steep, rest)
        }
        Activation::Tanh => {
            let r = one / (exp_within::<L>(z + z) + one);
            Vector::new(4.0f32) * r * (one - r)
        }
        Activation::Relu => {
            let zero = Vector::new(0.0f32);
            select_many(z.greater_than(&zero), one, zero)
        }
    }
}

/// 1 - 2 / (exp(2 z) + 1); absolute error below 2^-22.
#[cube]
fn tanh<L: Size>(z: Vector<f32, L>) -> Vector<f32, L> {
    let one = Vector::new(1.0f32);
    one - Vector::new(2.0f32) / (exp_within::<L>(z + z) + one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_values() {
        for kind in Activation::ALL {
            for i in -40..=40 {
                let (z, h) = (f64::from(i) * 0.21 + 0.013, 1e-5);
                let by_differences = (kind.at(z + h) - kind.at(z - h)) / (2.0 * h);
                // Third derivatives are below 10: h^2 of them, and rounding over h.
                assert!((kind.slope(z) - by_differences).abs() < 2e-9, "{kind:?} at {z}");
            }
        }
        assert_eq!([Activation::Relu.slope(0.0), Activation::Tanh.slope(0.0)], [0.0, 1.0]);
    }
}
