//! What a Tomcat is told: its `server.xml` and command line, kept to what starts fast.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::replication::Replication;
use super::{need, webapp};

/// Where Debian's `tomcat10` package puts the container.
pub const CATALINA_HOME: &str = "/usr/share/tomcat10";

/// The settings of one Tomcat, without the ports, which may change from attempt to attempt.
#[derive(Clone, Default)]
pub struct Settings {
    /// Attributes of the AJP connector.
    pub ajp: BTreeMap<String, String>,
    /// `jvmRoute` of the engine.
    pub route: Option<String>,
    /// The webapp.
    pub app: App,
    /// The other nodes that have its sessions too.
    pub replication: Option<Replication>,
    /// Classes of valves of the context.
    pub valves: Vec<String>,
    /// Logger names and levels beyond INFO for all.
    pub loggers: BTreeMap<String, String>,
}

/// Which of the servlets are served.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum App {
    /// The many of `web.xml`, at `/app`.
    #[default]
    Lab,
    /// `Facts.java`, at every path.
    Facts,
    /// `Cart.java`, at `/cart`.
    Cart,
    /// `Talk.java`, a WebSocket at `/app/talk`.
    Talk,
}

impl App {
    /// The context's path, and the descriptor in place of `web.xml`.
    fn place(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Lab => ("/app", None),
            Self::Facts => ("", Some("facts.xml")),
            Self::Cart => ("/cart", Some("cart.xml")),
            Self::Talk => ("/app", Some("talk.xml")),
        }
    }
}

impl Settings {
    /// Writes a `CATALINA_BASE`.
    pub fn write(&self, base: &Path, ajp: SocketAddr, http: SocketAddr, docs: &Path) {
        for dir in ["conf", "logs", "temp", "work", "webapps"] {
            std::fs::create_dir_all(base.join(dir)).unwrap();
        }
        let conf = base.join("conf");
        std::fs::write(conf.join("server.xml"), self.server_xml(ajp, http, docs)).unwrap();
        // Tomcat's own has a default servlet, JSP and a thousand MIME types.
        let web_xml = r#"<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0"/>"#;
        std::fs::write(conf.join("web.xml"), web_xml).unwrap();
        std::fs::write(conf.join("logging.properties"), self.logging_properties()).unwrap();
    }

    fn server_xml(&self, ajp: SocketAddr, http: SocketAddr, docs: &Path) -> String {
        let route = self
            .route
            .as_ref()
            .map(|route| format!(" jvmRoute={}", quoted(route)));
        let attributes = self
            .ajp
            .iter()
            .fold(String::new(), |mut text, (name, value)| {
                write!(text, " {name}={}", quoted(value)).unwrap();
                text
            });
        let (path, descriptor) = self.app.place();
        let descriptor = descriptor.map(|name| {
            let file = webapp::descriptor(name);
            format!(" altDDName={}", quoted(file.to_str().unwrap()))
        });
        let replication = self.replication.as_ref().map(Replication::xml);
        let valves = self.valves.iter().fold(String::new(), |mut text, class| {
            write!(text, "<Valve className={}/>", quoted(class)).unwrap();
            text
        });
        // A manager of the context's own would not replicate.
        let manager = match replication {
            Some(_) => "",
            None => "<Manager pathname=\"\"/>",
        };
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1">
  <Service name="Catalina">
    <Connector protocol="HTTP/1.1" address="127.0.0.1" port="{http_port}" maxHttpHeaderSize="262144"/>
    <Connector protocol="AJP/1.3" port="{ajp_port}"{attributes}/>
    <Engine name="Catalina" defaultHost="localhost"{route}>
      {replication}
      <Host name="localhost" appBase="webapps" autoDeploy="false" deployOnStartup="false">
        <Context path="{path}"{descriptor} docBase={docs} containerSciFilter=".">
          <Parameter name="node" value={node}/>
          <JarScanner scanClassPath="false" scanManifest="false"/>
          {manager}
          {valves}
        </Context>
      </Host>
    </Engine>
  </Service>
</Server>
"#,
            http_port = http.port(),
            ajp_port = ajp.port(),
            route = route.unwrap_or_default(),
            replication = replication.unwrap_or_default(),
            descriptor = descriptor.unwrap_or_default(),
            node = quoted(self.route.as_deref().unwrap_or_default()),
            docs = quoted(docs.to_str().unwrap()),
        )
    }

    fn logging_properties(&self) -> String {
        let mut text = "\
            handlers = java.util.logging.ConsoleHandler\n\
            .handlers = java.util.logging.ConsoleHandler\n\
            .level = INFO\n\
            java.util.logging.ConsoleHandler.level = ALL\n\
            java.util.logging.ConsoleHandler.formatter = org.apache.juli.OneLineFormatter\n"
            .to_owned();
        for (name, level) in &self.loggers {
            writeln!(text, "{name}.level = {level}").unwrap();
        }
        text
    }
}

/// The command that runs the container in the foreground. A route is in it, as operators write it
/// and look for it.
pub fn command(base: &Path, route: Option<&str>) -> Command {
    let bin = format!("{CATALINA_HOME}/bin");
    need::file(&format!("{bin}/bootstrap.jar"), "tomcat10");
    let mut command = Command::new("java");
    command
        .args([
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xshare:auto",
            "-Xmx256m",
        ])
        // A port that is taken ends the process instead of leaving it without that connector.
        .arg("-Dorg.apache.catalina.startup.EXIT_ON_INIT_FAILURE=true")
        .arg("-Djava.util.logging.manager=org.apache.juli.ClassLoaderLogManager")
        .arg(format!(
            "-Djava.util.logging.config.file={}/conf/logging.properties",
            base.display()
        ))
        .arg(format!("-Djava.io.tmpdir={}/temp", base.display()))
        .arg(format!("-Dcatalina.home={CATALINA_HOME}"))
        .arg(format!("-Dcatalina.base={}", base.display()))
        .args(route.map(|route| format!("-DjvmRoute={route}")))
        .args(["-cp", &format!("{bin}/bootstrap.jar:{bin}/tomcat-juli.jar")])
        .args(["org.apache.catalina.startup.Bootstrap", "start"]);
    command
}

/// `value` as an XML attribute's quoted value.
pub fn quoted(value: &str) -> String {
    let escaped = value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;");
    format!("\"{escaped}\"")
}
