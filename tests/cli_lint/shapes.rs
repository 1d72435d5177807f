//! Files as projects ship them, and in the shapes that real farms use.

use super::{findings, write};
use std::path::Path;

#[test]
fn files_of_debian_have_only_what_they_deserve() {
    let existing = |paths: &[&str]| -> Vec<String> {
        let known = paths.iter().filter(|path| Path::new(path).exists());
        known.map(|path| (*path).to_owned()).collect()
    };
    let tomcat = existing(&["/etc/tomcat10/server.xml", "/etc/tomcat10/context.xml"]);
    assert_eq!(findings(&tomcat, &[]), []);
    let modules = existing(&[
        "/etc/apache2/mods-available/proxy.conf",
        "/etc/apache2/mods-available/proxy_html.conf",
        "/etc/apache2/mods-available/status.conf",
        "/etc/apache2/sites-available/000-default.conf",
    ]);
    assert_eq!(findings(&modules, &[]), []);
    let workers = existing(&["/etc/libapache2-mod-jk/workers.properties"]);
    assert_eq!(findings(&workers, &[]), []);
    // It mounts workers that its workers.properties does not list, and they answer 500.
    let jk = existing(&["/etc/apache2/mods-available/jk.conf"]);
    let codes: Vec<_> = findings(&jk, &[])
        .into_iter()
        .map(|(code, ..)| code)
        .collect();
    assert_eq!(codes, ["AJP703", "AJP703"]);
}

#[test]
fn debian_as_a_whole_has_only_what_it_deserves() {
    let whole = [
        "/etc/apache2/mods-available/jk.conf",
        "/etc/libapache2-mod-jk/workers.properties",
        "/etc/tomcat10/server.xml",
    ];
    for path in whole {
        assert!(Path::new(path).exists(), "{path}");
    }
    let codes = |paths: &[&str]| -> Vec<String> {
        let found = findings(paths, &[]).into_iter();
        found.map(|(code, ..)| code).collect()
    };
    // Nothing is mounted on its worker, so nobody misses Tomcat's connector.
    assert_eq!(codes(&whole), ["AJP703", "AJP703"]);
    // Without httpd's files it is not known what is mounted, and whoever gives both files wants them
    // to work together: they do not, for Debian's Tomcat has its AJP connector commented out.
    assert_eq!(codes(&whole[1..]), ["AJP155"]);
    // With a mount it is missed, wherever that is written.
    let dir = tempfile::tempdir().unwrap();
    let map = write(
        &dir,
        &[("uriworkermap.properties", "/app|/*=ajp13_worker\n")],
    );
    assert_eq!(codes(&[whole[1], whole[2], &map[0]]), ["AJP155"]);
}

#[test]
fn files_of_this_project_are_clean() {
    for file in [
        "examples/axum_behind_httpd/proxy_ajp.conf",
        "examples/axum_behind_httpd/mod_jk.conf",
    ] {
        assert_eq!(findings(&[file], &[]), [], "{file}");
    }
}

/// A farm in the shape of its files, and exactly what is found.
#[track_caller]
fn shape(files: &[(&str, &str)], expected: &[(&str, &str, u64)]) {
    let dir = tempfile::tempdir().unwrap();
    let found = findings(&write(&dir, files), &[]);
    let found: Vec<_> = found
        .iter()
        .map(|(code, file, line)| (&**code, &**file, *line))
        .collect();
    assert_eq!(found, expected);
}

const TOMCAT: &str = "<Server port=\"8005\">\n<Service name=\"Catalina\">\n\
    <Connector port=\"8080\" protocol=\"HTTP/1.1\" connectionTimeout=\"20000\" redirectPort=\"8443\"/>\n\
    <Connector protocol=\"AJP/1.3\" address=\"::1\" port=\"8009\" secret=\"k41f\" redirectPort=\"443\"/>\n\
    <Engine name=\"Catalina\" defaultHost=\"localhost\" jvmRoute=\"jvm1\">\n<Host name=\"localhost\"/>\n</Engine>\n</Service>\n</Server>\n";

