//! The webapp under `webapp/`, compiled once and kept in cargo's target directory.
//!
//! The place is named after the sources' digest, so an edit is a new place and nothing is ever
//! stale. It is built elsewhere and moved there in one step: test processes that start together
//! may compile it twice, but none sees half of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{need, pattern, tomcat_conf};

/// The directory of the compiled webapp, as a `docBase`.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let sources =
            Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/webapp"));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let place = cache.join(format!("webapp-{}", &sources.digest()[..16]));
        if !place.exists() {
            sources.build(cache, &place);
        }
        place
    })
}

/// A deployment descriptor that replaces the one in [`dir`].
pub fn descriptor(name: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/webapp");
    file.join(name)
}

struct Sources {
    descriptor: PathBuf,
    java: Vec<PathBuf>,
}

impl Sources {
    fn read(dir: &Path) -> Self {
        let mut java: Vec<PathBuf> = dir
            .join("lab")
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        java.retain(|path| path.extension().is_some_and(|e| e == "java"));
        java.sort();
        Self {
            descriptor: dir.join("web.xml"),
            java,
        }
    }

    fn digest(&self) -> String {
        let all: Vec<u8> = std::iter::once(&self.descriptor)
            .chain(&self.java)
            .flat_map(|path| std::fs::read(path).unwrap())
            .collect();
        pattern::sha256_hex(&all)
    }

    fn build(&self, cache: &Path, place: &Path) {
        std::fs::create_dir_all(cache).unwrap();
        let scratch = tempfile::tempdir_in(cache).unwrap();
        let root = scratch.path().join("webapp");
        let classes = root.join("WEB-INF/classes");
        std::fs::create_dir_all(&classes).unwrap();
        std::fs::copy(&self.descriptor, root.join("WEB-INF/web.xml")).unwrap();
        let lib = format!("{}/lib", tomcat_conf::CATALINA_HOME);
        need::file(&format!("{lib}/servlet-api.jar"), "tomcat10");
        need::run(
            Command::new("javac")
                .args(["-cp", &format!("{lib}/*"), "-d"])
                .arg(&classes)
                .args(&self.java),
            "default-jdk-headless",
        );
        // Fails when another process was faster, whose result is the same.
        let moved = std::fs::rename(&root, place);
        assert!(
            place.exists(),
            "cannot move the webapp to {}: {moved:?}",
            place.display()
        );
    }
}
