//! `ajp top`: the members of a gateway as they are now, again and again.

use crate::exit::{Exit, Failure, codes};
use crate::manager_client::ManagerClient;
use crate::ui;
use crate::values;
use clap::Args;
use crossterm::event::{Event, KeyCode, KeyModifiers};
use crossterm::{cursor, event, execute, terminal};
use http::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp top http://127.0.0.1:8081                   live, as htop; q ends it
  ajp top -d 5s http://127.0.0.1:8081
  ajp top --once http://127.0.0.1:8081 | grep -v OK   once, for a script

The URL is that of the gateway's [manager], whose JSON it reads. Columns: state, requests that run
and the most that did, requests a second since the last look, failures, connections in use, idle and
at most, the weight, sessions that came back, and the last error.

{}",
        codes(
            Some("the address is not that of a gateway's manager"),
            &[Exit::Connect, Exit::Timeout, Exit::Protocol, Exit::Broken]
        )
    )
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// The gateway's manager: http://host:port
    #[arg(value_name = "URL")]
    url: String,
    /// How long between two looks
    #[arg(short = 'd', long, value_name = "TIME", default_value = "1s", value_parser = values::nonzero)]
    interval: Duration,
    /// Print it once and end
    #[arg(long)]
    once: bool,
    /// Longest wait for an answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::nonzero)]
    timeout: Duration,
}

impl TopArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let manager = ManagerClient::new(&self.url, self.timeout)?;
        let mut view = View::default();
        if self.once || !io::stdout().is_terminal() {
            let status = ask(&manager).await?;
            ui::print(&view.table(&status, Instant::now()))?;
            return Ok(Exit::Done);
        }
        // The first look tells what is wrong before the screen is taken.
        let mut status = ask(&manager).await;
        if let Err(failure) = status {
            return Err(failure);
        }
        let screen =
            Screen::take().map_err(|error| Failure::usage(format!("no terminal: {error}")))?;
        loop {
            let text = match &status {
                Ok(status) => view.table(status, Instant::now()),
                Err(Failure::Message { text, .. }) => {
                    ui::printable(&format!("{}: {text}\n", self.url))
                }
                Err(Failure::OutputClosed) => break,
            };
            Screen::show(&self.url, &text).map_err(|error| Failure::output(&error))?;
            let interval = self.interval;
            let ends = tokio::task::spawn_blocking(move || asked_to_end(interval)).await;
            if ends.unwrap_or(true) {
                break;
            }
            status = ask(&manager).await;
        }
        drop(screen);
        Ok(Exit::Done)
    }
}

/// The manager's JSON.
async fn ask(manager: &ManagerClient) -> Result<Value, Failure> {
    let (status, value) = manager
        .ask(Method::GET, "/balancer-manager.json", None)
        .await?;
    if status.is_success() {
        return Ok(value);
    }
    let text = format!("the manager answers {status}");
    Err(Failure::new(Exit::Protocol, text))
}

/// Whether a key says so before the time is over.
fn asked_to_end(interval: Duration) -> bool {
    let deadline = Instant::now().checked_add(interval);
    loop {
        let left = deadline.map_or(interval, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        match event::poll(left) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(_) => return true,
        }
        let Ok(Event::Key(key)) = event::read() else {
            continue;
        };
        let is_interrupt =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
            return true;
        }
    }
}

/// The terminal while it is ours; dropped, it is as before.
struct Screen;

impl Screen {
    fn take() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    fn show(title: &str, text: &str) -> io::Result<()> {
        let (width, height) = terminal::size()?;
        let mut out = io::stdout().lock();
        execute!(
            out,
            cursor::MoveTo(0, 0),
            terminal::Clear(terminal::ClearType::All)
        )?;
        let title = format!("ajp top {title}    q: end");
        let lines = std::iter::once(&*title).chain(text.lines());
        for line in lines.take(usize::from(height).saturating_sub(1)) {
            let line: String = line.chars().take(width.into()).collect();
            write!(out, "{line}\r\n")?;
        }
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), terminal::LeaveAlternateScreen, cursor::Show);
        let _ = terminal::disable_raw_mode();
    }
}

/// What the last look saw, for rates.
#[derive(Default)]
struct View {
    elected: BTreeMap<String, u64>,
    at: Option<Instant>,
}

const HEAD: [&str; 9] = [
    "MEMBER",
    "STATE",
    "BUSY",
    "REQ/S",
    "FAILED",
    "CONNECTIONS",
    "WEIGHT",
    "SESSIONS",
    "LAST ERROR",
];

impl View {
    fn table(&mut self, status: &Value, now: Instant) -> String {
        let seconds = self
            .at
            .map(|at| now.saturating_duration_since(at).as_secs_f64());
        self.at = Some(now);
        let mut out = String::new();
        for balancer in status["balancers"].as_array().into_iter().flatten() {
            let name = balancer["name"].as_str().unwrap_or_default();
            let number = |key: &str| balancer[key].as_u64().unwrap_or(0);
            let _ = writeln!(
                out,
                "{name}: {}, refused {}, sessions moved {} lost {}",
                balancer["method"].as_str().unwrap_or_default(),
                number("refused_full").saturating_add(number("refused_down")),
                number("moved_sessions"),
                number("lost_sessions"),
            );
            let mut rows = vec![HEAD.map(str::to_owned)];
            for member in balancer["members"].as_array().into_iter().flatten() {
                rows.push(self.row(name, member, seconds));
            }
            align(&rows, &mut out);
            out.push('\n');
        }
        // Names, and errors that containers cause.
        ui::printable(&out)
    }

    fn row(&mut self, balancer: &str, member: &Value, seconds: Option<f64>) -> [String; 9] {
        let text = |key: &str| member[key].as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let key = format!("{balancer}/{}", text("address"));
        let elected = number(&member["elected"]);
        let before = self.elected.insert(key, elected);
        #[allow(clippy::cast_precision_loss, reason = "for readers")]
        let rate = match (before, seconds) {
            (Some(before), Some(seconds)) if seconds > 0.0 => {
                format!("{:.1}", elected.saturating_sub(before) as f64 / seconds)
            }
            _ => "-".to_owned(),
        };
        let pool = &member["pool"];
        let connections = if pool.is_null() {
            "-".to_owned()
        } else {
            format!(
                "{}+{}/{}",
                number(&pool["in_use"]),
                number(&pool["idle"]),
                number(&pool["max"])
            )
        };
        let weight = match &member["weight"] {
            Value::Number(weight) => weight.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        let state = member["state"]
            .as_str()
            .map_or_else(|| member["state"].to_string(), str::to_owned);
        let flags = member["flags"].as_str().unwrap_or_default();
        [
            format!("{} {}", text("route"), text("address"))
                .trim()
                .to_owned(),
            format!("{state} {flags}").trim().to_owned(),
            format!(
                "{}/{}",
                number(&member["busy"]),
                number(&member["max_busy"])
            ),
            rate,
            number(&member["failed"]).to_string(),
            connections,
            weight,
            number(&member["own_sessions"]).to_string(),
            text("last_error"),
        ]
    }
}

/// Columns as wide as what is in them; the last one as it is.
fn align(rows: &[[String; 9]], out: &mut String) {
    let mut widths = [0; 9];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(out, "  {}", cells.join("  ").trim_end());
    }
}
