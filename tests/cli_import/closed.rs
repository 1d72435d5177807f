//! What httpd keeps out, and what it writes itself, in all the ways in which its language says
//! so: the gateway does the same, or nothing is written. What httpd and mod_jk do with each
//! line was looked up by asking them.

use super::{assert_says, gateway, without_comments};
use crate::cli::{Ended, ajp, file, serve};
use crate::support::http1::Body;

/// What becomes of a configuration that forwards `/app`.
fn import(dir: &tempfile::TempDir, lines: &str) -> Ended {
    let conf = format!("ProxyPass /app ajp://127.0.0.1:8009/app\n{lines}\n");
    let conf = file(dir, "site.conf", &conf);
    ajp(&["import", "--httpd", &conf])
}

#[tokio::test]
async fn what_is_kept_out_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let (_one, one) = serve(&["--no-secret", "-q"]);
    file(
        &dir,
        "more.conf",
        "<Location /app/included>\nRequire all denied\n</Location>\n",
    );
    let conf = format!(
        r#"ProxyPass /app/http http://127.0.0.1:9/
ProxyPass /app {one}/app
<LocationMatch "^/app/\w+/private$">
Require all denied
</LocationMatch>
<LocationMatch ^/app/\\d+/private$>
Require all denied
</LocationMatch>
<LocationMatch "\.(git|svn)">
Require all denied
</LocationMatch>
<Location /app/order>
Order allow,deny
</Location>
<Location /app/none>
Order mutual-failure
</Location>
<Location /app/either>
Order deny,allow
</Location>
<Location /app/redirect>
Redirect 403
</Location>
<Location /app/gone>
Redirect gone
</Location>
<Location /app/away>
Redirect https://elsewhere.example/
</Location>
RewriteEngine On
RewriteRule "^/app/s\d+" "-" [F]
RewriteRule ^/app/two\ words - [F]
RewriteRule "^/app/teapot" - [R=418]
RewriteRule "^/app/left" - [G]
RewriteRule "^/app/moved" "https://elsewhere.example/" [R=301]
RewriteRule ^/app/shown/ /login.html [PT]
SetEnvIf Request_URI "^/app/kept\d" no-proxy
SetEnvIfNoCase Request_URI "\.BAK$" no-proxy
<Macro Closed $path>
<Location $path>
Require all denied
</Location>
</Macro>
Use Closed /app/macro
Include more.conf
"#
    );
    let conf = file(&dir, "site.conf", &conf);
    let done = ajp(&["import", "--httpd", &conf]);
    assert_eq!(done.code, 1, "{done:?}");
    // What leads elsewhere the gateway leaves to nobody.
    assert_says(
        &done,
        &["ajp: 1 balancers, ", "; 4 settings without an equal"],
    );
    let gateway = gateway(&done).await;
    let mut client = gateway.client();
    for (path, status) in [
        ("/app/free", 200),
        ("/app/x/private", 403),
        ("/app/w+/private", 200),
        ("/app/7/private", 403),
        ("/app/.git/config", 403),
        ("/app/digital", 200),
        ("/app/order/x", 403),
        ("/app/none", 403),
        ("/app/either", 200),
        ("/app/redirect", 403),
        ("/app/gone", 404),
        ("/app/away", 404),
        ("/app/s1", 403),
        ("/app/sd", 200),
        // Its two readings lead to different maps.
        ("/app/two%20words", 400),
        ("/app/teapot", 403),
        ("/app/left", 404),
        ("/app/moved", 404),
        ("/app/shown/x", 404),
        ("/app/http/x", 404),
        ("/app/kept1", 404),
        ("/app/keptd", 200),
        ("/app/x.bak", 404),
        ("/app/macro/x", 403),
        ("/app/included", 403),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, status, "{path}\n{}", done.text());
    }
}

