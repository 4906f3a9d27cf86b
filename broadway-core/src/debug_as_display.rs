//! The macro that implements `Debug` of errors by their `Display`.

macro_rules! debug_as_display {
    ($($error:ty),+ $(,)?) => {$(
        /// Prints the same as `Display`: `main` and `unwrap` print errors by `Debug`.
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )+};
}

pub(crate) use debug_as_display;
