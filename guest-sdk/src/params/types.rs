//! The types a field of the params may have.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Param, ParamError, Params};
use crate::{Refusal, Value};

impl Param for () {
    const EXPECTED: &'static str = "{}";

    fn read(value: Value<'_>) -> Result<Self, ParamError> {
        let [] = value.named_fields([])?;
        Ok(())
    }
}

impl Params for () {
    /// Without a reader of JSON, so that a plugin without params need not carry one.
    fn parse(text: &[u8]) -> Result<Self, Refusal> {
        if text == b"{}" { Ok(()) } else { Err(Refusal::new("this plugin takes no params; write {}")) }
    }
}

impl Param for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: Value<'_>) -> Result<Self, ParamError> {
        value.as_bool().ok_or_else(|| ParamError::unexpected::<Self>(value))
    }
}

macro_rules! integers {
    ($($ty:ident by $as:ident: $expected:literal;)*) => {
        $(impl Param for $ty {
            const EXPECTED: &'static str = $expected;

            fn read(value: Value<'_>) -> Result<Self, ParamError> {
                let integer = value.$as().and_then(|integer| Self::try_from(integer).ok());
                integer.ok_or_else(|| ParamError::unexpected::<Self>(value))
            }
        })*
    };
}

integers! {
    u8 by as_u64: "an integer from 0 to 255";
    u16 by as_u64: "an integer from 0 to 65535";
    u32 by as_u64: "an integer from 0 to 4294967295";
    u64 by as_u64: "an integer from 0 to 9007199254740991";
    i64 by as_i64: "an integer from -9007199254740991 to 9007199254740991";
}

impl Param for String {
    const EXPECTED: &'static str = "a string";

    fn read(value: Value<'_>) -> Result<Self, ParamError> {
        value.as_string().ok_or_else(|| ParamError::unexpected::<Self>(value))
    }
}

impl<T: Param> Param for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn read(value: Value<'_>) -> Result<Self, ParamError> {
        let elements = value.elements().ok_or_else(|| ParamError::unexpected::<Self>(value))?;
        let read = |(index, element)| T::read(element).map_err(|error| error.of_element(index));
        elements.enumerate().map(read).collect()
    }
}

/// `null`, or no field at all, is `None`.
impl<T: Param> Param for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(value: Value<'_>) -> Result<Self, ParamError> {
        if value.is_null() { Ok(None) } else { T::read(value).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}