#[test]
fn what_cannot_be_kept_out_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    for (lines, why) in [
        // What httpd does not start with: who knows what was meant to be kept out.
        (
            "\u{feff}<Location /app/bom>\nRequire all denied\n</Location>",
            "byte order mark",
        ),
        (
            "<Location /app/open>\nRequire all denied\n",
            "<location> is not closed",
        ),
        ("Timeout 5\n</Location>", "</location> closes nothing"),
        (
            "<If \"%{REQUEST_URI} =~ m#^/app/if#\">\nRequire all denied\n</If>",
            "in <if %{REQUEST_URI} =~ m#^/app/if#>",
        ),
        (
            "<If \"false\">\nTimeout 5\n</If>\n<Else>\nRequire all denied\n</Else>",
            "in <else>",
        ),
        (
            "<If \"false\">\nTimeout 5\n</If>\n<ElseIf \"true\">\nRequire ip 10.0.0.1\n</ElseIf>",
            "in <elseif true>",
        ),
        (
            "<Location /app>\n<If \"true\">\nOrder allow,deny\n</If>\n</Location>",
            "in <if true>",
        ),
        (
            "<ProxyMatch \"^ajp://.*/closed\">\nRequire all denied\n</ProxyMatch>",
            "denies what a pattern means",
        ),
        (
            "<Proxy *>\nOrder allow,deny\n</Proxy>",
            "denies what a pattern means",
        ),
        (
            "<Location /app>\n<LimitExcept GET>\nOrder allow,deny\n</LimitExcept>\n</Location>",
            "in <limitexcept GET>",
        ),
        (
            "<Location /app>\n<RequireAll>\n<RequireNone>\nRequire all granted\n</RequireNone>\n\
             </RequireAll>\n</Location>",
            "in <requirenone>",
        ),
        ("<Location /app>\nAllowMethods GET\n</Location>", "methods"),
        ("<Location /app>\nSatisfy any\n</Location>", "satisfy"),
        (
            "<Location /app/${WHERE}>\nRequire all denied\n</Location>",
            "denies what a pattern means",
        ),
        ("ProxyPass /app/${WHERE} !", "Define what stands"),
        (
            "<Location /app/*.x>\nProxyPass !\n</Location>",
            "for a pattern",
        ),
        ("ProxyPassInherit Off", "ProxyPassInherit Off"),
        (
            "RewriteRule ^/app/x - [C]\nRewriteRule ^ - [F]",
            "refuses what",
        ),
        (
            "RewriteRule ^/app/x - [S=1]\nRewriteRule ^/app/y - [F]",
            "refuses what",
        ),
        (
            "RewriteRule ^/app/x - [L]\nRewriteRule ^/app - [F]",
            "refuses what",
        ),
        (
            "RewriteCond %{HTTP_HOST} a\nRewriteRule ^/app/x - [E=no-proxy:1]",
            "refuses what",
        ),
        (
            "RewriteCond %{HTTP_COOKIE} !auth=ok\nRewriteRule ^/app/ https://login.example/ [R,L]",
            "redirects nothing; and what it leads elsewhere",
        ),
        (
            "RewriteCond %{HTTP_HOST} a\nRewriteCond %{REMOTE_ADDR} !=10.0.0.1\n\
             RewriteRule ^ /login.html [PT]",
            "rewrites nothing; map the paths that it means; and what it leads elsewhere",
        ),
        (
            "RewriteRule !^/login https://login.example/ [R]",
            "redirects nothing; and what it leads elsewhere",
        ),
        (
            "RewriteCond %{REQUEST_METHOD} POST\nRewriteRule ^/app ajp://127.0.0.1:8010/ [P]",
            "forwards by maps only",
        ),
        (
            "<VirtualHost *:443>\nServerName a\nRewriteRule ^ https://b.example/ [R]\n\
             SSLEngine on\nSSLCertificateFile /a.pem\nProxyPass / ajp://127.0.0.1:8009/\n\
             </VirtualHost>",
            "leads to another place of https",
        ),
        (
            "<VirtualHost *:443>\nServerName a\nRewriteCond %{HTTP_COOKIE} !auth\n\
             RewriteRule ^ https://login.example/ [R]\n\
             SSLEngine on\nSSLCertificateFile /a.pem\nProxyPass / ajp://127.0.0.1:8009/\n\
             </VirtualHost>",
            "redirects nothing; and what it leads elsewhere",
        ),
        ("BrowserMatch bot no-proxy", "keeps from the containers"),
        (
            "<Location /app/*.x>\nRedirect 403\n</Location>",
            "refuses what",
        ),
        ("Include nowhere.conf", "cannot be read"),
        ("Use Nothing /app", "a macro that is not in these files"),
        ("SecRule ARGS x deny", "mod_security"),
        ("SSLVerifyClient require", "for all virtual hosts"),
        ("RemoteIPInternalProxy proxy.example", "by its address"),
        (
            "RemoteIPInternalProxyList /etc/proxies",
            "set trusted_proxies",
        ),
        ("RemoteIPHeader X-Client", "set trusted_proxies"),
        (
            "<VirtualHost *:80>\nProxyPass /a ajp://127.0.0.1:8009/a\n</VirtualHost>\n\
             <VirtualHost 127.0.0.1:81>\nProxyPass /b ajp://127.0.0.1:8009/b\n</VirtualHost>",
            "is served at 127.0.0.1:81 only",
        ),
        ("JkUnMount /app/*", "JkUnMount of a pattern"),
        (
            "<VirtualHost *:443>\nSSLCARevocationCheck chain\n</VirtualHost>",
            "revoked",
        ),
        (
            "<VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile /a.pem\n\
             SSLVerifyClient require\nSSLCACertificatePath /etc/ca\n</VirtualHost>",
            "ask for no certificate",
        ),
    ] {
        let done = import(&dir, lines);
        assert_eq!((done.code, done.text()), (1, ""), "{lines}: {done:?}");
        assert_says(&done, &["would be open: ", why, "nothing was written"]);
    }
}

