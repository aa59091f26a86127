//! Panics become errors: tract panics on some graphs, and a fault of a pass must not end a program that calls the compiler. No
//! state of what panicked is used afterwards.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether panics of this thread are errors that are reported elsewhere.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
    /// What the running pass works on: the number of an operation or of a tensor.
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A caught panic.
#[derive(Debug, PartialEq, Eq)]
pub struct Panic {
    /// Its text.
    pub text: String,
    /// The last [`at`] before it.
    pub place: Option<usize>,
}

/// Notes what the pass works on from here, for the error if it panics.
pub fn at(place: usize) {
    PLACE.set(Some(place));
}

/// Runs a function and returns a panic as an error. The panic is not printed: who gets the error does that.
pub fn caught_at<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
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
    let outer = PLACE.replace(None);
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_QUIET.set(was_quiet);
    let place = PLACE.replace(outer);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Panic { text: text.to_owned(), place }
    })
}

/// As [`caught_at`], for the front end, whose callers know the node.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    caught_at(run).map_err(|panic| format!("the front end panicked: {}", panic.text))
}

#[cfg(test)]
mod tests {
    use super::{IS_QUIET, Panic, at, caught, caught_at};

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        assert_eq!(caught(|| 3), Ok(3));
        let seen = caught(|| panic!("axis {}", 7)).map(|()| 0);
        assert_eq!(seen, Err("the front end panicked: axis 7".to_owned()));
    }

    #[test]
    fn a_panic_names_its_place_and_is_not_printed_by_the_hook() {
        let seen = caught_at(|| {
            at(3);
            assert!(IS_QUIET.get(), "the hook would print it, and the caller again");
            // Another one inside has its own place.
            assert_eq!(
                caught_at(|| panic!("inner")),
                Err::<(), _>(Panic { text: "inner".into(), place: None })
            );
            panic!("outer");
        });
        assert_eq!(seen, Err::<(), _>(Panic { text: "outer".into(), place: Some(3) }));
        assert!(!IS_QUIET.get());
    }
}
