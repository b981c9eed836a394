//! Params with types: what genesis says to a plugin, read into a struct.
//!
//! # Errors
//!
//! Every refusal names the field, what was expected and what was found.

mod types;

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use crate::json::Document;
use crate::{Refusal, Value};

/// All params of a plugin: a struct made by [`params!`](crate::params!), or `()`, which takes none.
pub trait Params: Param {
    /// Reads the whole text of the params, JSON in UTF-8.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words for whoever writes the genesis file.
    fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let text = core::str::from_utf8(text).map_err(|_| Refusal::new("not UTF-8"))?;
        let document = Document::parse(text).map_err(|error| Refusal::new(error.to_string()))?;
        Self::read(document.value()).map_err(|error| Refusal::new(error.to_string()))
    }
}

/// One value of the params. Implement it for types of your own, by way of one that is there:
///
/// ```
/// use dseq_sdk::{Param, ParamError, Value};
///
/// /// The letters a line may begin with.
/// struct Letter(u8);
///
/// impl Param for Letter {
///     const EXPECTED: &'static str = "one letter from a to z";
///
///     fn read(value: Value<'_>) -> Result<Self, ParamError> {
///         match value.as_string().as_deref().map(str::as_bytes) {
///             Some([letter @ b'a'..=b'z']) => Ok(Letter(*letter)),
///             _ => Err(ParamError::unexpected::<Self>(value)),
///         }
///     }
/// }
///
/// dseq_sdk::params! {
///     struct Params {
///         first: Vec<Letter>,
///     }
/// }
///
/// let refusal = <Params as dseq_sdk::Params>::parse(br#"{"first":["a","B"]}"#).err().unwrap();
/// assert_eq!(refusal.message(), r#"first[1]: expected one letter from a to z, found "B""#);
/// ```
pub trait Param: Sized {
    /// What a value of this type is, in words that go on after "expected".
    const EXPECTED: &'static str;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// When the value is not as expected; [`ParamError::unexpected`] says so.
    fn read(value: Value<'_>) -> Result<Self, ParamError>;

    /// What it is when its field is not there; `None` if it has to be.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }
}

/// Which of the params is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamError {
    /// From the outermost object: `.name` for each field, `[index]` for each element.
    path: String,
    problem: String,
}

