//! From the tables of a balancer to the checks of its members.

use super::super::balancer_tables::{self as tables, CheckKind};
use super::super::error::{Fault, Faults};
use super::super::values::Whole;
use super::{positive, time, with};
use ajp::balancer::{CPing, Health, HttpCheck};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::collections::BTreeMap;
use std::time::Duration;
use toml::Spanned;

pub(super) fn health(table: &tables::Health, faults: &mut Faults) -> Option<Health> {
    let health = match table.check.get_ref() {
        CheckKind::CPing => {
            let only_http = [
                table.path.as_ref().map(Spanned::span),
                table.method.as_ref().map(Spanned::span),
                table.headers.as_ref().map(Spanned::span),
                table.status.as_ref().map(Spanned::span),
                table.body.as_ref().map(Spanned::span),
            ];
            for span in only_http.into_iter().flatten() {
                faults.add(Fault::at(span, "is for check = \"http\" only"));
            }
            Health::new(CPing)
        }
        CheckKind::Http => Health::new(http_check(table, faults)?),
    };
    let interval = time(table.interval.as_ref());
    let health = with(health, interval, |health, interval| {
        health.with_interval(interval.max(Duration::from_millis(100)))
    });
    let health = with(health, positive(table.limit.as_ref()), Health::with_limit);
    let health = with(health, table.rise, |health, count| {
        health.with_rise(count.number())
    });
    Some(with(health, table.fall, |health, count| {
        health.with_fall(count.number())
    }))
}

fn http_check(table: &tables::Health, faults: &mut Faults) -> Option<HttpCheck> {
    let Some(path) = &table.path else {
        let fault = Fault::at(table.check.span(), "\"http\" needs a path");
        faults.add(fault.for_want_of("path"));
        return None;
    };
    let uri: Option<Uri> = path.get_ref().parse().ok();
    let Some(uri) = uri.filter(|_| path.get_ref().starts_with('/')) else {
        let text = format!("{:?} is no path, such as \"/app/health\"", path.get_ref());
        faults.add(Fault::at(path.span(), text));
        return None;
    };
    let mut check = HttpCheck::get(uri);
    if let Some(method) = &table.method {
        let known = Method::from_bytes(method.get_ref().as_bytes());
        let known = known.map_err(|error| Fault::at(method.span(), error.to_string()));
        check = with(check, faults.take(known), HttpCheck::with_method);
    }
    if let Some(headers) = &table.headers {
        let known = header_map(headers.get_ref());
        let known = known.map_err(|error| Fault::at(headers.span(), error));
        check = with(check, faults.take(known), HttpCheck::with_headers);
    }
    if let Some(statuses) = &table.status {
        check = check.with_statuses(statuses.get_ref().0.clone());
    }
    if let Some(text) = &table.body {
        check = check.with_body_contains(text.get_ref().clone());
    }
    Some(check)
}

fn header_map(table: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in table {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The health checks as text: the same wherever they stand in the file.
pub(super) fn health_text(table: Option<&tables::Health>) -> String {
    let Some(health) = table else {
        return String::new();
    };
    let text = |value: &Option<Spanned<String>>| value.as_ref().map(|text| text.get_ref().clone());
    let headers = health.headers.as_ref().map(Spanned::get_ref);
    let statuses = health
        .status
        .as_ref()
        .map(|range| range.get_ref().0.clone());
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {headers:?} {statuses:?}",
        health.check.get_ref(),
        (
            time(health.interval.as_ref()),
            positive(health.limit.as_ref())
        ),
        health.rise.map(Whole::number),
        health.fall.map(Whole::number),
        (text(&health.path), text(&health.body)),
        text(&health.method),
    )
}
