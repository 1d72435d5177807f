//! Text, JSON and SARIF, exit codes, and what must never be shown.

use super::write;
use crate::cli::ajp;

const CONF: &str = "ProxyPass /app ajp://127.0.0.1:8009/app secret=the-first-secret\n";
const XML: &str = "<Server><Service>\n<Connector protocol=\"AJP/1.3\" port=\"8009\"\n secret=\"the-other-secret\"/>\n</Service></Server>\n";

#[test]
fn one_finding_in_three_formats() {
    let dir = tempfile::tempdir().unwrap();
    let paths = write(&dir, &[("a.conf", CONF), ("server.xml", XML)]);
    let (conf, xml) = (&*paths[0], &*paths[1]);

    let text = ajp(&["lint", conf, xml]);
    assert_eq!(text.code, 1, "{text:?}");
    for part in [
        &*format!(
            "{conf}:1: error AJP102: the secret of ajp://127.0.0.1:8009/app is not the connector's"
        ),
        &*format!("{xml}:3: the other secret"),
        "users see:      403 Forbidden",
        "instead:        write the same secret on both sides",
        "1 errors, 0 warnings, 0 notes",
        "ajp lint --explain AJP102",
    ] {
        assert!(text.text().contains(part), "{part}\n{}", text.text());
    }

    let json = ajp(&["lint", "--format", "json", conf, xml]);
    let value: serde_json::Value = serde_json::from_str(json.text()).unwrap();
    let finding = &value["findings"][0];
    assert_eq!(finding["code"], "AJP102");
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["related"][0]["line"], 3);

    let sarif = ajp(&["lint", "--format", "sarif", conf, xml]);
    let value: serde_json::Value = serde_json::from_str(sarif.text()).unwrap();
    assert_eq!(value["version"], "2.1.0");
    let run = &value["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "AJP102");
    let result = &run["results"][0];
    assert_eq!(
        (&result["ruleId"], &result["ruleIndex"], &result["level"]),
        (&"AJP102".into(), &0.into(), &"error".into())
    );
    let region = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        (
            &region["artifactLocation"]["uri"],
            &region["region"]["startLine"]
        ),
        (&conf.into(), &1.into())
    );

    for shown in [&text, &json, &sarif] {
        assert!(
            !shown.text().contains("the-first-secret")
                && !shown.text().contains("the-other-secret")
        );
    }
}

#[test]
fn exit_codes_are_for_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let paths = write(
        &dir,
        &[
            ("a.conf", CONF),
            ("server.xml", XML),
            ("note.conf", "ProxyPass /a ajp://h:8009/a disablereuse=On\n"),
        ],
    );
    let (conf, xml, note) = (&*paths[0], &*paths[1], &*paths[2]);
    assert_eq!(ajp(&["lint", conf]).code, 0);
    assert_eq!(ajp(&["lint", conf, xml]).code, 1);
    assert_eq!(ajp(&["lint", "--allow", "AJP102", conf, xml]).code, 0);
    assert_eq!(
        ajp(&["lint", "--allow", "secrets-differ", conf, xml]).code,
        0
    );
    assert_eq!(ajp(&["lint", note]).code, 0);
    assert_eq!(ajp(&["lint", "--fail-on", "note", note]).code, 1);
    assert_eq!(ajp(&["lint", "--allow", "nonsense", conf]).code, 2);
    assert_eq!(ajp(&["lint", "/nowhere/at/all.conf"]).code, 2);
    assert_eq!(ajp(&["lint"]).code, 2);
}

#[test]
fn several_web_servers_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let paths = write(
        &dir,
        &[
            (
                "a.conf",
                "MaxRequestWorkers 150\nProxyPass /app ajp://127.0.0.1:8009/app secret=k41f\n",
            ),
            ("server.xml", &XML.replace("the-other-secret", "k41f")),
        ],
    );
    let (conf, xml) = (&*paths[0], &*paths[1]);
    assert_eq!(ajp(&["lint", conf, xml]).code, 0);
    let four = ajp(&["lint", "--web-servers", "4", conf, xml]);
    assert!(
        four.text()
            .contains("up to 600 requests at a time, and 200 threads"),
        "{four:?}"
    );
}
