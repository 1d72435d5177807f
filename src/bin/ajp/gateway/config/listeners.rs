//! From tables to listeners and the limits of their clients.

use super::Listener;
use super::error::{Fault, Faults};
use super::file::{self, ClientCertificate, TlsVersion};
use super::values::{Positive, Text, Whole};
use crate::gateway::front::{Limits, ListenAddress, SocketMode, TlsSettings, UpgradeLimits};
use http::HeaderValue;
use toml::Spanned;

/// One listener. `has_trusted` says whether there is anybody whose PROXY header is taken.
pub(super) fn listener(table: &file::Listener, has_trusted: bool, faults: &mut Faults) -> Listener {
    let Text(address) = table.address.get_ref();
    let proxy_protocol = table.proxy_protocol.as_ref();
    let proxy_protocol = proxy_protocol.filter(|on| *on.get_ref());
    if let Some(on) = proxy_protocol.filter(|_| !has_trusted) {
        let fault = Fault::at(on.span(), "true needs trusted_proxies, whose word is taken");
        faults.add(fault.for_want_of("trusted_proxies"));
    }
    let mode = table.mode.as_ref();
    let is_unix = matches!(address, ListenAddress::Unix(_));
    if let Some(mode) = mode.filter(|_| !is_unix) {
        faults.add(Fault::at(mode.span(), "is for Unix sockets"));
    }
    if let (Some(hsts), None) = (&table.hsts, &table.tls) {
        let fault = Fault::at(hsts.span(), "is for listeners with tls");
        faults.add(fault.for_want_of("tls"));
    }
    if let (Some(port), Some(_)) = (&table.redirect_to_https, &table.tls) {
        faults.add(Fault::at(port.span(), "is for listeners without tls"));
    }
    let redirect = table.redirect_to_https.as_ref();
    let redirect = redirect.and_then(|port| u16::try_from(port.get_ref().0).ok());
    let hsts = table.hsts.as_ref();
    let tls_table = table.tls.as_ref();
    Listener {
        address: address.clone(),
        mode: mode.map_or_else(SocketMode::default, |mode| mode.get_ref().0),
        proxy_protocol: proxy_protocol.is_some(),
        redirect,
        hsts: hsts.and_then(|value| faults.take(self::hsts(value))),
        tls: tls_table.and_then(|table| faults.take(tls(table))),
    }
}

fn hsts(value: &Spanned<String>) -> Result<HeaderValue, Fault> {
    let text = value.get_ref();
    let header = HeaderValue::try_from(text).ok();
    let header = header.filter(|_| text.to_ascii_lowercase().contains("max-age="));
    header.ok_or_else(|| {
        let text = format!("{text:?} is no policy, such as \"max-age=31536000\"");
        Fault::at(value.span(), text)
    })
}

fn tls(table: &Spanned<file::Tls>) -> Result<TlsSettings, Fault> {
    let span = table.span();
    let table = table.get_ref();
    if table.certificates.is_empty() {
        let text = "needs certificates = [{ certificate = \"..\", key = \"..\" }]";
        return Err(Fault::at(span, text).for_want_of("certificates"));
    }
    let files = |pair: &file::Certificate| (pair.certificate.clone(), pair.key.clone());
    let settings = TlsSettings {
        certificates: table.certificates.iter().map(files).collect(),
        client_ca: table.client_ca.clone(),
        client_required: table.client_certificate == ClientCertificate::Required,
        client_depth: table.client_depth.map(Whole::size),
        tls12: table.min_version == TlsVersion::Tls12,
        http2: table.http2,
    };
    // That the files can be used is a part of the configuration's being right.
    match settings.acceptor() {
        Ok(_) => Ok(settings),
        Err(error) => Err(Fault::at(span, error.to_string())),
    }
}

/// The limits, with what the file leaves out as it is without one.
pub(super) fn limits(table: &file::Limits, packet_size: usize) -> Limits {
    let default = Limits::default();
    let time = |given: &Option<Text<Positive>>, other| match given {
        Some(Text(Positive(time))) => *time,
        None => other,
    };
    let size = |given: Option<u64>, other: usize| {
        given.map_or(other, |number| {
            usize::try_from(number).unwrap_or(usize::MAX)
        })
    };
    Limits {
        connections: size(number(table.max_connections), default.connections),
        connections_per_address: size(
            number(table.max_connections_per_address),
            default.connections_per_address,
        ),
        // A head that fits no packet is of no use.
        head: size(number(table.max_head), default.head.max(packet_size)),
        headers: size(number(table.max_headers), default.headers),
        head_timeout: time(&table.head_timeout, default.head_timeout),
        requests_per_connection: number(table.requests_per_connection)
            .unwrap_or(default.requests_per_connection),
        body_timeout: time(&table.body_timeout, default.body_timeout),
        write_timeout: time(&table.write_timeout, default.write_timeout),
        rate: number(table.min_rate).unwrap_or(default.rate),
        request_buffer: size(number(table.request_buffer), default.request_buffer),
        response_buffer: size(number(table.response_buffer), default.response_buffer),
        buffer_memory: size(number(table.buffer_memory), default.buffer_memory),
        upgrades: UpgradeLimits {
            connect: time(&table.upgrade_connect_timeout, default.upgrades.connect),
            head: time(&table.upgrade_head_timeout, default.upgrades.head),
            idle: time(&table.upgrade_idle_timeout, default.upgrades.idle),
            per_member: table
                .upgrades_per_member
                .map_or(default.upgrades.per_member, Whole::size),
        },
        http2_streams: table
            .http2_streams
            .map_or(default.http2_streams, Whole::number),
        http2_resets: size(number(table.http2_resets), default.http2_resets),
    }
}

fn number<const LEAST: u64, const MOST: u64>(whole: Option<Whole<LEAST, MOST>>) -> Option<u64> {
    whole.map(|Whole(number)| number)
}
