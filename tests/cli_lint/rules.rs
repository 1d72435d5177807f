//! Every rule: what breaks it, and what does not.

use super::{findings, write};
use crate::cli::ajp;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A rule, files that break it, and files that are well.
struct Case {
    code: &'static str,
    bad: Vec<(&'static str, String)>,
    good: Vec<(&'static str, String)>,
}

/// httpd alone.
fn httpd(code: &'static str, bad: &str, good: &str) -> Case {
    pair(code, (bad, ""), (good, ""))
}

/// httpd and attributes of one AJP connector.
fn pair(code: &'static str, bad: (&str, &str), good: (&str, &str)) -> Case {
    let files = |(conf, connector): (&str, &str)| {
        let mut files = vec![("httpd.conf", conf.to_owned())];
        if !connector.is_empty() {
            files.push(("server.xml", tomcat(connector, "", "")));
        }
        files
    };
    Case {
        code,
        bad: files(bad),
        good: files(good),
    }
}

/// Attributes of one AJP connector alone.
fn connector(code: &'static str, bad: &str, good: &str) -> Case {
    let file = |attributes: &str| vec![("server.xml", tomcat(attributes, "", ""))];
    Case {
        code,
        bad: file(bad),
        good: file(good),
    }
}

/// `workers.properties` alone.
fn workers(code: &'static str, bad: &str, good: &str) -> Case {
    let file = |text: &str| vec![("workers.properties", text.to_owned())];
    Case {
        code,
        bad: file(bad),
        good: file(good),
    }
}

/// `httpd.conf` and `workers.properties`.
fn jk(code: &'static str, bad: (&str, &str), good: (&str, &str)) -> Case {
    let files = |(conf, workers): (&str, &str)| {
        vec![
            ("httpd.conf", conf.to_owned()),
            ("workers.properties", workers.to_owned()),
        ]
    };
    Case {
        code,
        bad: files(bad),
        good: files(good),
    }
}

fn tomcat(connector: &str, engine: &str, inner: &str) -> String {
    let connector = match connector {
        "none" => String::new(),
        attributes => format!("<Connector protocol=\"AJP/1.3\" port=\"8009\" {attributes}/>"),
    };
    format!(
        "<Server>\n<Service>\n{connector}\n<Engine {engine}>\n{inner}\n</Engine>\n</Service>\n</Server>\n"
    )
}

fn wildfly(listener: &str) -> String {
    format!(
        "<server xmlns=\"urn:jboss:domain:20.0\">\n\
         <profile><subsystem xmlns=\"urn:jboss:domain:undertow:14.0\"><server>\n\
         <ajp-listener name=\"ajp\" socket-binding=\"ajp\" {listener}/>\n\
         </server></subsystem></profile>\n\
         <interfaces><interface name=\"public\"><inet-address value=\"${{jboss.bind.address:127.0.0.1}}\"/></interface></interfaces>\n\
         <socket-binding-group name=\"s\" default-interface=\"public\"><socket-binding name=\"ajp\" port=\"8009\"/></socket-binding-group>\n\
         </server>\n"
    )
}

const OPEN: &str = "secretRequired=\"false\"";
const LINE: &str = "ProxyPass /app ajp://127.0.0.1:8009/app";

fn balancer(members: &str, settings: &str) -> String {
    format!(
        "<Proxy balancer://farm>\n{members}\n</Proxy>\nProxyPass /app balancer://farm/app {settings}\n"
    )
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let sticky = "stickysession=JSESSIONID|jsessionid";
    let two = "BalancerMember ajp://127.0.0.1:8009 route=a ping=1\nBalancerMember ajp://127.0.0.1:8109 route=b ping=1";
    let of = |conf: String, engine: &str, inner: &str| {
        vec![
            ("httpd.conf", conf),
            ("server.xml", tomcat(OPEN, engine, inner)),
        ]
    };
    let lb = "worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=a,b\nworker.a.port=8009\nworker.b.port=8109\n";
    let safe = "worker.a.recovery_options=7\nworker.b.recovery_options=7\nworker.a.reply_timeout=60000\nworker.b.reply_timeout=60000\nworker.a.ping_mode=A\nworker.b.ping_mode=A\n";
    let one = "worker.list=w\nworker.w.host=127.0.0.1\n";
    let with = |code, bad: String, good: String| httpd(code, &bad, &good);
    let server = |code, bad: String, good: String| Case {
        code,
        bad: vec![("server.xml", bad)],
        good: vec![("server.xml", good)],
    };
    vec![
        server(
            "AJP001",
            "<Server>\n<Service>\n</Server>".to_owned(),
            tomcat(OPEN, "", ""),
        ),
        // Seen with mod_jk 1.2.48: the first ends httpd by a fault of memory.
        workers(
            "AJP005",
            "worker.list=a\nworker.a.type=lb\nworker.a.balance_workers=a\n",
            "worker.list=a\nworker.a.type=lb\nworker.a.balance_workers=b\nworker.b.port=8009\n",
        ),
        workers(
            "AJP005",
            "worker.list=a\nworker.a.reference=worker.b\nworker.b.reference=worker.a\n",
            "worker.list=a\nworker.a.reference=worker.b\nworker.b.port=8009\n",
        ),
        httpd(
            "AJP002",
            "Include none.conf\n",
            "IncludeOptional none.conf\n",
        ),
        server(
            "AJP004",
            "<!DOCTYPE Server [<!ENTITY c SYSTEM \"c.xml\">]>\n<Server>&c;</Server>".to_owned(),
            tomcat(OPEN, "", ""),
        ),
        #[cfg(feature = "gateway")]
        Case {
            code: "AJP003",
            bad: vec![(
                "gateway.toml",
                "[[balancer]]\nname = \"a\"\nmetod = \"byrequests\"\n".to_owned(),
            )],
            good: vec![(
                "gateway.toml",
                "[[balancer]]\nname = \"a\"\nmethod = \"byrequests\"\n".to_owned(),
            )],
        },
        Case {
            code: "AJP003",
            bad: vec![("gateway.toml", "[[balancer]\nname = \"a\"\n".to_owned())],
            good: vec![("gateway.toml", "[[balancer]]\nname = \"a\"\n".to_owned())],
        },
        pair(
            "AJP611",
            (
                LINE,
                "secretRequired=\"false\" encodedSolidusHandling=\"passthrough\"",
            ),
            (
                "AllowEncodedSlashes NoDecode\nProxyPass /app ajp://127.0.0.1:8009/app",
                "secretRequired=\"false\" encodedSolidusHandling=\"passthrough\"",
            ),
        ),
        pair(
            "AJP612",
            (
                "AllowEncodedSlashes NoDecode\nProxyPass /app ajp://127.0.0.1:8009/app",
                OPEN,
            ),
            // Decoded by httpd, so none arrives.
            (
                "AllowEncodedSlashes On\nProxyPass /app ajp://127.0.0.1:8009/app",
                OPEN,
            ),
        ),
        jk(
            "AJP613",
            ("AllowEncodedSlashes NoDecode\nJkMount /app|/* w", one),
            ("AllowEncodedSlashes On\nJkMount /app|/* w", one),
        ),
        connector(
            "AJP614",
            "secretRequired=\"false\" useBodyEncodingForURI=\"true\"",
            "secretRequired=\"false\" useBodyEncodingForURI=\"false\"",
        ),
        pair(
            "AJP101",
            (LINE, "secret=\"x7\""),
            (
                "ProxyPass /app ajp://127.0.0.1:8009/app secret=x7",
                "secret=\"x7\"",
            ),
        ),
        pair(
            "AJP102",
            (
                "ProxyPass /app ajp://127.0.0.1:8009/app secret=y7",
                "secret=\"x7\"",
            ),
            (
                "ProxyPass /app ajp://127.0.0.1:8009/app secret=y7",
                "secret=\"${of.elsewhere}\"",
            ),
        ),
        connector("AJP103", "packetSize=\"8192\"", OPEN),
        pair(
            "AJP104",
            ("ProxyPass /app ajp://127.0.0.1:8009/app secret=y7", OPEN),
            (
                "ProxyPass /app ajp://127.0.0.1:8009/app secret=y7",
                "secret=\"y7\"",
            ),
        ),
        connector(
            "AJP105",
            "secretRequired=\"false\" address=\"0.0.0.0\"",
            "secretRequired=\"false\" address=\"::1\"",
        ),
        connector("AJP106", "requiredSecret=\"x7\"", "secret=\"x7\""),
        httpd(
            "AJP107",
            &format!("{LINE} secret={}", "x".repeat(64)),
            &format!("{LINE} secret={}", "x".repeat(63)),
        ),
        connector("AJP108", "secret=\"changeit\"", "secret=\"41f9a0\""),
        connector(
            "AJP110",
            "secret=\"x7\" allowedRequestAttributesPattern=\".*\"",
            "secret=\"x7\" allowedRequestAttributesPattern=\"SHIB_.*\"",
        ),
        connector(
            "AJP111",
            "secretRequired=\"false\" tomcatAuthentication=\"false\"",
            "secret=\"x7\" tomcatAuthentication=\"false\"",
        ),
        pair(
            "AJP151",
            ("ProxyPass /app ajp://10.0.0.5:8009/app", OPEN),
            (
                "ProxyPass /app ajp://10.0.0.5:8009/app secret=x7",
                "secret=\"x7\" address=\"10.0.0.5\"",
            ),
        ),
        pair(
            "AJP152",
            ("ProxyPass /app ajp://[::1]:8009/app", OPEN),
            (
                "ProxyPass /app ajp://[::1]:8009/app",
                "secretRequired=\"false\" address=\"::1\"",
            ),
        ),
        Case {
            code: "AJP153",
            bad: vec![
                (
                    "httpd.conf",
                    "ProxyPass /app ajp://127.0.0.1:8080/app".to_owned(),
                ),
                (
                    "server.xml",
                    tomcat("secret=\"x7\"/>\n<Connector port=\"8080\"", "", ""),
                ),
            ],
            good: vec![
                (
                    "httpd.conf",
                    "ProxyPass /app http://127.0.0.1:8080/app".to_owned(),
                ),
                (
                    "server.xml",
                    tomcat("secret=\"x7\"/>\n<Connector port=\"8080\"", "", ""),
                ),
            ],
        },
        pair(
            "AJP154",
            ("ProxyPass /app http://127.0.0.1:8009/app", OPEN),
            (LINE, OPEN),
        ),
        pair("AJP155", (LINE, "none"), (LINE, OPEN)),
        connector(
            "AJP156",
            "secret=\"x7\"/>\n<Connector port=\"8009\"",
            "secret=\"x7\"/>\n<Connector port=\"8080\"",
        ),
        connector(
            "AJP157",
            "secret=\"x7\" SSLEnabled=\"true\"",
            "secret=\"x7\" scheme=\"https\" secure=\"true\"",
        ),
        pair(
            "AJP201",
            (&format!("ProxyIOBufferSize 65536\n{LINE}"), OPEN),
            (
                &format!("ProxyIOBufferSize 65536\n{LINE}"),
                "secretRequired=\"false\" packetSize=\"65536\"",
            ),
        ),
        pair(
            "AJP202",
            (LINE, "secretRequired=\"false\" packetSize=\"65536\""),
            (LINE, "secretRequired=\"false\" packetSize=\"${size}\""),
        ),
        httpd(
            "AJP203",
            &format!("{LINE} iobuffersize=65536"),
            &format!("ProxyIOBufferSize 65536\n{LINE} iobuffersize=65536"),
        ),
        connector(
            "AJP204",
            "secret=\"x7\" packetSize=\"10000\"",
            "secret=\"x7\" packetSize=\"16384\"",
        ),
        httpd(
            "AJP205",
            &format!("LimitRequestFieldSize 32768\n{LINE}"),
            &format!("LimitRequestFieldSize 32768\nProxyIOBufferSize 65536\n{LINE}"),
        ),
        httpd(
            "AJP206",
            &format!("<VirtualHost *:443>\nSSLVerifyClient require\n{LINE}\n</VirtualHost>"),
            &format!("<VirtualHost *:443>\nSSLVerifyClient none\n{LINE}\n</VirtualHost>"),
        ),
        pair(
            "AJP301",
            (
                &format!("MaxRequestWorkers 400\n{LINE}"),
                "secretRequired=\"false\" maxThreads=\"200\"",
            ),
            (
                &format!("MaxRequestWorkers 400\n{LINE} max=5"),
                "secretRequired=\"false\" maxThreads=\"200\"",
            ),
        ),
        pair(
            "AJP302",
            (
                &format!("MaxRequestWorkers 400\n{LINE}"),
                "secretRequired=\"false\" maxConnections=\"100\" maxThreads=\"500\"",
            ),
            (
                &format!("MaxRequestWorkers 400\n{LINE}"),
                "secretRequired=\"false\" maxConnections=\"500\" maxThreads=\"500\"",
            ),
        ),
        httpd(
            "AJP303",
            &format!("ThreadsPerChild 25\n{LINE} max=10"),
            &format!("ThreadsPerChild 25\n{LINE} max=10 acquire=2000"),
        ),
        jk(
            "AJP304",
            (
                "ThreadsPerChild 25\n",
                &format!("{one}worker.w.connection_pool_size=10\n"),
            ),
            (
                "ThreadsPerChild 25\n",
                &format!("{one}worker.w.connection_pool_size=25\n"),
            ),
        ),
        connector(
            "AJP305",
            "secret=\"x7\" executor=\"e\" maxThreads=\"10\"",
            "secret=\"x7\" maxThreads=\"10\"",
        ),
        httpd(
            "AJP306",
            &format!("{LINE} disablereuse=On"),
            &format!("{LINE} disablereuse=Off"),
        ),
        httpd(
            "AJP307",
            &format!("{LINE} max=10 smax=20"),
            &format!("{LINE} max=10 smax=5"),
        ),
        pair(
            "AJP401",
            (LINE, "secretRequired=\"false\" keepAliveTimeout=\"30000\""),
            (
                &format!("{LINE} ttl=20 smax=0"),
                "secretRequired=\"false\" keepAliveTimeout=\"30000\"",
            ),
        ),
        workers(
            "AJP402",
            &format!("{one}worker.w.reply_timeout=60\n"),
            &format!("{one}worker.w.reply_timeout=60000\n"),
        ),
        connector(
            "AJP403",
            "secret=\"x7\" connectionTimeout=\"20\"",
            "secret=\"x7\" connectionTimeout=\"60000\"",
        ),
        workers("AJP404", lb, &format!("{lb}{safe}")),
        with(
            "AJP405",
            balancer(
                "BalancerMember ajp://127.0.0.1:8009 route=a\nBalancerMember ajp://127.0.0.1:8109 route=b",
                sticky,
            ),
            balancer(two, sticky),
        ),
        connector(
            "AJP406",
            "secret=\"x7\" connectionTimeout=\"20000\"",
            "secret=\"x7\" connectionTimeout=\"20000\" keepAliveTimeout=\"60000\"",
        ),
        Case {
            code: "AJP501",
            bad: of(balancer(two, sticky), "jvmRoute=\"jvm1\"", ""),
            good: of(balancer(two, sticky), "jvmRoute=\"a\"", ""),
        },
        Case {
            code: "AJP502",
            bad: of(balancer(two, sticky), "", ""),
            good: of(balancer(two, sticky), "jvmRoute=\"a\"", ""),
        },
        with(
            "AJP503",
            balancer(
                "BalancerMember ajp://127.0.0.1:8009 ping=1\nBalancerMember ajp://127.0.0.1:8109 ping=1",
                sticky,
            ),
            balancer(two, sticky),
        ),
        with(
            "AJP504",
            balancer(
                "BalancerMember ajp://127.0.0.1:8009 route=a ping=1\nBalancerMember ajp://127.0.0.1:8109 route=a ping=1",
                sticky,
            ),
            balancer(two, sticky),
        ),
        Case {
            code: "AJP505",
            bad: vec![
                ("a.xml", tomcat(OPEN, "jvmRoute=\"a\"", "")),
                ("b.xml", tomcat(OPEN, "jvmRoute=\"a\"", "")),
            ],
            good: vec![
                ("a.xml", tomcat(OPEN, "jvmRoute=\"a\"", "")),
                ("b.xml", tomcat(OPEN, "jvmRoute=\"b\"", "")),
            ],
        },
        with(
            "AJP506",
            balancer(two, ""),
            balancer("BalancerMember ajp://127.0.0.1:8009 route=a", ""),
        ),
        with(
            "AJP507",
            balancer(two, "stickysession=JSESSIONID"),
            balancer(two, sticky),
        ),
        Case {
            code: "AJP508",
            bad: of(
                balancer(two, sticky),
                "jvmRoute=\"a\"",
                "<Host><Context sessionCookieName=\"SID\"/></Host>",
            ),
            good: of(
                balancer(two, "stickysession=SID|jsessionid"),
                "jvmRoute=\"a\"",
                "<Host><Context sessionCookieName=\"SID\"/></Host>",
            ),
        },
        httpd(
            "AJP509",
            "ProxyPass /shop ajp://127.0.0.1:8009/app",
            "ProxyPass /shop ajp://127.0.0.1:8009/app\nProxyPassReverseCookiePath /app /shop",
        ),
        with(
            "AJP510",
            balancer(&two.replace("route=a", "route=a redirect=c"), sticky),
            balancer(&two.replace("route=a", "route=a redirect=b"), sticky),
        ),
        pair(
            "AJP601",
            (&format!("SetEnv AJP_TENANT blue\n{LINE}"), OPEN),
            (
                &format!("SetEnv AJP_TENANT blue\n{LINE}"),
                "secretRequired=\"false\" allowedRequestAttributesPattern=\"TEN.*\"",
            ),
        ),
        Case {
            code: "AJP602",
            bad: vec![
                ("httpd.conf", format!("SetEnv AJP_TENANT blue\n{LINE}")),
                ("standalone.xml", wildfly("")),
            ],
            good: vec![
                ("httpd.conf", format!("SetEnv AJP_TENANT blue\n{LINE}")),
                (
                    "standalone.xml",
                    wildfly("allowed-request-attributes-pattern=\"TENANT\""),
                ),
            ],
        },
        pair(
            "AJP603",
            (
                &format!("<Location /app>\nAuthType Basic\n</Location>\n{LINE}"),
                OPEN,
            ),
            (
                &format!("<Location /other>\nAuthType Basic\n</Location>\n{LINE}"),
                OPEN,
            ),
        ),
        connector(
            "AJP604",
            "secret=\"x7\" tomcatAuthentication=\"false\" tomcatAuthorization=\"true\"",
            "secret=\"x7\" tomcatAuthorization=\"true\"",
        ),
        connector(
            "AJP605",
            "secret=\"x7\" URIEncoding=\"ISO-8859-1\"",
            "secret=\"x7\" URIEncoding=\"utf-8\"",
        ),
        connector(
            "AJP606",
            "secret=\"x7\" enableLookups=\"true\"",
            "secret=\"x7\" enableLookups=\"false\"",
        ),
        pair(
            "AJP607",
            (
                &format!("Listen 443\n{LINE}"),
                "secretRequired=\"false\" redirectPort=\"8443\"",
            ),
            (
                &format!("Listen 8443\n{LINE}"),
                "secretRequired=\"false\" redirectPort=\"8443\"",
            ),
        ),
        Case {
            code: "AJP608",
            bad: of(
                LINE.to_owned(),
                "",
                "<Host><Context><Valve className=\"org.apache.catalina.valves.RemoteAddrValve\" allow=\"127\\.\\d+\\.\\d+\\.\\d+|::1\"/></Context></Host>",
            ),
            good: of(
                LINE.to_owned(),
                "",
                "<Host><Context><Valve className=\"org.apache.catalina.valves.RemoteAddrValve\" allow=\"10\\..*\"/></Context></Host>",
            ),
        },
        httpd(
            "AJP609",
            "JkOptions +ForwardURICompat\nJkMount / w\nJkWorkerProperty worker.list=w",
            "JkOptions +ForwardURIProxy\nJkMount / w\nJkWorkerProperty worker.list=w",
        ),
        connector(
            "AJP610",
            "secret=\"x7\" allowedRequestAttributesPattern=\"*\"",
            "secret=\"x7\" allowedRequestAttributesPattern=\"(?!x)A.*\"",
        ),
        httpd(
            "AJP701",
            &format!("{LINE}\nProxyPass /app/private !"),
            &format!("ProxyPass /app/private !\n{LINE}"),
        ),
        httpd(
            "AJP702",
            "ProxyPass /app/ ajp://127.0.0.1:8009/app",
            "ProxyPass /app/ ajp://127.0.0.1:8009/app/\nProxyPass / ajp://127.0.0.1:8009",
        ),
        jk(
            "AJP703",
            ("JkMount /* other\n", one),
            ("JkMount /* w\n", one),
        ),
        httpd(
            "AJP704",
            "ProxyPass /app balancer://none/app",
            "<Proxy balancer://b>\nBalancerMember http://127.0.0.1:8080\n</Proxy>\nProxyPass /app balancer://b/app",
        ),
        workers("AJP705", &lb.replace("worker.b.port=8109\n", ""), lb),
        jk(
            "AJP706",
            ("JkMount /app/* w\n", one),
            ("JkMount /app|/* w\n", one),
        ),
        // What is taken away from another worker is not mounted either.
        jk(
            "AJP706",
            ("JkMount /app/* w\nJkUnMount /app other\n", one),
            ("JkMount /app/* w\nJkUnMount /app w\n", one),
        ),
        jk(
            "AJP706",
            ("JkMount /app/* w\nJkUnMount /app other\n", one),
            ("JkMount /app/* w\nJkUnMount /app *\n", one),
        ),
        httpd(
            "AJP707",
            "<Location /bm>\nSetHandler balancer-manager\n</Location>",
            "<Location /bm>\nSetHandler balancer-manager\nRequire ip 10.0.0.1\n</Location>",
        ),
        httpd("AJP708", "ProxyRequests On", "ProxyRequests Off"),
        workers(
            "AJP709",
            &format!("{one}worker.w.rply_timeout=60000\n"),
            &format!("{one}worker.w.reply_timeout=60000\nworker.maintain=60\n"),
        ),
        workers(
            "AJP710",
            &format!("{one}worker.w.cachesize=10\n"),
            &format!("{one}worker.w.connection_pool_size=10\n"),
        ),
        connector(
            "AJP711",
            "secret=\"x7\" packetsize=\"65536\"",
            "secret=\"x7\" packetSize=\"65536\" custom=\"1\"",
        ),
        httpd(
            "AJP712",
            &format!("{LINE}\nProxyPass /app/more ajp://127.0.0.1:8009/app/more secret=x7")
                .replace("ProxyPass /app ", "ProxyPass /appl "),
            "ProxyPass /a ajp://127.0.0.1:8009/a secret=x7\nProxyPass /b ajp://127.0.0.1:8009/b secret=y7",
        ),
        httpd(
            "AJP713",
            &format!("LoadModule proxy_module p.so\n{LINE}"),
            &format!("LoadModule proxy_module p.so\nLoadModule proxy_ajp_module a.so\n{LINE}"),
        ),
        httpd(
            "AJP714",
            &format!("{LINE} upgrade=websocket"),
            "ProxyPass /ws http://127.0.0.1:8080/ws upgrade=websocket",
        ),
        workers(
            "AJP715",
            "worker.list=w\nworker.w.type=ajp12\n",
            "worker.list=w\nworker.w.type=ajp13\n",
        ),
        with(
            "AJP801",
            balancer(&two.replace("ping=1", "ping=1 hcmethod=GET"), sticky),
            balancer(&two.replace("ping=1", "ping=1 hcmethod=CPING"), sticky),
        ),
        with(
            "AJP802",
            balancer(two, &format!("{sticky} failonstatus=500,503")),
            balancer(two, &format!("{sticky} failonstatus=503")),
        ),
        with(
            "AJP803",
            balancer(&two.replace("ping=1", "status=+H"), sticky),
            balancer(&two.replacen("ping=1", "ping=1 status=+H", 1), sticky),
        ),
        workers("AJP804", lb, &format!("{lb}{safe}")),
        with(
            "AJP805",
            balancer(&two.replace("ping=1", "ping=1 loadfactor=200"), sticky),
            balancer(
                &two.replace("ping=1", "ping=1 loadfactor=100 lbset=1"),
                sticky,
            ),
        ),
        httpd(
            "AJP806",
            &format!("{LINE} retry=300"),
            &format!("{LINE} retry=1"),
        ),
    ]
}

#[test]
fn every_rule_finds_its_fault_and_nothing_where_there_is_none() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for Case { code, bad, good } in cases() {
        seen.insert(code.to_owned());
        for (files, is_bad) in [(bad, true), (good, false)] {
            let dir = tempfile::tempdir().unwrap();
            let files: Vec<(&str, &str)> =
                files.iter().map(|(name, text)| (*name, &**text)).collect();
            let found = findings(&write(&dir, &files), &[]);
            let is_found = found.iter().any(|(known, ..)| known == code);
            if is_found != is_bad {
                wrong.push(format!(
                    "{code}: {}: {found:?}\n{files:?}",
                    if is_bad {
                        "not found"
                    } else {
                        "found where it is not"
                    }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // By the mode of the file: below.
    seen.insert("AJP109".to_owned());
    let rules = ajp(&["lint", "--rules"]);
    let all: BTreeSet<String> = rules
        .ok()
        .lines()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert!(all.len() >= 40, "{}", all.len());
    assert_eq!(all, seen, "every rule has a test");
}

#[test]
fn a_secret_that_everybody_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let paths = write(&dir, &[("server.xml", &tomcat("secret=\"x7\"", "", ""))]);
    assert_eq!(findings(&paths, &[]), []);
    std::fs::set_permissions(&paths[0], std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        findings(&paths, &[]),
        [("AJP109".to_owned(), "server.xml".to_owned(), 3)]
    );
}

/// A file in which nothing is known is not a file without faults.
#[test]
fn what_was_not_looked_at_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let nginx = "user www-data;\ninclude /etc/nginx/modules-enabled/*.conf;\nhttp {\n  include \
        /etc/nginx/mime.types;\n  server {\n    listen 80;\n  }\n}\n";
    let unknown = [
        (
            "passwd",
            "root:x:0:0:root:/root:/bin/bash\nuser:x:1:1::/:/bin/sh\n",
        ),
        ("hosts", "127.0.0.1 localhost\n"),
        ("nginx.conf", nginx),
        ("empty.conf", ""),
        ("empty.properties", "\n"),
        ("empty.toml", "\n"),
    ];
    for path in write(&dir, &unknown) {
        let name = Path::new(&path)
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(findings(&[&path], &[]), [("AJP004".to_owned(), name, 1)]);
    }
    assert_eq!(ajp(&["lint", "/etc/passwd"]).code, 1);
    let known = [
        (
            "ports.conf",
            "Listen 80\n<IfModule ssl_module>\nListen 443\n</IfModule>\n",
        ),
        ("later.conf", "# nothing yet\n"),
    ];
    assert_eq!(findings(&write(&dir, &known), &[]), []);
    // As Tomcat reads it: in UTF-16, too.
    let xml = tomcat("secret=\"x7\" packetSize=\"100\"", "", "");
    let paths = write(&dir, &[("server.xml", &xml)]);
    let plain = findings(&paths, &[]);
    assert!(!plain.is_empty());
    let units = format!("\u{feff}{xml}").encode_utf16().collect::<Vec<_>>();
    let bytes: Vec<u8> = units.into_iter().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&paths[0], bytes).unwrap();
    assert_eq!(findings(&paths, &[]), plain);
}

#[test]
fn every_rule_tells_why_and_whence() {
    let rules = ajp(&["lint", "--rules"]);
    for line in rules.ok().lines() {
        let code = line.split(' ').next().unwrap();
        let told = ajp(&["lint", "--explain", code]);
        for part in ["why:", "users see:", "instead:", "affects:", "source:"] {
            let line = told.ok().lines().find(|line| line.starts_with(part));
            let line = line.unwrap_or_else(|| panic!("{code}: {part}"));
            assert!(line.len() > part.len() + 8, "{code}: {line}");
        }
    }
    let unknown = ajp(&["lint", "--explain", "AJP999"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
}

#[test]
fn values_that_are_not_known_are_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let xml = tomcat(
        "secret=\"${ajp.secret}\" packetSize=\"${ajp.size}\"",
        "",
        "",
    );
    let conf = "ProxyPass /app ajp://127.0.0.1:8009/app secret=y7";
    let paths = write(&dir, &[("httpd.conf", conf), ("server.xml", &xml)]);
    assert_eq!(findings(&paths, &[]), []);
    // Told, they are.
    let told = findings(
        &paths,
        &[
            "--property",
            "ajp.secret=x7",
            "--property",
            "ajp.size=65536",
        ],
    );
    let codes: Vec<_> = told.iter().map(|(code, ..)| &**code).collect();
    assert_eq!(codes, ["AJP102", "AJP202"]);
    // As Tomcat finds them itself.
    write(
        &dir,
        &[("catalina.properties", "ajp.secret=y7\najp.size=8192\n")],
    );
    assert_eq!(findings(&paths, &[]), []);
}
