//! What is under test: a function, and something that evaluates it.

use super::contract::Side;
use super::ulp::Element;
use candle_core::{Device, Result, Tensor};
use candle_mish::{Activation, Derivative, Softplus};
use std::fmt;

/// f, f′ or f″ of one activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Function {
    pub activation: Activation,
    pub order: usize,
}

pub const ORDERS: [usize; 3] = [0, 1, 2];

/// β and threshold: PyTorch's default; a branch taken early; no branch and small β; negative β, whose linear side is
/// the negative one.
pub const PARAMETERS: [(f64, f64); 4] = [(1.0, 20.0), (2.5, 4.0), (0.1, f64::INFINITY), (-1.5, 2.0)];

impl Function {
    /// Every order of every activation in the crate's table.
    pub fn plain() -> Vec<Self> {
        Self::of(&Activation::ALL)
    }

    /// Softplus with [`PARAMETERS`], every order.
    pub fn parametric() -> Vec<Self> {
        let softplus = |(beta, threshold)| Softplus::new(beta, threshold).unwrap().into();
        Self::of(&PARAMETERS.map(softplus))
    }

    pub fn all() -> Vec<Self> {
        [Self::plain(), Self::parametric()].concat()
    }

    pub fn of(activations: &[Activation]) -> Vec<Self> {
        let orders = |activation| ORDERS.map(|order| Self { activation, order });
        activations.iter().copied().flat_map(orders).collect()
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.activation {
            Activation::Softplus(s) if s != Softplus::default() => {
                format!("softplus({:?}, {:?})", s.beta(), s.threshold())
            }
            other => other.to_string(),
        };
        f.pad(&(name + ["", "′", "″"][self.order]))
    }
}

/// Something that evaluates the functions: candle on a device, or an emulation of one.
pub trait Backend: Sync {
    fn name(&self) -> String;

    /// The column of the contract that applies.
    fn side(&self) -> Side;

    /// Whether it takes subnormal floats for zero.
    fn flushes(&self) -> bool {
        false
    }

    /// Where operands live; an emulator takes them from CPU tensors.
    fn device(&self) -> &Device;

    /// f⁽ᵏ⁾(x), times g where there is one; operands may have any layout.
    fn apply(&self, f: Function, x: &Tensor, g: Option<&Tensor>) -> Result<Tensor>;
}

/// The crate's ops as candle runs them.
pub struct Candle(pub Device);

pub const CPU: Candle = Candle(Device::Cpu);

impl Backend for Candle {
    fn name(&self) -> String {
        format!("{:?}", self.0.location()).to_lowercase()
    }

    fn side(&self) -> Side {
        match self.0 {
            Device::Cpu => Side::Cpu,
            _ => Side::Device,
        }
    }

    /// Apple's GPUs do, as MSL allows; f16 has its own subnormals, which are normal floats.
    fn flushes(&self) -> bool {
        self.0.is_metal()
    }

    fn device(&self) -> &Device {
        &self.0
    }

    fn apply(&self, f: Function, x: &Tensor, g: Option<&Tensor>) -> Result<Tensor> {
        match (f.order, g) {
            (0, None) => match f.activation {
                Activation::Mish => x.apply_op1(candle_mish::Mish),
                Activation::Softplus(softplus) => x.apply_op1(softplus),
                Activation::TanhSoftplus => x.apply_op1(candle_mish::TanhSoftplus),
            },
            (0, Some(_)) => candle_core::bail!("a forward pass has no second operand"),
            (order, g) => {
                let op = Derivative::new(f.activation, order)?;
                match g {
                    Some(g) => x.apply_op2(g, op),
                    None => x.apply_op2(&x.ones_like()?, op),
                }
            }
        }
    }
}

/// A tensor of these values. Metal has no buffer that is made from no bytes.
pub fn new<T: Element>(values: &[T], dims: &[usize], device: &Device) -> Result<Tensor> {
    match values {
        [] => Tensor::zeros(dims, T::DTYPE, device),
        values => Tensor::from_slice(values, dims, device),
    }
}

/// A tensor on a device.
pub fn moved(t: &Tensor, device: &Device) -> Result<Tensor> {
    match t.elem_count() {
        0 => Tensor::zeros(t.dims(), t.dtype(), device),
        _ => t.to_device(device),
    }
}

/// The values of a contiguous evaluation.
pub fn eval<T: Element>(backend: &dyn Backend, f: Function, x: &[T], g: Option<&[T]>) -> Vec<T> {
    let tensor = |values: &[T]| new(values, &[values.len()], backend.device());
    let run = || {
        let g = g.map(tensor).transpose()?;
        backend.apply(f, &tensor(x)?, g.as_ref())
    };
    values(&run().unwrap_or_else(|e| panic!("{f} of {:?} on {}: {e}", T::DTYPE, backend.name())))
}

/// The elements of a tensor, in order.
pub fn values<T: Element>(tensor: &Tensor) -> Vec<T> {
    // candle 0.11.1 goes to the offset of an empty view, which may lie behind the end of its buffer, and panics.
    if tensor.elem_count() == 0 {
        return vec![];
    }
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// As many elements, and the same ones.
#[track_caller]
pub fn assert_alike<T: Element>(what: &dyn fmt::Display, actual: &Tensor, expected: &Tensor) {
    let (actual, expected) = (values::<T>(actual), values::<T>(expected));
    assert_eq!(actual.len(), expected.len(), "{what}");
    let differs = actual.iter().zip(&expected).position(|(a, e)| !a.alike(*e));
    assert_eq!(differs, None, "{what}");
}

/// The bits of a tensor's elements, in order.
pub fn bits<T: Element>(tensor: &Tensor) -> Vec<u64> {
    values::<T>(tensor).iter().map(|v| v.bits()).collect()
}
