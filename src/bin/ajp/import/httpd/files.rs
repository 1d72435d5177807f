//! The files as httpd reads them: values put in, macros written out, includes read where they
//! stand, and sections left out that do not hold.

use super::{MAX_DEPTH, Reader};
use crate::config::Text;
use crate::config::httpd::{Directive, MOST_MACRO_LINES, Macro, define, expanded, included, raw};
use crate::import::plan::Plan;
use std::path::Path;

impl Reader {
    pub(super) fn file(&mut self, file: &Text, plan: &mut Plan) {
        for directive in raw(file) {
            self.line(directive, plan);
        }
    }

    /// A line as it is written: conditions and macros are not done yet.
    fn line(&mut self, mut directive: Directive, plan: &mut Plan) {
        let name = directive.name.to_ascii_lowercase();
        if let Some((_, body)) = &mut self.recorded {
            if name != "</macro" {
                body.push(directive);
            } else if let Some((name, body)) = self.recorded.take() {
                self.macros.insert(name, body);
            }
            return;
        }
        if self.skipped > 0 {
            if name.starts_with("</") {
                self.skipped = self.skipped.saturating_sub(1);
            } else if name.starts_with('<') {
                self.skipped = self.skipped.saturating_add(1);
            }
            return;
        }
        for text in &mut directive.args {
            *text = expanded(text, &self.defined);
        }
        directive.name = expanded(&directive.name, &self.defined);
        match &*name {
            "<macro" => self.recorded = Some(Macro::begin(directive.args)),
            "<ifdefine" | "<ifversion" if self.is_refuted(&name, &directive) => self.skipped = 1,
            "define" => define(directive.args, &mut self.defined),
            "undefine" => {
                let first = directive.args.first();
                first.and_then(|name| self.defined.remove(name));
            }
            "use" => self.use_macro(&directive, plan),
            "include" | "includeoptional" => self.include(&directive, plan),
            _ => self.directive(&directive, plan),
        }
    }

    /// Whether `<IfDefine !NAME>` is for a name that the files define, or `<IfVersion>` for an
    /// httpd that nobody has any more.
    fn is_refuted(&self, section: &str, directive: &Directive) -> bool {
        let first = directive.args.first().map_or("", String::as_str);
        match first.strip_prefix('!') {
            _ if section == "<ifversion" => first.starts_with('<'),
            Some(name) => self.defined.contains_key(name),
            None => false,
        }
    }

    fn use_macro(&mut self, directive: &Directive, plan: &mut Plan) {
        let place = directive.place.to_string();
        let [name, values @ ..] = &directive.args[..] else {
            return;
        };
        let known = self.macros.get(&name.to_ascii_lowercase());
        let Some(lines) = known.filter(|_| self.depth < MAX_DEPTH) else {
            let text = "Use of a macro that is not in these files: what it keeps out is not known; \
                        give its file as --httpd before this one";
            plan.open(&place, text);
            return;
        };
        self.macro_lines = self.macro_lines.saturating_add(lines.lines());
        if self.macro_lines > MOST_MACRO_LINES {
            let text = format!(
                "macros write more than {MOST_MACRO_LINES} lines, and what these keep out is not known"
            );
            plan.open(&place, text);
            return;
        }
        let lines = lines.with(values);
        self.depth = self.depth.saturating_add(1);
        for line in lines {
            self.line(line, plan);
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// Reads what is included, where it stands; what is not there could keep something out.
    fn include(&mut self, directive: &Directive, plan: &mut Plan) {
        let place = directive.place.to_string();
        let Some(pattern) = directive.args.first() else {
            return;
        };
        let of_file = Path::new(&*directive.place.file).parent();
        let base = self.root.as_deref().or(of_file).unwrap_or(Path::new(""));
        let found = included(&base.join(pattern));
        let is_optional = directive.name.eq_ignore_ascii_case("includeoptional");
        if found.is_empty() && is_optional {
            plan.lost(
                &place,
                format!("{pattern} was not read; give it as --httpd too"),
            );
        }
        let none = found.is_empty() && !is_optional;
        let files = found
            .into_iter()
            .map(|path| Text::read(&path).map(|text| (path, text)));
        let files: Result<Vec<_>, _> = files.collect();
        let files = files.ok().filter(|_| !none && self.depth < MAX_DEPTH);
        let Some(files) = files else {
            let text = format!(
                "{pattern} cannot be read, and what it keeps out is not known; put the file where \
                 this one looks for it, or its lines here"
            );
            plan.open(&place, text);
            return;
        };
        self.depth = self.depth.saturating_add(1);
        for (path, text) in files {
            self.included.insert(path);
            self.file(&text, plan);
        }
        self.depth = self.depth.saturating_sub(1);
    }
}
