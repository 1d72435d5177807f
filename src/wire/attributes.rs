//! Attributes of a Forward Request (protocol chapter
//! [codes](crate::docs::protocol::codes#attributes)): reading them once with all checks, and again
//! lazily.

use super::byte_class::Class;
use super::code_lookup::AttributeCode;
use super::code_table::request_attribute;
use super::error::{DecodeError, Field, Rule};
use super::headers::parse_content_length;
use super::reader::{Reader, checked_nullable, checked_string};
use super::request::filled;

/// Checks all attributes, and tells whether there is a `stored_method`.
#[inline(never)]
pub(super) fn check_attributes(
    outer: &mut Reader<'_>,
    der_certificate: bool,
    query_class: Class,
) -> Result<bool, DecodeError> {
    // A cursor of its own stays in registers during the loop.
    let mut own = *outer;
    let r = &mut own;
    let bit = |code: u8| 1u16.wrapping_shl(code.into());
    let mut seen = 0u16;
    let mut well_known_seen = 0u8;
    loop {
        let at = r.position();
        let byte = r.u8(Field::AttributeCode)?;
        if byte == AttributeCode::ReqAttribute.code() {
            let name_at = r.position();
            let name = r.required(Field::AttributeName, Class::Value)?;
            if name.is_empty() {
                return Err(r.error_at(name_at, Field::AttributeName, Rule::Empty));
            }
            let known = request_attribute::bit(name);
            if well_known_seen & known != 0 {
                return Err(r.error_at(name_at, Field::AttributeName, Rule::Duplicate));
            }
            well_known_seen |= known;
            r.classed(Field::AttributeValue, Class::Value)?;
            continue;
        }
        if byte == 0xff {
            *outer = own;
            return Ok(seen & bit(AttributeCode::StoredMethod.code()) != 0);
        }
        let Some(code) = AttributeCode::from_code(byte) else {
            return Err(r.error_at(at, Field::AttributeCode, Rule::UnknownCode(byte.into())));
        };
        // A repeated secret is left to the secret check: every occurrence must match.
        if seen & bit(byte) != 0 && code != AttributeCode::Secret {
            return Err(r.error_at(at, Field::Attribute(code), Rule::Duplicate));
        }
        seen |= bit(byte);
        match (code, query_class) {
            (AttributeCode::QueryString, Class::Query) => {
                r.classed(Field::Attribute(code), Class::Query)?;
            }
            _ => *r = other_attribute(*r, code, der_certificate, query_class)?,
        }
    }
}

/// Checks an attribute that is not in every request. The cursor is handed over and back so
/// that it can stay in registers elsewhere.
#[inline(never)]
fn other_attribute(
    mut r: Reader<'_>,
    code: AttributeCode,
    der_certificate: bool,
    query_class: Class,
) -> Result<Reader<'_>, DecodeError> {
    let class = match code {
        AttributeCode::SslKeySize => {
            key_size(&mut r)?;
            return Ok(r);
        }
        AttributeCode::QueryString => query_class,
        AttributeCode::SslCert if der_certificate => Class::Any,
        AttributeCode::SslCert => Class::Pem,
        AttributeCode::StoredMethod => Class::Token,
        _ => Class::Value,
    };
    let field = Field::Attribute(code);
    let value_at = r.position();
    let value = r.classed(field, class)?;
    if code == AttributeCode::StoredMethod {
        match value {
            None => return Err(r.error_at(value_at, field, Rule::Null)),
            Some([]) => return Err(r.error_at(value_at, field, Rule::Empty)),
            Some(_) => {}
        }
    }
    Ok(r)
}

/// `ssl_key_size`: an integer, or the string form that some peers send by mistake. A
/// key size of 1..=5 does not exist and a digit is no attribute code, so the two cannot
/// be confused (protocol chapter [codes](crate::docs::protocol::codes#attributes)).
fn key_size(r: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let field = Field::Attribute(AttributeCode::SslKeySize);
    let at = r.position();
    let is_text =
        |text: &[u8]| (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let Some(text) = r.string_if(is_text) else {
        return r.u16(field);
    };
    let value = parse_content_length(text).unwrap_or(u64::MAX);
    u16::try_from(value).map_err(|_| {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        r.error_at(at, field, Rule::OutOfRange(value))
    })
}

/// One attribute of a Forward Request.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the protocol has exactly these shapes"
)]
pub enum Attribute<'a> {
    /// A coded string attribute; a null value counts as absent.
    Coded {
        /// Which one; never `ReqAttribute` or `SslKeySize`.
        code: AttributeCode,
        /// The string as it was sent, `None` for the null string. What it says is
        /// [`Attribute::value`].
        value: Option<&'a [u8]>,
    },
    /// `ssl_key_size` in bits.
    SslKeySize(u16),
    /// `req_attribute`.
    Named {
        /// The name. Never the same as a coded attribute of that name.
        name: &'a [u8],
        /// The string as it was sent, `None` for the null string. What it says is
        /// [`Attribute::value`].
        value: Option<&'a [u8]>,
    },
}

impl<'a> Attribute<'a> {
    /// What the attribute says, as a string: `None` when it says nothing.
    ///
    /// Null says nothing, and neither does an empty user, route, address, certificate or the
    /// like, which some web servers send for what they do not know. Two kinds may be empty and
    /// mean it: `query_string`, for a URL that ends with `?`, and a `req_attribute` whose name
    /// is the application's own. Always `None` for `ssl_key_size`, which is a number.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Coded {
                code: AttributeCode::QueryString,
                value,
            } => value,
            Self::Named { name, value } if request_attribute::bit(name) == 0 => value,
            Self::Coded { value, .. } | Self::Named { value, .. } => filled(value),
            Self::SslKeySize(_) => None,
        }
    }
}

/// Iterator over the attributes of a checked request. See [`ForwardRequest::attributes`](super::ForwardRequest::attributes).
#[derive(Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (&byte, after) = self.rest.split_first()?;
        let code = AttributeCode::from_code(byte)?;
        self.rest = after;
        Some(match code {
            AttributeCode::ReqAttribute => Attribute::Named {
                name: checked_string(&mut self.rest)?,
                value: checked_nullable(&mut self.rest)?,
            },
            AttributeCode::SslKeySize => {
                let mut r = Reader::new(self.rest);
                let bits = key_size(&mut r).ok()?;
                self.rest = r.rest();
                Attribute::SslKeySize(bits)
            }
            _ => Attribute::Coded {
                code,
                value: checked_nullable(&mut self.rest)?,
            },
        })
    }
}
