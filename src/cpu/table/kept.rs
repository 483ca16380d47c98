//! The tables that a process keeps.

use super::{HalfTable, INPUTS};
use crate::plan::Function;
use std::sync::{Arc, Mutex, PoisonError};

/// Tables that are kept of a type, each of up to 256 KiB: three activations with two derivatives have nine.
const KEPT: usize = 12;

/// Tables of a type, the one that was asked for last first.
pub(super) struct Tables<T>(Mutex<Vec<Entry<T>>>);

struct Entry<T> {
    function: Function,
    /// How many have been computed without a table.
    computed: usize,
    table: Option<Arc<HalfTable<T>>>,
}

impl<T> Tables<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The table of a function that is asked for `len` elements. It is made once the elements would have been as many as
    /// its own: a β that changes from call to call then costs twice what it did at most.
    pub(super) fn find(
        &self,
        function: Function,
        len: usize,
        make: impl FnOnce() -> Option<HalfTable<T>>,
    ) -> Option<Arc<HalfTable<T>>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = entries.iter().position(|entry| entry.function == function);
        let mut entry = match known {
            Some(i) => entries.remove(i),
            None => Entry {
                function,
                computed: 0,
                table: None,
            },
        };
        if entry.table.is_none() {
            entry.computed = entry.computed.saturating_add(len);
            if entry.computed >= INPUTS {
                entry.table = make().map(Arc::new);
            }
        }
        let table = entry.table.clone();
        entries.truncate(KEPT - 1);
        entries.insert(0, entry);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Softplus;
    use half::f16;
    use std::cell::Cell;

    /// A table of one value.
    fn table(value: f32) -> Option<HalfTable<f16>> {
        let values = vec![f16::from_f32(value); INPUTS].into_boxed_slice();
        Some(HalfTable::Results(values.try_into().ok()?))
    }

    fn softplus(beta: f64) -> Function {
        let activation = Softplus::new(beta, 20.0).unwrap().into();
        Function { activation, order: 0 }
    }

    #[test]
    fn a_table_is_made_once_it_has_paid() {
        let (tables, made) = (Tables::new(), Cell::new(0));
        let find = |function, len| {
            let make = || {
                made.set(made.get() + 1);
                table(made.get() as f32)
            };
            tables.find(function, len, make).is_some()
        };
        for len in [INPUTS / 2, INPUTS / 4, INPUTS / 4 - 1] {
            assert!(!find(softplus(2.0), len));
        }
        assert!(!find(softplus(3.0), INPUTS - 1));
        assert!(find(softplus(2.0), 1));
        assert!(find(softplus(2.0), 1));
        assert_eq!(made.get(), 1);
        assert!(find(softplus(4.0), INPUTS));
        assert_eq!(made.get(), 2);
    }

    #[test]
    fn what_has_not_been_asked_for_longest_goes() {
        let tables = Tables::new();
        let value = |beta: usize| {
            let found = tables.find(softplus(beta as f64), INPUTS, || table(beta as f32));
            match &*found.unwrap() {
                HalfTable::Results(values) => values[0].to_f32() as usize,
                HalfTable::Factors(_) => unreachable!("not made here"),
            }
        };
        for beta in 1..=KEPT {
            assert_eq!(value(beta), beta);
        }
        // The second goes, not the first, which is asked for again.
        assert_eq!(value(1), 1);
        assert_eq!(value(KEPT + 1), KEPT + 1);
        let kept = |beta: usize| {
            tables
                .find(softplus(beta as f64), 0, || unreachable!("len is 0"))
                .is_some()
        };
        assert!(kept(1) && kept(KEPT + 1) && kept(3));
        assert!(!kept(2));
        assert_eq!(tables.0.lock().unwrap().len(), KEPT);
    }

    #[test]
    fn without_memory_there_is_no_table() {
        let tables = Tables::<f16>::new();
        assert!(tables.find(softplus(2.0), INPUTS, || None).is_none());
        assert!(tables.find(softplus(2.0), 1, || table(1.0)).is_some());
    }
}