#[test]
fn one_site_and_one_container() {
    shape(
        &[
            (
                "site.conf",
                "<VirtualHost *:443>\nServerName a.example\nProxyPass / ajp://[::1]:8009/ secret=k41f\nProxyPassReverse / ajp://[::1]:8009/\n</VirtualHost>\n",
            ),
            ("server.xml", TOMCAT),
        ],
        &[],
    );
    // What goes wrong first: the address, and the secret of an older guide.
    shape(
        &[
            (
                "site.conf",
                "<VirtualHost *:443>\nProxyPass / ajp://127.0.0.1:8009/\n</VirtualHost>\n",
            ),
            ("server.xml", TOMCAT),
        ],
        &[("AJP101", "site.conf", 2), ("AJP152", "site.conf", 2)],
    );
}

#[test]
fn a_farm_of_mod_proxy() {
    let conf = "\
        <Proxy balancer://shop>\n\
        BalancerMember ajp://[::1]:8009 route=jvm1 loadfactor=2 secret=k41f ping=1\n\
        BalancerMember ajp://[::1]:8109 route=jvm2 secret=k41f ping=1\n\
        BalancerMember ajp://[::1]:8209 route=jvm3 secret=k41f ping=1 status=+H\n\
        ProxySet lbmethod=byrequests stickysession=JSESSIONID|jsessionid\n\
        </Proxy>\n\
        ProxyPass /server-status !\n\
        ProxyPass /shop balancer://shop/shop\n";
    shape(&[("farm.conf", conf), ("server.xml", TOMCAT)], &[]);
    let wrong = conf.replace("route=jvm1", "route=node1");
    shape(
        &[("farm.conf", &wrong), ("server.xml", TOMCAT)],
        &[("AJP501", "farm.conf", 2)],
    );
}

#[test]
fn a_farm_of_mod_jk() {
    let workers = "\
        worker.list=balance\n\
        worker.base.type=ajp13\n\
        worker.base.secret=k41f\n\
        worker.base.socket_timeout=300\n\
        worker.base.ping_mode=A\n\
        worker.base.recovery_options=7\n\
        worker.node1.reference=worker.base\n\
        worker.node1.host=::1\n\
        worker.node1.route=jvm1\n\
        worker.node2.reference=worker.base\n\
        worker.node2.host=::1\n\
        worker.node2.port=8109\n\
        worker.balance.type=lb\n\
        worker.balance.balance_workers=node1,node2\n";
    let map = "/docs|/*=balance\n!/docs/private/*=balance\n";
    shape(
        &[
            ("workers.properties", workers),
            ("uriworkermap.properties", map),
            ("server.xml", TOMCAT),
        ],
        &[],
    );
    // The worker's name is its route when it has none.
    let wrong = workers.replace("worker.node1.route=jvm1\n", "");
    shape(
        &[
            ("workers.properties", &wrong),
            ("uriworkermap.properties", map),
            ("server.xml", TOMCAT),
        ],
        &[("AJP501", "workers.properties", 8)],
    );
}

#[test]
fn sites_of_a_macro() {
    let conf = "\
        <Macro Site $name $port $secret>\n\
        <VirtualHost *:443>\n\
        ServerName $name.example\n\
        ProxyPass / ajp://[::1]:$port/ secret=$secret\n\
        </VirtualHost>\n\
        </Macro>\n\
        Use Site one 8009 k41f\n\
        Use Site two 8009 old\n";
    shape(
        &[("sites.conf", conf), ("server.xml", TOMCAT)],
        &[("AJP102", "sites.conf", 4)],
    );
}

