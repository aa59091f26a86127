//! Panics of the front end become errors: tract panics on some graphs, and no state of it is used afterwards.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether panics of this thread are errors that are reported elsewhere.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a function and returns the text of a panic as an error. The panic is not printed.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                earlier(panic);
            }
        }));
    });
    let was_quiet = IS_QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_QUIET.set(was_quiet);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        format!("the front end panicked: {text}")
    })
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        assert_eq!(caught(|| 3), Ok(3));
        let seen = caught(|| panic!("axis {}", 7)).map(|()| 0);
        assert_eq!(seen, Err("the front end panicked: axis 7".to_owned()));
    }
}
