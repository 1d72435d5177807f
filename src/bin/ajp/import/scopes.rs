//! What httpd is told for the server, a virtual host or a path becomes a setting of each map
//! there.

use super::plan::{Kind, Map, Plan, ScopedSetting, Setting, Settings, without_slash};

impl Plan {
    /// In httpd's order: the server's, then the virtual host's, then those of paths in the
    /// order of the file.
    pub(super) fn settle_scopes(&mut self) {
        let mut scoped = std::mem::take(&mut self.scoped);
        scoped.sort_by_key(|scoped| match (&scoped.site, &scoped.path) {
            (None, None) => 0,
            (Some(_), None) => 1,
            (_, Some(_)) => 2,
        });
        for one in &scoped {
            if let Some(path) = &one.path {
                self.separate(one, &without_slash(path));
            }
            for map in self.maps.iter_mut().filter(|map| one.is_for(map)) {
                map.settings.take(&one.setting);
            }
        }
    }

    /// Makes a map for the path of a setting out of the one that it is a part of.
    fn separate(&mut self, scoped: &ScopedSetting, path: &str) {
        let sites = self.maps.iter().filter(|map| scoped.is_of_site(map));
        let mut sites: Vec<_> = sites.map(|map| map.site.clone()).collect();
        sites.dedup();
        for site in sites {
            let is_there = |map: &&Map| map.site == site && map.path == path;
            if self.maps.iter().any(|map| is_there(&map)) {
                continue;
            }
            let is_plain = |map: &Map| map.path.starts_with('/') && !map.path.contains('*');
            let rest = |map: &Map| {
                let rest = path.strip_prefix(map.path.trim_end_matches('/'))?;
                rest.starts_with('/').then(|| rest.to_owned())
            };
            let mut around = self.maps.iter().enumerate();
            let around =
                around.find(|(_, map)| map.site == site && is_plain(map) && rest(map).is_some());
            let Some((index, map)) = around.filter(|(_, map)| map.kind == Kind::Forward) else {
                continue;
            };
            let target = format!(
                "{}{}",
                map.target.trim_end_matches('/'),
                rest(map).unwrap_or_default()
            );
            let part = Map {
                path: path.to_owned(),
                target,
                place: scoped.place.clone(),
                is_below_only: false,
                ..map.clone()
            };
            self.maps.insert(index, part);
        }
    }
}

impl ScopedSetting {
    fn is_of_site(&self, map: &Map) -> bool {
        self.site.is_none() || self.site == map.site || map.site.is_none()
    }

    fn is_for(&self, map: &Map) -> bool {
        let Some(path) = &self.path else {
            return self.is_of_site(map);
        };
        let own = map.path.trim_start_matches("= ");
        let rest = own.strip_prefix(path.trim_end_matches('/'));
        let is_below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.is_of_site(map) && is_below
    }
}

impl Settings {
    fn take(&mut self, setting: &Setting) {
        match setting.clone() {
            Setting::MaxBody(limit) => self.max_body = limit,
            Setting::Attribute(name, Some(value)) => {
                self.attributes.insert(name, value);
            }
            Setting::Attribute(name, None) => {
                self.attributes.remove(&name);
            }
            // The last word on a header holds, whatever the case of its name.
            Setting::RequestHeader(name, value) => {
                self.request_headers
                    .retain(|known, _| !known.eq_ignore_ascii_case(&name));
                self.request_headers.insert(name, value);
            }
            Setting::ResponseHeader(name, value) => {
                self.response_headers
                    .retain(|known, _| !known.eq_ignore_ascii_case(&name));
                self.response_headers.insert(name, value);
            }
            Setting::NotOfVisitors(name) => {
                let mut known = self.request_headers.keys();
                if !known.any(|known| known.eq_ignore_ascii_case(&name)) {
                    self.request_headers.insert(name, None);
                }
            }
        }
    }
}
