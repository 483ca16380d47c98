//! Every instruction set this processor has, not only the best: each meets the contract, 16-bit results have the same
//! bits on all, products of them with g on all that have an FMA, and the few f32 and f64 results that differ are counted. `CANDLE_MISH_ISA` is read once, so that each
//! gets a process of its own.

mod support;

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use support::accuracy::{double, half};
use support::backend::{bits, eval, Backend, Function, CPU};
use support::inputs::{doubles, every_half, Random};
use support::process::{checksum, instruction_sets, on_instruction_sets};
use support::sweep::{directed, sweep, CHUNK};
use support::table::{conclude_briefly, show, Row};
use support::ulp::Element;

/// The bits, with one pattern for every NaN: IEEE 754 leaves its sign and payload to the instruction.
fn bytes<T: Element>(values: &[T]) -> impl Iterator<Item = u8> + '_ {
    values.iter().flat_map(|v| {
        let bits = if v.to_f64().is_nan() { u64::MAX } else { v.bits() };
        bits.to_le_bytes()
    })
}

/// Runs `work` once per instruction set; what it returned for each.
fn on_each(test: &str, work: impl Fn() -> Vec<u8>) -> Option<Vec<(&'static str, Vec<u8>)>> {
    let results = on_instruction_sets(test, work)?;
    Some(instruction_sets().into_iter().zip(results).collect())
}

/// In a worker: which type on what, once that is known to be what was asked for.
fn title<T: Element>() -> String {
    let wanted = std::env::var("CANDLE_MISH_ISA").unwrap_or_default();
    let isa = candle_mish::internals::cpu_isa();
    assert!(
        wanted.is_empty() || wanted == isa,
        "{wanted} was asked for, {isa} is in use"
    );
    format!("{} on {isa}", T::DTYPE.as_str())
}

/// Fails where what `work` returned differs between instruction sets.
fn assert_alike(results: &[(&str, Vec<u8>)]) {
    for (name, sums) in results {
        let (first, expected) = &results[0];
        assert!(
            sums == expected,
            "16-bit results on {name} are not those on {first}"
        );
    }
}

fn sum<T: Element>(f: Function, g: Option<&[T]>) -> [u8; 8] {
    checksum(bytes(&eval(&CPU, f, &every_half::<T>(), g))).to_le_bytes()
}

#[test]
fn half_types_have_the_same_bits() {
    fn check<T: Element>() -> Vec<u8> {
        let rows: Vec<Row> = Function::all().into_iter().map(|f| half::<T>(&CPU, f)).collect();
        conclude_briefly(&title::<T>(), &rows);
        Function::all()
            .into_iter()
            .flat_map(|f| sum::<T>(f, None))
            .collect()
    }
    let work = || [check::<f16>(), check::<bf16>()].concat();
    if let Some(results) = on_each("half_types_have_the_same_bits", work) {
        assert_alike(&results);
    }
}

/// Without an FMA they are computed in f64.
#[test]
fn products_of_half_types_have_the_same_bits_with_an_fma() {
    fn products<T: Element>() -> Vec<u8> {
        let mut random = Random(16);
        let g: Vec<T> = (0..=u16::MAX).map(|_| random.factor()).collect();
        let derivatives = Function::all().into_iter().filter(|f| f.order > 0);
        derivatives.flat_map(|f| sum(f, Some(&g))).collect()
    }
    let work = || [products::<f16>(), products::<bf16>()].concat();
    let test = "products_of_half_types_have_the_same_bits_with_an_fma";
    if let Some(mut results) = on_each(test, work) {
        results.retain(|(name, _)| *name != "baseline");
        assert_alike(&results);
    }
}

