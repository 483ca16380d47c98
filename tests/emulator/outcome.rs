//! A test that panics, for libtest-mimic.

use libtest_mimic::Failed;
use std::panic::{catch_unwind, AssertUnwindSafe};

pub fn outcome(test: impl FnOnce()) -> Result<(), Failed> {
    catch_unwind(AssertUnwindSafe(test)).map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or(panic.downcast_ref::<&str>().map(|s| s.to_string()));
        Failed::from(message.unwrap_or_default())
    })
}