impl ParamError {
    /// In words of your own.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { path: String::new(), problem: problem.into() }
    }

    /// The value is none of type `T`.
    #[must_use]
    pub fn unexpected<T: Param>(found: Value<'_>) -> Self {
        Self::expected(T::EXPECTED, found)
    }

    fn expected(expected: &str, found: Value<'_>) -> Self {
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn of_field(mut self, name: &str) -> Self {
        self.path.insert_str(0, name);
        self.path.insert(0, '.');
        self
    }

    fn of_element(mut self, index: usize) -> Self {
        self.path.insert_str(0, &format!("[{index}]"));
        self
    }
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.strip_prefix('.').unwrap_or(&self.path);
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl core::error::Error for ParamError {}

impl From<ParamError> for Refusal {
    fn from(error: ParamError) -> Self {
        Self::new(error.to_string())
    }
}

impl<'a> Value<'a> {
    /// The fields of an object that may have these and no others, each at most once.
    ///
    /// # Errors
    ///
    /// When it is no object, has another field, or one of them twice.
    pub fn named_fields<const N: usize>(
        self,
        names: [&str; N],
    ) -> Result<[Option<Value<'a>>; N], ParamError> {
        let mut values = [None; N];
        self.fill_named_fields(&names, &mut values)?;
        Ok(values)
    }

    fn fill_named_fields(self, names: &[&str], values: &mut [Option<Value<'a>>]) -> Result<(), ParamError> {
        let fields = self.fields().ok_or_else(|| ParamError::expected("an object", self))?;
        for (quoted, value) in fields {
            let name = quoted.said().unwrap_or_default();
            let known = names.iter().zip(&mut *values).find(|(known, _)| **known == name);
            match known {
                Some((_, slot)) if slot.is_none() => *slot = Some(value),
                Some(_) => return Err(ParamError::new("is there twice").of_field(&name)),
                None if names.is_empty() => {
                    return Err(ParamError::new(format!("unknown field {quoted}; there are none")));
                }
                None => {
                    let known = names.join(", ");
                    return Err(ParamError::new(format!("unknown field {quoted}; the fields are {known}")));
                }
            }
        }
        Ok(())
    }
}

/// Reads a field that has to be there, unless its type knows better.
#[doc(hidden)]
pub fn required<T: Param>(name: &str, value: Option<Value<'_>>) -> Result<T, ParamError> {
    let missing = || ParamError::new(format!("is missing; expected {}", T::EXPECTED)).of_field(name);
    match value {
        Some(value) => present(name, value),
        None => T::absent().ok_or_else(missing),
    }
}

/// Reads a field that need not be there.
#[doc(hidden)]
pub fn or_default<T: Param>(
    name: &str,
    value: Option<Value<'_>>,
    default: impl FnOnce() -> T,
) -> Result<T, ParamError> {
    match value {
        Some(value) => present(name, value),
        None => Ok(default()),
    }
}

fn present<T: Param>(name: &str, value: Value<'_>) -> Result<T, ParamError> {
    T::read(value).map_err(|error| error.of_field(name))
}

/// A field's name in JSON: `r#type` is `type`.
#[doc(hidden)]
#[must_use]
pub const fn field_name(identifier: &'static str) -> &'static str {
    match identifier.as_bytes() {
        [b'r', b'#', ..] => identifier.split_at(2).1,
        _ => identifier,
    }
}

/// Makes a struct of params: what genesis may say to the plugin, each field with its type.
///
/// A field with a default may be left out, and so may an `Option`; any other has to be there. A field that the struct
/// does not have is refused. The struct is a [`Param`] as well, so a field of another such struct may have its type.
///
/// ```
/// dseq_sdk::params! {
///     /// Who may write what.
///     #[derive(Debug, PartialEq)]
///     pub struct Params {
///         /// Longest record, in bytes.
///         pub bytes_max: u32 = 4096,
///         /// Public keys, in hexadecimal.
///         pub producers: Vec<String>,
///         /// What each record begins with.
///         pub prefix: Option<String>,
///     }
/// }
///
/// use dseq_sdk::Params as _;
///
/// assert_eq!(
///     Params::parse(br#"{"producers":["ab12"]}"#).unwrap(),
///     Params { bytes_max: 4096, producers: vec!["ab12".into()], prefix: None }
/// );
/// let refusal = |params: &str| Params::parse(params.as_bytes()).unwrap_err().message().to_owned();
/// assert_eq!(refusal("{}"), "producers: is missing; expected a list");
/// assert_eq!(refusal(r#"{"producers":[7]}"#), "producers[0]: expected a string, found 7");
/// assert_eq!(
///     refusal(r#"{"procuders":[]}"#),
///     r#"unknown field "procuders"; the fields are bytes_max, producers, prefix"#
/// );
/// ```
#[macro_export]
macro_rules! params {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty $(= $default:expr)?),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        impl $crate::Param for $name {
            const EXPECTED: &'static str = "an object";

            fn read(value: $crate::Value<'_>) -> ::core::result::Result<Self, $crate::ParamError> {
                let [$($field),*] =
                    value.named_fields([$($crate::params!(@name $field)),*])?;
                ::core::result::Result::Ok(Self {
                    $($field: $crate::params!(
                        @field $crate::params!(@name $field), $field $(, $default)?
                    ),)*
                })
            }
        }

        impl $crate::Params for $name {}
    };
    (@name $field:ident) => {
        const { $crate::macros::field_name(::core::stringify!($field)) }
    };
    (@field $name:expr, $value:ident) => { $crate::macros::required($name, $value)? };
    (@field $name:expr, $value:ident, $default:expr) => {
        $crate::macros::or_default($name, $value, || $default)?
    };
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    crate::params! {
        #[derive(Debug, PartialEq)]
        struct Inner {
            id: u8,
            note: Option<String>,
        }
    }

    crate::params! {
        /// One field of each kind.
        #[derive(Debug, PartialEq)]
        struct All {
            flag: bool = true,
            small: u16 = 1 + 1,
            large: u64 = 7,
            signed: i64 = -1,
            r#type: String = "plain".into(),
            list: Vec<Inner>,
            maybe: Option<u32>
        }
    }

    fn refusal(text: &str) -> String {
        All::parse(text.as_bytes()).expect_err(text).message().to_owned()
    }

    #[test]
    fn fields_that_are_not_there_have_their_defaults() {
        let list = vec![Inner { id: 1, note: None }];
        let defaults =
            All { flag: true, small: 2, large: 7, signed: -1, r#type: "plain".into(), list, maybe: None };
        assert_eq!(All::parse(br#"{"list":[{"id":1}]}"#).unwrap(), defaults);
        assert_eq!(All::parse(br#"{"list":[{"id":1,"note":null}],"maybe":null}"#).unwrap(), defaults);
    }

    #[test]
    fn every_field_is_read() {
        let text = br#"{ "flag": false, "large": 9007199254740991, "list": [{ "id": 255, "note": "\u00e9" }, { "id": 0 }],
            "maybe": 5, "signed": -9007199254740991, "small": 65535, "type": "" }"#;
        let list = vec![Inner { id: 255, note: Some("é".into()) }, Inner { id: 0, note: None }];
        let (large, signed) = ((1 << 53) - 1, 1 - (1 << 53));
        let all =
            All { flag: false, small: 65535, large, signed, r#type: String::new(), list, maybe: Some(5) };
        assert_eq!(All::parse(text).unwrap(), all);
    }

    #[test]
    fn a_refusal_names_the_field_what_was_expected_and_what_was_found() {
        for (text, words) in [
            ("{}", "list: is missing; expected a list"),
            (r#"{"list":{}}"#, "list: expected a list, found {}"),
            (r#"{"list":[{}]}"#, "list[0].id: is missing; expected an integer from 0 to 255"),
            (r#"{"list":[{"id":1},{"id":256}]}"#, "list[1].id: expected an integer from 0 to 255, found 256"),
            (r#"{"list":[{"id":1},7]}"#, "list[1]: expected an object, found 7"),
            (r#"{"list":[{"id":1,"note":1}]}"#, "list[0].note: expected a string, found 1"),
            (r#"{"list":[{"id":1,"nope":1}]}"#, r#"list[0]: unknown field "nope"; the fields are id, note"#),
            (r#"{"list":[],"flag":"true"}"#, r#"flag: expected true or false, found "true""#),
            (r#"{"list":[],"small":-1}"#, "small: expected an integer from 0 to 65535, found -1"),
            (r#"{"list":[],"small":65536}"#, "small: expected an integer from 0 to 65535, found 65536"),
            (r#"{"list":[],"maybe":1.5}"#, "maybe: expected an integer from 0 to 4294967295, found 1.5"),
            (
                r#"{"list":[],"large":9007199254740992}"#,
                "large: expected an integer from 0 to 9007199254740991, found 9007199254740992",
            ),
            (r#"{"list":[],"flag":null}"#, "flag: expected true or false, found null"),
            (r#"{"list":[],"list":[]}"#, "list: is there twice"),
            (r#"{"list":[],"l\u0069st":[]}"#, "list: is there twice"),
            (
                r#"{"lists":[]}"#,
                r#"unknown field "lists"; the fields are flag, small, large, signed, type, list, maybe"#,
            ),
            ("[]", "expected an object, found []"),
            ("{", "not JSON: a field's name is missing at byte 1"),
        ] {
            assert_eq!(refusal(text), words);
        }
        assert_eq!(All::parse(b"{\"list\":\"\xff\"}").unwrap_err().message(), "not UTF-8");
    }

    #[test]
    fn no_params_are_none_in_any_place() {
        assert!(<() as Params>::parse(b"{}").is_ok());
        for text in [&b""[..], b"null", b"[]", br#"{"a":1}"#] {
            let refusal = <() as Params>::parse(text).unwrap_err();
            assert_eq!(refusal.message(), "this plugin takes no params; write {}");
        }
        let refusal = <()>::read(Document::parse(r#"{"a":1}"#).unwrap().value()).unwrap_err();
        assert_eq!(refusal.to_string(), r#"unknown field "a"; there are none"#);
    }
}