/// At every distance from its inputs, up to the 4 KiB after which it makes no more difference to a core: vectors may be loaded
/// earlier where the output trails an input.
#[test]
fn wherever_the_output_lies() {
    const PAGE: usize = 4096;
    fn check<T: Element>() {
        let size = T::DTYPE.size_in_bytes();
        // Some panels, and a rest.
        let len = 3 * PAGE / size + 5;
        let mut random = Random(3);
        let mut buffer = || -> Vec<T> { (0..len + PAGE / size).map(|_| random.factor()).collect() };
        let (x, g) = (buffer(), buffer());
        let [x, g] = [&x, &g].map(|values| Tensor::new(&values[..], &Device::Cpu).unwrap());
        for f in Function::all() {
            for start in (0..PAGE / size).step_by(16 / size) {
                let part = |of: &Tensor, start| of.narrow(0, start, len).unwrap();
                let g = (f.order > 0).then(|| part(&g, PAGE / size - start));
                let x = part(&x, start);
                let here = bits::<T>(&CPU.apply(f, &x, g.as_ref()).unwrap());
                // Vectors begin elsewhere in these.
                let one_by_one = (0..len).step_by(len / 7).flat_map(|i| {
                    let part = |of: &Tensor| of.narrow(0, i, (len - i).min(len / 7)).unwrap();
                    bits::<T>(&CPU.apply(f, &part(&x), g.as_ref().map(part).as_ref()).unwrap())
                });
                assert!(
                    here.into_iter().eq(one_by_one),
                    "{f} from {start} on: {}",
                    title::<T>()
                );
            }
        }
    }
    on_each("wherever_the_output_lies", || {
        check::<f16>();
        check::<bf16>();
        check::<f32>();
        check::<f64>();
        vec![]
    });
}

/// Results of a type that differ between the instruction sets: within the contract, so not an error, but told.
fn count_differences<T: Element>(test: &str, points: &[T], check: impl Fn() -> Vec<Row>) {
    let work = || {
        conclude_briefly(&title::<T>(), &check());
        Function::plain()
            .into_iter()
            .flat_map(|f| bytes(&eval(&CPU, f, points, None)).collect::<Vec<_>>())
            .collect()
    };
    let Some(results) = on_each(test, work) else {
        return;
    };
    let (first, all) = &results[0];
    for (name, other) in &results[1..] {
        let per_function = std::mem::size_of::<u64>() * points.len();
        let pairs = Function::plain()
            .into_iter()
            .zip(all.chunks(per_function).zip(other.chunks(per_function)));
        let lines = pairs.map(|(f, (a, b))| {
            let count = a.chunks(8).zip(b.chunks(8)).filter(|(a, b)| a != b).count();
            format!("{f:<20}{count} of {}\n", points.len())
        });
        let title = format!(
            "{} results on {name} that differ from those on {first}",
            T::DTYPE.as_str()
        );
        show(&format!("{title}\n{}", lines.collect::<String>()));
    }
}

#[test]
fn f32_within_the_contract() {
    let points = directed();
    let chunk = |i: usize| points.chunks(CHUNK).nth(i).unwrap().to_vec();
    let check = || {
        sweep(
            &CPU,
            &Function::all(),
            points.len().div_ceil(CHUNK),
            chunk,
            |_| (),
        )
    };
    count_differences("f32_within_the_contract", &points, check);
}

#[test]
fn f64_within_the_contract() {
    let points: Vec<f64> = doubles().into_iter().step_by(7).collect();
    let check = || double(&CPU, &candle_mish::Activation::ALL, &points);
    count_differences("f64_within_the_contract", &points, check);
}

/// Where nobody asks for one, it is the best that the processor has.
#[test]
fn the_best_by_default() {
    if std::env::var_os("CANDLE_MISH_ISA").is_none() {
        let (isa, sets) = (candle_mish::internals::cpu_isa(), instruction_sets());
        let best = |name: &str| isa == name || name == "avx512" && isa == "avx512-halves";
        assert!(
            ["avx512", "avx2", "baseline"]
                .into_iter()
                .find(|name| sets.contains(name))
                .is_some_and(best),
            "{isa} of {sets:?}"
        );
    }
}
