//! Work on one crash that must not take the others with it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does `work`. A panic in it, which would be our own bug, becomes an error.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| message(payload.as_ref()))
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown");
    format!("internal error, please report it with the input: {text}")
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_is_an_error_in_its_own_words() {
        assert_eq!(guarded(|| 7), Ok(7));
        let number = 7;
        for said in [
            guarded(|| -> () { panic!("seven") }),
            guarded(|| -> () { panic!("se{}", if number == 7 { "ven" } else { "" }) }),
        ] {
            assert!(said.unwrap_err().ends_with("input: seven"));
        }
    }
}
