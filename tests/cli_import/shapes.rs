//! Shapes that real configurations have: exclusions, sites, rules of access, ways back.

use super::{ajp, assert_has_lines, assert_says, file, gateway, without_comments};
use crate::cli::serve;
use crate::support::http1::{Body, Client};

/// What a path leads to: the status or, of a container, the path that it was asked for.
async fn led(client: &mut Client, host: &str, path: &str) -> String {
    let headers = [("host", host)];
    let answer = client.request("GET", path, &headers, Body::None).await;
    if answer.status != 200 {
        return answer.status.as_str().to_owned();
    }
    let text = answer.text();
    let uri = text.lines().find_map(|line| line.strip_prefix("uri: "));
    uri.unwrap_or(text).to_owned()
}

#[tokio::test]
async fn exclusions_are_excluded() {
    let dir = tempfile::tempdir().unwrap();
    let (_one, one) = serve(&["--no-secret", "--route", "jvm1", "-q"]);
    let conf = format!(
        "ProxyRequests Off\nProxyPass /server-status !\nProxyPass /shop/internal !\n\
         ProxyPassMatch ^/shop/.*\\.(png|css)$ !\n\
         ProxyPass /shop balancer://shop/shop stickysession=JSESSIONID|jsessionid scolonpathdelim=On\n\
         ProxyPassReverse /shop balancer://shop/shop\n\
         ProxyPassMatch ^/user/(\\w+)$ balancer://shop/profile/$1\n\
         <Location /shop/closed>\nRequire all denied\n</Location>\n\
         <Proxy balancer://shop>\nBalancerMember {one} route=jvm1 retry=30\n</Proxy>\n"
    );
    let conf = file(&dir, "a.conf", &conf);
    let done = ajp(&["import", "--httpd", &conf]);
    assert_eq!(done.code, 0, "{done:?}");
    let gateway = gateway(&done).await;
    let mut client = gateway.client();
    for (path, leads) in [
        ("/shop/cart", "/shop/cart"),
        ("/shop/internal/x", "404"),
        ("/shop/a/b.png", "404"),
        ("/shop/a/b.pngx", "/shop/a/b.pngx"),
        ("/server-status", "404"),
        ("/shop/closed/x", "403"),
        ("/user/ann", "/profile/ann"),
        ("/user/ann/x", "404"),
        ("/shop/%69nternal/x", "404"),
        ("/shop/x/../internal/x", "404"),
        ("/shop/x/../cart", "/shop/cart"),
    ] {
        let to = led(&mut client, "a", path).await;
        assert_eq!(to, leads, "{path}\n{}", done.text());
    }
}

#[tokio::test]
async fn sites_and_ways_back() {
    let dir = tempfile::tempdir().unwrap();
    let (_one, one) = serve(&["--no-secret", "-q"]);
    let (_two, two) = serve(&["--no-secret", "-q"]);
    let conf = format!(
        "<VirtualHost *:80>\nServerName www.one.example\nServerAlias one.example\n\
         ProxyPass / {one}/one/\nProxyPassReverse / {one}/one/\n\
         ProxyPassReverseCookiePath /one /\n</VirtualHost>\n\
         <VirtualHost *:80>\nServerName two.example\n\
         ProxyPass /old {two}/legacy\n\
         ProxyPassReverse /old http://internal.example:8080/legacy\n\
         ProxyPassReverseCookieDomain internal.example two.example\n\
         LimitRequestBody 10485760\n</VirtualHost>\n"
    );
    let conf = file(&dir, "b.conf", &conf);
    let done = ajp(&["import", "--httpd", &conf]);
    assert_eq!(done.code, 1, "{done:?}");
    assert_says(
        &done,
        &[
            "b.conf:11: no equal: ProxyPassReverse /old http://internal.example:8080/legacy: ",
            "b.conf:12: no equal: ProxyPassReverseCookieDomain",
        ],
    );
    assert_has_lines(&done, &["max_body = 10485760"]);
    let hosts = "hosts = [\"www.one.example\", \"one.example\"]";
    assert_has_lines(&done, &[hosts, "default = true"]);
    // What maps nothing back there maps nothing back here.
    let text = done.text();
    assert_eq!(text.matches("location = false").count(), 1, "{text}");
    assert!(text.contains("b.conf:11: no equal: "), "a comment says so");
    let gateway = gateway(&done).await;
    let mut client = gateway.client();
    for (host, path, leads) in [
        ("one.example", "/x", "/one/x"),
        ("other.example", "/x", "/one/x"),
        ("two.example", "/old/x", "/legacy/x"),
        ("two.example", "/x", "404"),
    ] {
        let to = led(&mut client, host, path).await;
        assert_eq!(to, leads, "{host} {path}");
    }
}

