//! WildFly's and JBoss EAP's `standalone.xml`: AJP listeners of Undertow, under Tomcat's names.

use crate::config::xml::{Document, Element, Value};
use crate::lint::farm::{Connector, Container, Farm, Kind};
use std::collections::BTreeMap;

/// What Undertow calls it, and what Tomcat does.
const NAMES: [(&str, &str); 6] = [
    ("max-ajp-packet-size", "packetSize"),
    ("no-request-timeout", "keepAliveTimeout"),
    (
        "allowed-request-attributes-pattern",
        "allowedRequestAttributesPattern",
    ),
    ("max-headers", "maxHeaderCount"),
    ("max-connections", "maxConnections"),
    ("scheme", "scheme"),
];

pub(super) fn server(document: Document, farm: &mut Farm) {
    let root = document.root;
    let Some(subsystem) = root
        .all("subsystem")
        .into_iter()
        .find(|element| element.namespace.contains(":undertow:"))
    else {
        return;
    };
    let listeners = subsystem.all("ajp-listener");
    let http = subsystem.all("http-listener");
    if listeners.is_empty() && http.is_empty() {
        return;
    }
    let offset = root.all("socket-binding-group").first().and_then(|group| {
        let offset = group.attribute("port-offset")?;
        offset.text.parse::<u16>().ok().filter(|_| offset.is_known)
    });
    let connector = |listener: &Element, is_ajp| {
        let binding = listener
            .attribute("socket-binding")
            .and_then(|name| binding(&root, &name.text));
        let port = binding.and_then(|binding| {
            let port = binding.attribute("port")?.text.parse::<u16>().ok()?;
            port.checked_add(offset.unwrap_or(0))
        });
        let mut settings = BTreeMap::new();
        for (name, value) in &listener.attributes {
            let known = NAMES.iter().find(|(undertow, _)| undertow == name);
            settings.insert(
                known.map_or(&**name, |(_, tomcat)| tomcat).to_owned(),
                value.clone(),
            );
        }
        if let Some(address) = binding.and_then(|binding| address(&root, binding)) {
            settings.insert("address".to_owned(), address);
        }
        // Undertow has none.
        settings.insert(
            "secretRequired".to_owned(),
            Value {
                text: "false".to_owned(),
                is_known: true,
                place: listener.place.clone(),
            },
        );
        Connector {
            is_ajp,
            place: listener.place.clone(),
            port,
            settings,
            executor_threads: None,
        }
    };
    let connectors = listeners
        .iter()
        .map(|listener| connector(listener, true))
        .chain(http.iter().map(|listener| connector(listener, false)))
        .collect();
    farm.containers.push(Container {
        kind: Kind::WildFly,
        place: root.place.clone(),
        route: subsystem.attribute("instance-id").cloned(),
        engine: subsystem.place.clone(),
        connectors,
        commented_out: Vec::new(),
        root,
    });
}

fn binding<'a>(root: &'a Element, name: &str) -> Option<&'a Element> {
    let bindings = root.all("socket-binding").into_iter();
    let mut named = bindings.filter(|binding| {
        let known = binding.attribute("name");
        known.is_some_and(|known| known.text == name)
    });
    named.find(|binding| binding.attribute("port").is_some())
}

/// The address of the interface that a binding, or else its group, is on.
fn address(root: &Element, binding: &Element) -> Option<Value> {
    let groups = root.all("socket-binding-group");
    let default = groups
        .first()
        .and_then(|group| group.attribute("default-interface"));
    let name = &binding.attribute("interface").or(default)?.text;
    let interfaces = root.all("interface").into_iter();
    let mut named = interfaces.filter(|interface| {
        let known = interface.attribute("name");
        known.is_some_and(|known| known.text == *name)
    });
    let interface = named.next()?;
    let inet = interface.children.first()?;
    if inet.name == "any-address" {
        return Some(Value {
            text: "0.0.0.0".to_owned(),
            is_known: true,
            place: inet.place.clone(),
        });
    }
    inet.attribute("value").cloned()
}
