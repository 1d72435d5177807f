//! Tomcat's `server.xml`.

use crate::config::xml::{Document, Element, Value};
use crate::lint::farm::{Connector, Container, Farm, Kind};

pub(super) fn server(document: Document, farm: &mut Farm) {
    let Document { root, comments } = document;
    let commented_out: Vec<_> = comments
        .into_iter()
        .filter(|(_, text)| text.contains("<Connector") && text.contains("AJP/1.3"))
        .map(|(place, _)| place)
        .collect();
    for service in root.all("Service") {
        let engines = service.all("Engine");
        let engine = engines.first();
        let route = engine.and_then(|engine| engine.attribute("jvmRoute"));
        let connectors = service
            .children
            .iter()
            .filter(|child| child.name == "Connector");
        farm.containers.push(Container {
            kind: Kind::Tomcat,
            place: root.place.clone(),
            route: route.cloned(),
            engine: engine
                .map_or(&service.place, |engine| &engine.place)
                .clone(),
            connectors: connectors.map(|known| connector(known, &root)).collect(),
            root: (*service).clone(),
            commented_out: commented_out.clone(),
        });
    }
}

fn connector(element: &Element, root: &Element) -> Connector {
    let known = |name: &str| element.attribute(name).filter(|value| value.is_known);
    let protocol = known("protocol").map_or("HTTP/1.1", |value| &*value.text);
    let executor = known("executor").and_then(|name| {
        let executors = root.all("Executor");
        let named = |executor: &&&Element| {
            let known = executor.attribute("name");
            known.is_some_and(|known| known.text == name.text)
        };
        executors.iter().find(named).map(|executor| {
            // Its own default.
            executor.attribute("maxThreads").cloned().unwrap_or(Value {
                text: "200".to_owned(),
                is_known: true,
                place: executor.place.clone(),
            })
        })
    });
    Connector {
        is_ajp: protocol.contains("AJP") || protocol.contains(".ajp."),
        place: element.place.clone(),
        port: known("port").and_then(|port| port.text.parse().ok()),
        settings: element.attributes.clone(),
        executor_threads: executor,
    }
}
