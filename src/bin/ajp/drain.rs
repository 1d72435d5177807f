//! `ajp drain`: takes a member of a gateway out of service without losing a session, and tells
//! a pipeline when that is done.

use crate::exit::{Exit, Failure};
use crate::manager_client::ManagerClient;
use crate::ui;
use crate::values;
use clap::{Args, ValueEnum};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for one answer of the gateway.
const ANSWER: Duration = Duration::from_secs(10);

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(200);

/// From one line that tells how far it is to the next.
const LINE: Duration = Duration::from_secs(5);

pub(crate) fn after_help() -> String {
    "\
Examples:
  ajp drain app/jvm1 --max 30m                   wait until no session is left
  ajp drain app/jvm1 --session-timeout 0s        only requests are waited for
  ajp drain app/jvm1 --max 10m --then disable    what is left moves to other members
  ajp drain app/jvm1 --undo                      it serves again

  ajp drain app/jvm1 --max 5m --then disable && systemctl restart tomcat && \\
      ajp drain app/jvm1 --undo                  a deployment

The member serves the requests of its own sessions alone from now on. AJP does not tell how many
sessions a container has, and the gateway keeps no list of them: they count as over when none of them
was seen for --session-timeout. So --until-sessions takes no other number than 0, which is its default.
The gateway does the work, and goes on when this command is ended. It needs the gateway's [manager]
with a token_file.

Exit code:
   0  drained: no request runs, and no session is left or, with --then, none is served any more
   1  somebody took the member back or removed it meanwhile
   2  wrong usage, or a token file that cannot be read
   3  no connection to the gateway
   4  the time of --max is up, or the gateway did not answer in time
   5  no gateway there: what answers is no [manager]
   6  the connection broke before the end of the answer
   7  the gateway refused the token, or has none
  22  the gateway refused the change, such as of a member that does not exist"
        .to_owned()
}

/// What becomes of the member at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AfterDrain {
    /// It goes on draining
    Keep,
    /// It serves no request any more; sessions that are left move to other members
    Disable,
    /// It is removed
    Remove,
}

impl AfterDrain {
    fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Disable => "disable",
            Self::Remove => "remove",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// BALANCER/MEMBER; a member is named by its route, or by its URL
    #[arg(value_name = "BALANCER/MEMBER")]
    target: String,
    /// The gateway's manager: http://host:port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    gateway: String,
    /// File with the token that is the gateway's token_file
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A session is over when it was not seen for so long: the container's session-timeout
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = values::duration)]
    session_timeout: Duration,
    /// Wait until so many sessions are left: only 0, as nobody but the container can count them
    #[arg(long, value_name = "0", default_value = "0", value_parser = no_sessions)]
    until_sessions: u32,
    /// Wait no longer [default: a day]
    #[arg(long, value_name = "TIME", value_parser = values::nonzero)]
    max: Option<Duration>,
    /// What becomes of the member at the end, also when the time is up
    #[arg(long, value_enum, default_value = "keep")]
    then: AfterDrain,
    /// End a drain: the member serves again
    #[arg(long, conflicts_with_all = ["max", "then", "session_timeout", "until_sessions"])]
    undo: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