/// What is no refusal of a path that is forwarded stops nothing.
#[test]
fn what_opens_nothing_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    for lines in [
        "<Files secret>\nRequire all denied\n</Files>",
        "<Directory /srv>\n<If \"true\">\nRequire all denied\n</If>\n</Directory>",
        "<Location /app>\nOrder allow,deny\nAllow from all\n</Location>",
        "<Location /app>\nAllowMethods reset\nSatisfy all\n</Location>",
        "<Location /app>\n<Limit GET>\nRequire all granted\n</Limit>\n</Location>",
        "<IfDefine !HERE>\nProxyPass /x !\n</IfDefine>\nDefine HERE",
        "Define HERE\n<IfDefine !HERE>\n<If \"true\">\nRequire all denied\n</If>\n</IfDefine>",
        "<IfVersion < 2.4>\n<Location /app>\nSatisfy any\n</Location>\n</IfVersion>",
        // Visitors say themselves which host they ask for.
        "RewriteCond %{HTTP_HOST} !^www\\.\nRewriteRule ^ http://www.example/ [R]",
        "RewriteCond %{HTTPS} off\nRewriteRule ^/app https://www.example/app [R]",
        // No path of a container.
        "RewriteCond %{HTTP_COOKIE} !auth\nRewriteRule ^/wiki/(.*)$ /login [PT]",
    ] {
        let done = import(&dir, lines);
        let is_told = ["<IfDefine !HERE", "Rewrite"]
            .iter()
            .any(|start| lines.starts_with(start));
        assert_eq!(done.code, i32::from(is_told), "{lines}: {done:?}");
        assert!(done.text().contains("path = \"/app\""), "{lines}");
    }
}