#[test]
fn the_gateway_before_two_containers() {
    let toml = "\
        listen = \"127.0.0.1:8080\"\n\
        [[balancer]]\n\
        name = \"app\"\n\
        sticky = \"JSESSIONID|jsessionid\"\n\
        secret_file = \"ajp.secret\"\n\
        packet_size = 65536\n\
        max_connections = 300\n\
        [[balancer.member]]\n\
        url = \"ajp://[::1]:8009\"\n\
        route = \"jvm1\"\n\
        [[balancer.member]]\n\
        url = \"ajp://[::1]:8109\"\n\
        route = \"jvm2\"\n\
        [[map]]\n\
        path = \"/app\"\n\
        to = \"balancer://app/app\"\n";
    shape(
        &[("gateway.toml", toml), ("server.xml", TOMCAT)],
        &[("AJP201", "gateway.toml", 6), ("AJP301", "server.xml", 4)],
    );
    // What is learned differs from nothing.
    for size in ["8192", "65536"] {
        let toml = toml.replace("packet_size = 65536", "packet_size = \"auto\"");
        let xml = TOMCAT.replace("secret=", &format!("packetSize=\"{size}\" secret="));
        shape(
            &[("gateway.toml", &toml), ("server.xml", &xml)],
            &[("AJP301", "server.xml", 4)],
        );
    }
}

#[test]
fn wildfly_behind_httpd() {
    let xml = "\
        <server xmlns=\"urn:jboss:domain:20.0\">\n<profile>\n\
        <subsystem xmlns=\"urn:jboss:domain:undertow:14.0\" instance-id=\"wf1\">\n<server name=\"s\">\n\
        <ajp-listener name=\"ajp\" socket-binding=\"ajp\" max-ajp-packet-size=\"65536\" no-request-timeout=\"30000\"/>\n\
        </server>\n</subsystem>\n</profile>\n\
        <interfaces>\n<interface name=\"public\">\n<any-address/>\n</interface>\n</interfaces>\n\
        <socket-binding-group name=\"g\" default-interface=\"public\" port-offset=\"${jboss.socket.binding.port-offset:100}\">\n\
        <socket-binding name=\"ajp\" port=\"8009\"/>\n</socket-binding-group>\n</server>\n";
    shape(
        &[
            (
                "site.conf",
                "ProxyPass /app ajp://10.0.0.7:8109/app secret=k41f\n",
            ),
            ("standalone.xml", xml),
        ],
        &[
            ("AJP104", "site.conf", 1),
            ("AJP202", "site.conf", 1),
            ("AJP401", "site.conf", 1),
            ("AJP105", "standalone.xml", 5),
        ],
    );
}

/// The worker's own size goes before that of its site, and that before the server's.
#[test]
fn packet_sizes_of_a_server_a_site_and_a_worker() {
    let xml = TOMCAT.replace("secret=", "packetSize=\"65536\" secret=");
    let way = "ProxyPass / ajp://[::1]:8009/ secret=k41f";
    let check = |server: &str, site: &str, worker: &str, expected: &[(&str, &str, u64)]| {
        let conf = format!(
            "{server}\n<VirtualHost *:443>\nServerName a\n{site}\n{way} {worker}\n</VirtualHost>\n\
             <VirtualHost *:444>\nServerName b\nProxyIOBufferSize 16384\n</VirtualHost>\n"
        );
        shape(&[("site.conf", &conf), ("server.xml", &xml)], expected);
    };
    let (large, small) = ("ProxyIOBufferSize 65536", "ProxyIOBufferSize 8192");
    let cut = ("AJP202", "site.conf", 4);
    let by_worker = ("AJP203", "site.conf", 5);
    check("", "", "", &[("AJP202", "site.conf", 5)]);
    check(large, "", "", &[]);
    check(small, large, "", &[]);
    check(large, small, "", &[cut]);
    check(large, "", "iobuffersize=65536", &[]);
    check("", "", "iobuffersize=65536", &[by_worker]);
    check(small, large, "iobuffersize=65536", &[]);
    check(
        large,
        "",
        "iobuffersize=8192",
        &[("AJP202", "site.conf", 5), by_worker],
    );
}

