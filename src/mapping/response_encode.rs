//! `http::response::Parts` straight into Send Headers.

use super::header_names::{Kind, is_nominated, nominates, response_kind};
use crate::wire::{
    EncodeError, EncodeRule, Field, PacketSize, SendHeadersWriter, decimal, response_header_code,
};
use bytes::BytesMut;
use http::header;
use http::response;

/// Appends the Send Headers for an HTTP response and tells the Content-Length it
/// announces for a body that will follow.
///
/// `body_length` is the exact length of the body if it is known; it becomes the
/// Content-Length when the response names none. `head_request` says that the request was
/// HEAD: then the response keeps the length it names, and no body follows.
///
/// # Errors
/// [`EncodeError`] naming what cannot be written: a header that does not fit the packet
/// size, a `Content-Length` that is not one number, or not `body_length` although that body
/// follows. The buffer is as it was.
pub fn write_send_headers(
    buffer: &mut BytesMut,
    size: PacketSize,
    parts: &response::Parts,
    head_request: bool,
    body_length: Option<u64>,
) -> Result<Option<u64>, EncodeError> {
    let status = parts.status.as_u16();
    let has_body = !head_request && !matches!(status, 100..=199 | 204 | 205 | 304);
    let mut writer = SendHeadersWriter::new(buffer, size, status)?;
    let nominated = parts
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .any(nominates);
    let mut announced = None;
    let mut wrong = Ok(());
    writer.checked_headers(
        parts
            .headers
            .iter()
            .map_while(|(name, value)| {
                let code = match response_kind(name) {
                    Kind::Coded(code) => Some(code),
                    Kind::HopByHop | Kind::Connection => return Some(None),
                    Kind::ContentLength if matches!(status, 204 | 205) => return Some(None),
                    Kind::ContentLength => {
                        match SendHeadersWriter::content_length(value.as_bytes(), announced) {
                            Err(error) => {
                                wrong = Err(error);
                                return None;
                            }
                            Ok(_) if announced.is_some() => return Some(None),
                            Ok(length) => announced = Some(length),
                        }
                        response_header_code(b"content-length")
                    }
                    _ if nominated && is_nominated(&parts.headers, name) => return Some(None),
                    _ => None,
                };
                Some(Some((code, name, value.as_bytes())))
            })
            .flatten(),
    )?;
    wrong?;
    if has_body && announced.is_some() && body_length.is_some() && announced != body_length {
        return Err(EncodeError::new(
            Field::ContentLength,
            EncodeRule::NotBodyLength,
        ));
    }
    let length = match body_length {
        _ if status == 205 => Some(0),
        Some(length) if has_body && announced.is_none() => Some(length),
        _ => None,
    };
    if let Some(length) = length {
        writer.header(b"content-length", decimal(length, &mut [0; 20]))?;
        announced = Some(length);
    }
    writer.finish();
    Ok(announced.filter(|_| has_body))
}