impl DrainArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let Some((balancer, member)) = self.target.split_once('/') else {
            return Err(Failure::usage(format!(
                "{}: must be BALANCER/MEMBER, such as app/jvm1",
                self.target
            )));
        };
        let manager = ManagerClient::new(&self.gateway, ANSWER)?.with_token(self.token()?);
        let path = format!(
            "/api/v1/balancers/{}/members/{}/drain",
            coded(balancer),
            coded(member)
        );
        if self.undo {
            done(manager.ask(Method::DELETE, &path, None).await?)?;
            self.say(&format!("{}: serves again", self.target))?;
            return Ok(Exit::Done);
        }
        let wish = json!({
            "session_timeout": self.session_timeout.as_secs_f64(),
            "at_most": self.max.map(|most| most.as_secs_f64()),
            "then": self.then.name(),
        });
        let mut state = done(manager.ask(Method::POST, &path, Some(&wish)).await?)?;
        // By its name: what it is called by may be gone with it.
        let name = state
            .get("member")
            .and_then(Value::as_str)
            .unwrap_or(member)
            .to_owned();
        let path = format!(
            "/api/v1/balancers/{}/members/{}/drain",
            coded(balancer),
            coded(&name)
        );
        if state.get("others_serving").and_then(Value::as_u64) == Some(0) {
            let text = "no other member serves: new visitors are answered with 503";
            self.say(&format!("{}: {text}", self.target))?;
        }
        self.wait(&manager, &path, &mut state).await
    }

    /// Waits for the end, and tells how far it is.
    async fn wait(
        &self,
        manager: &ManagerClient,
        path: &str,
        state: &mut Value,
    ) -> Result<Exit, Failure> {
        let mut told = None;
        loop {
            let phase = match &*state {
                // There is no drain any more.
                Value::Null => Some("taken_back"),
                state => state.get("phase").and_then(Value::as_str),
            };
            let waited = seconds(state, "waited");
            match phase.unwrap_or_default() {
                "draining" => {}
                "drained" => {
                    self.say(&format!("{}: drained after {}", self.target, span(waited)))?;
                    return Ok(Exit::Done);
                }
                "time_up" => {
                    let text = format!(
                        "{}: the time is up after {}; {}",
                        self.target,
                        span(waited),
                        progress(state)
                    );
                    return Err(Failure::new(Exit::Timeout, text));
                }
                "taken_back" => {
                    let text = format!(
                        "{}: does not drain any more; somebody took it back or removed it",
                        self.target
                    );
                    return Err(Failure::new(Exit::No, text));
                }
                _ => {
                    let text = format!(
                        "{}: answers with something else than how far a drain is; it must be the \
                         gateway's [manager]",
                        self.gateway
                    );
                    return Err(Failure::new(Exit::Protocol, text));
                }
            }
            if told.is_none_or(|told| waited.saturating_sub(told) >= LINE) {
                told = Some(waited);
                self.say(&format!("{}: {}", self.target, progress(state)))?;
            }
            tokio::time::sleep(LOOK).await;
            *state = done(manager.ask(Method::GET, path, None).await?)?;
        }
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        ui::print_line(text)
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let text = crate::files::read_to_string(path)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// The only number of sessions that can be waited for. A gateway sees when a session of the member
/// was last used, and how often, but not how many different ones there are: a number from it would
/// leave out those whose visitors are quiet, and count every id that anybody makes up.
fn no_sessions(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Ok(0),
        _ => Err(
            "must be 0: the gateway sees when a session was last used, and cannot count \
                  those that are left; --max and --then end a drain earlier"
                .to_owned(),
        ),
    }
}

/// The answer to something that was done.
fn done((status, value): (StatusCode, Value)) -> Result<Value, Failure> {
    if status.is_success() {
        return Ok(value);
    }
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Secret,
        _ => Exit::Status,
    };
    let text = value
        .pointer("/error/text")
        .and_then(Value::as_str)
        .unwrap_or("the gateway says no more");
    Err(Failure::new(exit, format!("{}: {text}", status.as_u16())))
}

fn progress(state: &Value) -> String {
    let busy = state.get("busy").and_then(Value::as_u64).unwrap_or(0);
    let requests = match busy {
        1 => "1 request runs".to_owned(),
        busy => format!("{busy} requests run"),
    };
    let left = seconds(state, "sessions_over_in");
    let sessions = match state.get("last_session_ago").and_then(Value::as_f64) {
        _ if left.is_zero() => "no session is waited for".to_owned(),
        None => format!("no session was seen; all are over in {}", span(left)),
        Some(_) => format!(
            "a session was seen {} ago; all are over in {} if none is seen again",
            span(seconds(state, "last_session_ago")),
            span(left)
        ),
    };
    format!("{requests}, {sessions}")
}

fn seconds(state: &Value, key: &str) -> Duration {
    let seconds = state.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// `12.3 s`, `3 min 5 s`
fn span(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {} s", whole / 60, whole % 60),
    }
}

/// A text as a part of a path.
fn coded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let code = |b: u8| {
        if plain(b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is() {
        for (state, text) in [
            (
                json!({ "busy": 1, "sessions_over_in": 61.0, "last_session_ago": 3.25 }),
                "1 request runs, a session was seen 3.2 s ago; all are over in 1 min 1 s if none \
                 is seen again",
            ),
            (
                json!({ "busy": 0, "sessions_over_in": 4.0, "last_session_ago": null }),
                "0 requests run, no session was seen; all are over in 4.0 s",
            ),
            (
                json!({ "busy": 2, "sessions_over_in": 0.0, "last_session_ago": 1.0 }),
                "2 requests run, no session is waited for",
            ),
        ] {
            assert_eq!(progress(&state), text);
        }
        assert_eq!(
            coded("ajp://[::1]:8009"),
            "ajp%3A%2F%2F%5B%3A%3A1%5D%3A8009"
        );
    }
}