#[test]
fn shibboleth_and_a_user_of_httpd() {
    let conf = "\
        <VirtualHost *:443>\n\
        <Location /app>\n\
        AuthType shibboleth\n\
        ShibRequestSetting requireSession 1\n\
        ShibRequestSetting attributePrefix AJP_\n\
        Require valid-user\n\
        </Location>\n\
        ProxyPass /app ajp://[::1]:8009/app secret=k41f\n\
        </VirtualHost>\n";
    shape(
        &[("shib.conf", conf), ("server.xml", TOMCAT)],
        &[("AJP603", "shib.conf", 3), ("AJP601", "shib.conf", 5)],
    );
    let xml = TOMCAT.replace(
        "secret=\"k41f\"",
        "secret=\"k41f\" tomcatAuthentication=\"false\" allowedRequestAttributesPattern=\"Shib-.*|eppn\"",
    );
    shape(&[("shib.conf", conf), ("server.xml", &xml)], &[]);
}

#[test]
fn a_path_with_and_without_what_is_below_it() {
    let workers = "worker.list=node1\nworker.node1.host=::1\nworker.node1.secret=k41f\nworker.node1.reply_timeout=60000\nworker.node1.ping_mode=A\n";
    let conf = "JkMount /app|/* node1\n<Location /app/admin>\nAuthType Basic\nRequire valid-user\n</Location>\n";
    shape(
        &[
            ("site.conf", conf),
            ("workers.properties", workers),
            ("server.xml", TOMCAT),
        ],
        // The section is below the path, however that is written.
        &[("AJP603", "site.conf", 3)],
    );
}

#[cfg(feature = "gateway")]
#[test]
fn secrets_and_sites_of_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let files = |secret: &str| {
        format!(
            "[[balancer]]\nname = \"app\"\nsecret_file = {secret}\nmax_connections = 100\n\
             [[balancer.member]]\nurl = \"ajp://[::1]:8009\"\n\
             [[site]]\nhosts = [\"shop.example\"]\n[[site.map]]\npath = \"/app\"\nto = \"balancer://app/app\"\n"
        )
    };
    let found = |secret: &str| {
        let paths = write(
            &dir,
            &[
                ("gateway.toml", &files(secret)),
                ("server.xml", TOMCAT),
                ("old", "k41f\n"),
                ("new", "s9x2\n"),
            ],
        );
        findings(&paths[..2], &[])
    };
    assert_eq!(found("\"old\""), []);
    // A file that cannot be read here may hold the secret.
    assert_eq!(found("\"elsewhere\""), []);
    let wrong = ("AJP102".to_owned(), "gateway.toml".to_owned(), 3);
    assert_eq!(found("\"new\""), [wrong]);
    // The file that everybody can read is the one with the secret.
    let path = dir.path().join("old");
    found("\"old\"");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let paths = ["gateway.toml", "server.xml"].map(|name| dir.path().join(name));
    let paths = paths.map(|path| path.to_str().unwrap().to_owned());
    assert_eq!(
        findings(&paths, &[]),
        [("AJP109".to_owned(), "old".to_owned(), 1)]
    );
}

#[test]
fn settings_of_maps_and_pools_of_the_gateway() {
    let toml = "\
        [[balancer]]\n\
        name = \"app\"\n\
        max_connections = 100\n\
        secret_file = \"elsewhere\"\n\
        [balancer.pool]\n\
        learn_keep_alive = false\n\
        cping = \"never\"\n\
        idle_timeout = \"60s\"\n\
        [[balancer.member]]\n\
        url = \"ajp://[::1]:8009\"\n\
        [[map]]\n\
        path = \"/app\"\n\
        to = \"balancer://app/app\"\n\
        attributes = { TENANT = \"shop\", AJP_REMOTE_PORT = \"1\" }\n\
        [[map]]\n\
        path = \"/files\"\n\
        to = \"ajp://[::1]:8009/files\"\n";
    let xml = TOMCAT.replace(
        "secret=\"k41f\"",
        "secret=\"k41f\" keepAliveTimeout=\"20000\"",
    );
    shape(
        &[("gateway.toml", toml), ("server.xml", &xml)],
        &[
            ("AJP401", "gateway.toml", 8),
            ("AJP601", "gateway.toml", 14),
            ("AJP101", "gateway.toml", 17),
        ],
    );
    let toml = toml
        .replace("learn_keep_alive = false\ncping = \"never\"\n", "")
        .replace(
            "to = \"ajp://[::1]:8009/files\"",
            "to = \"balancer://app/files\"",
        );
    let xml = xml.replace(
        "keepAliveTimeout",
        "allowedRequestAttributesPattern=\"TENANT\" keepAliveTimeout",
    );
    shape(&[("gateway.toml", &toml), ("server.xml", &xml)], &[]);
}

