//! The `json!` macro: nested values as they look.

/// Makes a [`Json`](crate::Json) value from what looks like JSON; any expression that converts into one may stand
/// as a value.
///
/// ```
/// use runcellar::{Json, json};
/// let lr = 0.1;
/// let config = json!({"optimizer": {"name": "sgd", "lr": lr}, "layers": [64, 32], "note": null});
/// assert_eq!(config.at("optimizer.lr"), Some(&Json::Float(0.1)));
/// ```
#[macro_export]
macro_rules! json {
    (null) => { $crate::Json::Null };
    ([ $($item:tt),* $(,)? ]) => { $crate::Json::List(vec![$($crate::json!($item)),*]) };
    ({ $($name:literal : $value:tt),* $(,)? }) => {
        $crate::Json::Map(vec![$(($name.to_owned(), $crate::json!($value))),*])
    };
    ($value:expr) => { $crate::Json::from($value) };
}