/// Headers that httpd writes for everybody are never the visitor's.
#[tokio::test]
async fn headers_of_httpd_are_not_those_of_visitors() {
    let dir = tempfile::tempdir().unwrap();
    let (_one, one) = serve(&["--no-secret", "-q"]);
    for (lines, header) in [
        ("RequestHeader set X-A \"%{SSL_CLIENT_S_DN}s\"", "X-A"),
        ("RequestHeader set X-A expr=%{REMOTE_USER}", "X-A"),
        ("RequestHeader set X-A 1 env=KNOWN", "X-A"),
        ("RequestHeader set X-A \"expr=x\" early", "X-A"),
        ("RequestHeader append X-A 1", "X-A"),
        ("RequestHeader merge X-A 1", "X-A"),
        ("RequestHeader add X-A 1", "X-A"),
        ("RequestHeader edit X-A .* \"\"", "X-A"),
        ("RequestHeader edit* X-A a b", "X-A"),
        ("RequestHeader unset X-A env=!KNOWN", "X-A"),
        ("<If \"true\">\nRequestHeader unset X-A\n</If>", "X-A"),
        (
            "<LocationMatch ^/a>\nRequestHeader set X-A 1\n</LocationMatch>",
            "X-A",
        ),
        (
            "<Location /app>\nRequestHeader set X-A %{A}e\n</Location>",
            "X-A",
        ),
        ("RequestHeader set X-A ${A}", "X-A"),
        ("<Proxy ajp://x>\nRequestHeader set X-A 1\n</Proxy>", "X-A"),
    ] {
        let conf = format!("ProxyPass /app {one}/app\n{lines}\n");
        let conf = file(&dir, "site.conf", &conf);
        let done = ajp(&["import", "--httpd", &conf]);
        assert_eq!((done.code, done.text()), (1, ""), "{lines}: {done:?}");
        let why = format!(
            "would be believed from visitors: RequestHeader {}",
            lines_of(lines)
        );
        assert_says(&done, &[&why, "nothing was written"]);
        let forced = ajp(&["import", "--httpd", &conf, "--force"]);
        let removed = format!("request_headers = {{ remove = [\"{header}\"] }}");
        assert!(forced.text().contains(&removed), "{lines}: {forced:?}");
    }
    let conf = format!(
        "ProxyPass /app {one}/app\nRequestHeader unset X-Early early\nRequestHeader set X-Empty \"\"\n\
         RequestHeader set X-Percent 50%%\nRequestHeader set x-twice 1\nRequestHeader unset X-Twice\n\
         RequestHeader set X-Forwarded-Proto expr=%{{REQUEST_SCHEME}}\n\
         RequestHeader unset Connection\n\
         RequestHeader set X-SSL-Client-DN \"%{{SSL_CLIENT_S_DN}}s\"\n\
         RequestHeader set X-Remote-User expr=%{{REMOTE_USER}}\n"
    );
    let conf = file(&dir, "site.conf", &conf);
    let done = ajp(&["import", "--httpd", &conf]);
    assert_says(
        &done,
        &[
            "site.conf:7: no equal: RequestHeader set X-Forwarded-Proto",
            "site.conf:8: no equal: RequestHeader unset Connection",
            // Visitors cannot write these: the gateway removes them.
            "site.conf:9: no equal: RequestHeader set X-SSL-Client-DN",
            "site.conf:10: no equal: RequestHeader set X-Remote-User",
            "; 4 settings without an equal",
        ],
    );
    let gateway = gateway(&done).await;
    let headers = [
        "x-early",
        "x-empty",
        "x-percent",
        "x-twice",
        "x-forwarded-proto",
        "x-ssl-client-dn",
        "x-remote-user",
    ];
    let headers = headers.map(|name| (name, "forged"));
    let mut client = gateway.client();
    let answer = client.request("GET", "/app", &headers, Body::None).await;
    let text = answer.text();
    assert!(text.contains("header: x-percent: 50%\n"), "{text}");
    assert!(text.contains("header: x-forwarded-proto: http\n"), "{text}");
    assert!(
        ["forged", "x-twice", "x-ssl-client-dn", "x-remote-user"]
            .iter()
            .all(|gone| !text.contains(gone)),
        "{text}"
    );
}

/// Whom httpd believes about the addresses of visitors the gateway believes.
#[tokio::test]
async fn addresses_of_visitors_are_believed_of_the_same_proxies() {
    let dir = tempfile::tempdir().unwrap();
    let (_one, one) = serve(&["--no-secret", "-q"]);
    let conf = format!(
        "ProxyPass /app {one}/app\nRemoteIPHeader X-Forwarded-For\n\
         RemoteIPInternalProxy 127.0.0.0/8 ::1\nRemoteIPTrustedProxy 127.0.0.0/8\n"
    );
    let done = ajp(&["import", "--httpd", &file(&dir, "site.conf", &conf)]);
    assert_eq!(done.code, 0, "{done:?}");
    let gateway = gateway(&done).await;
    let headers = [("x-forwarded-for", "203.0.113.9")];
    let mut client = gateway.client();
    let answer = client.request("GET", "/app", &headers, Body::None).await;
    let text = answer.text();
    assert!(text.contains("remote address: 203.0.113.9\n"), "{text}");
}

