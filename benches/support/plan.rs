//! Which cases a run has.

use super::cases::{Case, Pass};
use super::memory::CAN_KEEP_MAPPED;
use candle_core::DType;
use candle_mish::{Activation, Softplus};

pub const KI: usize = 1 << 10;
pub const MI: usize = 1 << 20;
const DTYPES: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::F64];

/// Sizes at which the cost of a call counts.
pub const SMALL: [usize; 4] = [64, 256, KI, 4 * KI];
/// Sizes of the throughput cases.
pub const SIZES: [usize; 6] = [KI, 16 * KI, 128 * KI, MI, 16 * MI, 64 * MI];

/// The cases of one size; `quick`: a few, which only show that the bench works.
pub fn cases(elements: usize, quick: bool) -> Vec<Case> {
    let mut cases = vec![];
    for activation in Activation::ALL {
        for dtype in DTYPES {
            let included = if quick {
                is_quick(dtype, elements)
            } else {
                is_included(activation, dtype, elements)
            };
            if !included {
                continue;
            }
            let case = Case {
                activation,
                pass: Pass::Forward,
                dtype,
                elements,
                mapped: false,
            };
            cases.push(case);
            if !SIZES.contains(&elements) {
                continue;
            }
            cases.push(Case {
                pass: Pass::Backward,
                ..case
            });
            // Beyond, a composed training step takes seconds and ten tensors of memory.
            if elements <= MI {
                cases.push(Case {
                    pass: Pass::Train,
                    ..case
                });
            }
            if CAN_KEEP_MAPPED && elements >= 16 * MI && dtype == DType::F32 {
                cases.push(Case { mapped: true, ..case });
            }
        }
    }
    cases
}

/// What no goal is set for: second derivatives, and softplus with PyTorch's default threshold and with another β.
pub fn further() -> Vec<Case> {
    let parametric = |beta, threshold| Softplus::new(beta, threshold).expect("valid").into();
    let parametric = [parametric(1.0, 20.0), parametric(100.0, 20.0)];
    let mut cases = vec![];
    for activation in Activation::ALL.into_iter().chain(parametric) {
        let passes: &[_] = match parametric.contains(&activation) {
            true => &[Pass::Forward, Pass::Backward, Pass::Second],
            false => &[Pass::Second],
        };
        for (pass, dtype) in passes.iter().flat_map(|pass| DTYPES.map(|dtype| (*pass, dtype))) {
            cases.push(Case {
                activation,
                pass,
                dtype,
                elements: 16 * KI,
                mapped: false,
            });
        }
    }
    cases
}

/// Everything up to 1 Mi; beyond, where the time is in memory, f32 and at 16 Mi every dtype for Mish.
fn is_included(activation: Activation, dtype: DType, elements: usize) -> bool {
    elements <= MI || dtype == DType::F32 || activation == Activation::Mish && elements == 16 * MI
}

fn is_quick(dtype: DType, elements: usize) -> bool {
    dtype == DType::F32 && elements == 128 * KI
        || matches!(dtype, DType::F32 | DType::F16) && matches!(elements, 64 | KI)
}

/// All sizes, in ascending order.
pub fn sizes() -> Vec<usize> {
    let mut sizes = [&SMALL[..], &SIZES].concat();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// As people write it: 16Ki, 1Mi.
pub fn size_name(elements: usize) -> String {
    match elements {
        n if n % MI == 0 => format!("{}Mi", n / MI),
        n if n % KI == 0 => format!("{}Ki", n / KI),
        n => n.to_string(),
    }
}