/// A rule of access that would be lost stops the import.
#[test]
fn what_was_closed_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    for rule in [
        "Require ip 10.0.0.0/8",
        "Require valid-user",
        "Deny from 192.0.2.1",
        "AuthType Basic",
    ] {
        let conf = format!(
            "ProxyPass /app ajp://127.0.0.1:8009/app\n<Location /app/admin>\n{rule}\n</Location>\n"
        );
        let conf = file(&dir, "closed.conf", &conf);
        let done = ajp(&["import", "--httpd", &conf]);
        assert_eq!((done.code, done.text()), (1, ""), "{rule}: {done:?}");
        let parts = ["closed.conf:3: would be open: ", "nothing was written"];
        assert_says(&done, &parts);
        let forced = ajp(&["import", "--httpd", &conf, "--force"]);
        let toml = without_comments(&forced);
        assert!(toml.contains("path = \"/app\""), "{forced:?}");
        assert!(forced.text().contains("# "), "{forced:?}");
    }
    // Whatever else keeps somebody out.
    for (lines, why) in [
        (
            "RewriteCond %{REMOTE_ADDR} !^10\\.\nRewriteRule ^/app/admin - [F]",
            "refuses what",
        ),
        ("RewriteRule !^/app/public - [F]", "refuses what"),
        ("RewriteRule ^/app/(?!public) - [F]", "refuses what"),
        ("ProxyPassMatch ^/app/(?!public) !", "look-around"),
        ("ProxyPass /app/a//b !", "empty segment"),
        (
            "<Location /app>\n<Limit PUT>\nRequire all denied\n</Limit>\n</Location>",
            "methods",
        ),
        (
            "<Location /app>\nSSLVerifyClient require\n</Location>",
            "for a path",
        ),
        (
            "<Location /app>\nSSLRequireSSL\n</Location>",
            "at all listeners",
        ),
        (
            "<LocationMatch \"(?=x)\">\nRequire all denied\n</LocationMatch>",
            "look-around",
        ),
    ] {
        let conf = format!("{lines}\nProxyPass /app ajp://127.0.0.1:8009/app\n");
        let conf = file(&dir, "closed.conf", &conf);
        let done = ajp(&["import", "--httpd", &conf]);
        assert_eq!((done.code, done.text()), (1, ""), "{lines}: {done:?}");
        assert_says(&done, &["would be open: ", why]);
    }
    let granted = "ProxyPass /app ajp://127.0.0.1:8009/app\n<Location /app>\n\
                   Require all granted\n</Location>\n\
                   <Directory /srv>\nRequire all denied\n</Directory>\n";
    let conf = file(&dir, "granted.conf", granted);
    assert_eq!(ajp(&["import", "--httpd", &conf]).code, 0);
}