/// As Debian lays it out: what is enabled is included, and ports and names are variables.
#[test]
fn a_farm_in_many_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sites-enabled")).unwrap();
    for jvm in ["jvm1", "jvm2"] {
        std::fs::create_dir(dir.path().join(jvm)).unwrap();
    }
    let apache = "\
        ServerRoot \"ROOT\"\n\
        Define node1 10.0.0.1\n\
        Define node2 10.0.0.2\n\
        Include ports.conf\n\
        IncludeOptional sites-enabled/*.conf\n\
        IncludeOptional conf-enabled/*.conf\n";
    let shop = "\
        <VirtualHost *:443>\n\
        ServerName shop.example\n\
        <Proxy balancer://shop>\n\
        BalancerMember ajp://${node1}:8009 route=jvm1 secret=k41f ping=1 ttl=15\n\
        BalancerMember ajp://${node2}:8009 route=jvm2 secret=k41f ping=1 ttl=15\n\
        ProxySet stickysession=JSESSIONID|jsessionid\n\
        </Proxy>\n\
        ProxyPass /static !\n\
        ProxyPass /shop balancer://shop/shop\n\
        <IfDefine Old>\n\
        ProxyPass /old ajp://${node1}:8009/old\n\
        </IfDefine>\n\
        </VirtualHost>\n";
    let tomcat = |route: &str, address: &str, secret: &str| {
        format!(
            "<Server>\n<Service name=\"Catalina\">\n\
             <Connector protocol=\"AJP/1.3\" address=\"{address}\" port=\"${{ajp.port}}\" secret=\"{secret}\" keepAliveTimeout=\"20000\"/>\n\
             <Engine name=\"Catalina\" defaultHost=\"localhost\" jvmRoute=\"{route}\"/>\n</Service>\n</Server>\n"
        )
    };
    let apache = apache.replace("ROOT", dir.path().to_str().unwrap());
    let second = tomcat("jvm2", "10.0.0.2", "old");
    let (first, port) = (tomcat("jvm1", "10.0.0.1", "k41f"), "ajp.port=8009\n");
    let paths = write(
        &dir,
        &[
            ("apache2.conf", &apache),
            ("ports.conf", "Listen 443\n"),
            ("sites-enabled/shop.conf", shop),
            ("jvm1/server.xml", &first),
            ("jvm1/catalina.properties", port),
            ("jvm2/server.xml", &second),
            ("jvm2/catalina.properties", port),
        ],
    );
    let given = [&paths[0], &paths[3], &paths[5]];
    let wrong = ("AJP102".to_owned(), "shop.conf".to_owned(), 5);
    assert_eq!(findings(&given, &[]), [wrong]);
    let second = second.replace("\"old\"", "\"k41f\"");
    write(&dir, &[("jvm2/server.xml", &second)]);
    assert_eq!(findings(&given, &[]), []);
    // What a switch of the command line brings in is looked at with it.
    let old = findings(&given, &["--define", "Old"]);
    let codes: Vec<_> = old.iter().map(|(code, ..)| &**code).collect();
    assert!(codes.contains(&"AJP101"), "{old:?}");
}
