//! Arguments of the fused ops, as views of every kind.

use super::super::inputs::Random;
use super::super::layouts::{embed, View};
use super::super::ulp::Element;
use super::Case;
use candle_core::{Device, Result, Tensor};
use candle_mish::internals::Fused;

/// `n` values from `low` to `high`.
fn parameters<T: Element>(n: usize, seed: u64, low: f64, high: f64) -> Tensor {
    let random = &mut Random(seed);
    let values = (0..n).map(|_| T::from_f64(low + (high - low) * random.unit()));
    Tensor::from_vec(values.collect::<Vec<T>>(), n, &Device::Cpu).unwrap()
}

/// Parameters of one op for a dim of n entries, as they are or as views.
fn with_parameters<P: Element>(
    fused: Fused,
    n: usize,
    seed: u64,
    device: &Device,
) -> (Option<Tensor>, Tensor, String) {
    let make = |seed, low, high| parameters::<P>(n, seed, low, high).to_device(device).unwrap();
    let (scale, shift) = (make(seed, -1.5, 2.0), make(seed + 1, -3.0, 2.0));
    let (scale, shift, what) = match seed % 4 {
        0 => (scale, shift, "parameters contiguous"),
        1 => (
            embed(&scale).unwrap(),
            embed(&shift).unwrap(),
            "parameters embedded",
        ),
        2 => {
            let columns = Tensor::stack(&[&scale, &shift], 1).unwrap();
            let column = |i| columns.narrow(1, i, 1).unwrap().squeeze(1).unwrap();
            (column(0), column(1), "parameters interleaved")
        }
        _ => match n {
            0 => (scale, shift, "parameters contiguous"),
            _ => {
                let one = |t: &Tensor| t.narrow(0, 0, 1).unwrap().broadcast_as(n).unwrap();
                (one(&scale), shift, "one scale for all")
            }
        },
    };
    (fused.scaled().then_some(scale), shift, what.to_string())
}

/// A case over this view.
pub fn case<P: Element>(fused: Fused, (name, x): &View, axis: usize, seed: u64) -> Case {
    let (scale, shift, what) = with_parameters::<P>(fused, x.dims()[axis], seed, x.device());
    Case {
        fused,
        x: x.clone(),
        axis,
        scale,
        shift,
        what: format!("x {name}, {what}"),
    }
}

/// The view with values of which products with parameters stay within every type.
pub fn moderate((name, view): &View) -> View {
    let limited = view.clamp(-20.0, 20.0).unwrap();
    // The clamp has made it contiguous: the same kind of view again, of what it holds.
    let again = match view.is_contiguous() {
        true => limited,
        false => relaid(view, &limited).unwrap(),
    };
    (name.clone(), again)
}

/// The values of `from`, which has the shape of `like`, laid out as `like` is: strides are kept, a broadcast dim holds its
/// first value.
fn relaid(like: &Tensor, from: &Tensor) -> Result<Tensor> {
    let mut order: Vec<usize> = (0..like.rank()).collect();
    order.sort_by_key(|d| std::cmp::Reverse(like.stride()[*d]));
    let mut inverse = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, d)| inverse[*d] = i);
    let mut first = from.clone();
    for (dim, stride) in like.stride().iter().enumerate() {
        if *stride == 0 {
            first = first.narrow(dim, 0, 1)?;
        }
    }
    let permuted = first.permute(order)?.force_contiguous()?;
    embed(&permuted)?.permute(inverse)?.broadcast_as(like.dims())
}