/// A virtual host that asks for certificates must not be served without, whatever it is
/// asked by.
#[test]
fn certificates_are_asked_for_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let site = |port: u16, name: &str, lines: &str| {
        format!(
            "<VirtualHost *:{port}>\nServerName {name}\n{lines}\n\
             ProxyPass /{name} ajp://127.0.0.1:8009/{name}\n</VirtualHost>\n"
        )
    };
    let tls = "SSLEngine on\nSSLCertificateFile /etc/site.pem\nSSLCACertificateFile /etc/ca.pem\n";
    let required = format!("{tls}SSLVerifyClient require");
    let import = |conf: &str| ajp(&["import", "--httpd", &file(&dir, "tls.conf", conf)]);
    for (conf, why) in [
        (
            site(443, "one", &required) + &site(80, "two", ""),
            "clients show no certificate",
        ),
        (
            site(443, "one", &required) + &site(443, "two", tls),
            "asks all of them alike",
        ),
    ] {
        let done = import(&conf);
        assert_eq!((done.code, done.text()), (1, ""), "{done:?}");
        assert_says(&done, &["would be open: ", why]);
    }
    let done = import(&site(443, "one", &required));
    assert_eq!(done.code, 0, "{done:?}");
    let lines = [
        "    { certificate = \"/etc/site.pem\", key = \"/etc/site.pem\" },",
        "client_ca = \"/etc/ca.pem\"",
        "client_certificate = \"required\"",
        "client_depth = 1",
    ];
    assert_has_lines(&done, &lines);
    // httpd takes it in any case.
    let other_case = required.replace("require", "Require\nSSLVerifyDepth 3");
    let done = import(&site(443, "one", &other_case));
    assert_eq!(done.code, 0, "{done:?}");
    let deeper = [lines[0], lines[1], lines[2], "client_depth = 3"];
    assert_has_lines(&done, &deeper);
    let done = import(&site(443, "one", &required));
    assert!(!done.text().starts_with("listen = "), "{}", done.text());

    // A name that httpd serves over both is served over both, whichever stands first.
    let (plain, with) = (site(80, "one", ""), site(443, "one", &required));
    for conf in [format!("{plain}{with}"), format!("{with}{plain}")] {
        let done = import(&conf);
        assert_eq!(done.code, 0, "{done:?}");
        assert_has_lines(&done, &lines);
        assert_eq!(done.text().matches("[[map]]").count(), 1, "{}", done.text());
        assert!(done.text().starts_with("listen = "), "{}", done.text());
    }
    // But not what it serves to those alone who show a certificate.
    let more = with.replace("</V", "ProxyPass /more ajp://127.0.0.1:8009/more\n</V");
    let done = import(&(more + &plain));
    assert_eq!((done.code, done.text()), (1, ""), "{done:?}");
    assert_says(&done, &["would be open: ", "served here to everybody"]);
}

/// Whoever reads the TOML finds what is missing where it would stand.
#[test]
fn what_is_not_taken_over_stands_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let conf = file(
        &dir,
        "places.conf",
        "ErrorLog /var/log/site\nAddOutputFilter DEFLATE html\n\
         <VirtualHost *:80>\nServerName one.example\nAlias /icons /srv/icons\n\
         ProxyPass /a ajp://127.0.0.1:8009/a\nSetEnvIf Host x AJP_HOST=1\n</VirtualHost>\n\
         <VirtualHost *:80>\nServerName two.example\nProxyPass /b ajp://127.0.0.1:8009/b nonsense=1\n\
         ExpiresActive On\n</VirtualHost>\n",
    );
    let done = ajp(&["import", "--httpd", &conf]);
    let mut places = Vec::new();
    let mut table = "top";
    for line in done.text().lines().rev() {
        match line.strip_prefix("# ") {
            None if line.contains('=') && !line.starts_with("to =") => table = line,
            None => {}
            Some(comment) => {
                let (_, comment) = comment.split_once("places.conf:").unwrap();
                places.push((comment.split(' ').next().unwrap(), table));
            }
        }
    }
    places.reverse();
    assert_eq!(
        places,
        [
            ("2:", "listen = \"127.0.0.1:8080\""),
            ("5:", "hosts = [\"one.example\"]"),
            ("7:", "path = \"/a\""),
            ("11:", "path = \"/b\""),
            ("12:", "path = \"/b\""),
        ],
        "{}",
        done.text()
    );
}
