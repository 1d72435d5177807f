//! Events for feature `tracing`; nothing without it. Never secrets, cookies, queries or
//! bodies.

macro_rules! event {
    ($level:ident, $($field:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::event!(tracing::Level::$level, $($field)*)
    };
}

pub(crate) use event;