/// The words of the directive in some lines.
fn lines_of(lines: &str) -> String {
    let line = lines
        .lines()
        .find_map(|line| line.strip_prefix("RequestHeader "));
    line.unwrap().replace('"', "")
}

const WORKERS: &str = "worker.list=lb,other\nworker.lb.type=ajp13 # the one\nworker.lb.host=127.0.0.1\n\
                       worker.other.type=ajp13\nworker.other.host=127.0.0.2\n";

/// Exclusions of mod_jk in all their forms.
#[test]
fn what_mod_jk_takes_away_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let workers = file(&dir, "workers.properties", WORKERS);
    let map = "/*=lb\n!/c1/*=lb # keep out\n!/c2/*=*\n!/c3|/*=*\n!/c4/*.jsp=*;x=1\n-!/c5/*=lb\n\
               !/c6/*=other\n   !/c7/*   =   *#x\n!c8/*=lb\n/o/*=other\n";
    let map = file(&dir, "uriworkermap.properties", map);
    let conf = "JkUnMount /d1|/* *\nSetEnvIf Request_URI \"^/d2/\" no-jk\n\
                <Location /d3/*>\nJkUnMount lb\n</Location>\n\
                <Location /d4>\nJkUnMount *\n</Location>\n";
    let conf = file(&dir, "jk.conf", conf);
    let done = ajp(&[
        "import",
        "--workers",
        &workers,
        "--uriworkermap",
        &map,
        "--httpd",
        &conf,
    ]);
    assert_eq!(done.code, 1, "{done:?}");
    assert_says(
        &done,
        &[
            "uriworkermap.properties:9: no equal: \"c8/*\" does not begin with a slash",
            "uriworkermap.properties:5: no equal: option x=1",
            "; 2 settings without an equal",
        ],
    );
    let mut denied = Vec::new();
    let toml = without_comments(&done);
    for map in toml.split("[[map]]\n").skip(1) {
        let path = map.lines().next().unwrap().trim_start_matches("path = ");
        if map.contains("to = \"none\"") {
            denied.push(path.trim_matches('"'));
        }
    }
    denied.sort_unstable();
    assert_eq!(
        denied,
        [
            "/c1",
            "/c2",
            "/c3",
            "/c4/*.jsp",
            "/c7",
            "/d1",
            "/d3",
            "= /d4",
            "~ ^/d2/"
        ],
        "{toml}"
    );
}

/// Virtual hosts have the mounts of the server only where `JkMountCopy` says so.
#[test]
fn mounts_of_the_server_are_not_those_of_virtual_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let workers = file(&dir, "workers.properties", WORKERS);
    let import = |copy: &str, lines: &str| {
        let conf = format!(
            "JkMount /* lb\n<VirtualHost *:80>\nServerName a.example\n{copy}\n{lines}\n</VirtualHost>\n"
        );
        let conf = file(&dir, "jk.conf", &conf);
        ajp(&["import", "--workers", &workers, "--httpd", &conf])
    };
    let done = import("", "JkMount /v/* lb");
    assert_eq!((done.code, done.text()), (1, ""), "{done:?}");
    assert_says(
        &done,
        &["jk.conf:1: would be open: the mount of /* is the server's"],
    );
    let done = import("JkMountCopy On", "JkUnMount /v/* *");
    assert_eq!((done.code, done.text()), (1, ""), "{done:?}");
    assert_says(
        &done,
        &["jk.conf:5: would be open: takes /v/* away from a mount"],
    );
    let done = import("JkMountCopy On", "JkMount /v/* other");
    assert_eq!(done.code, 0, "{done:?}");
}
