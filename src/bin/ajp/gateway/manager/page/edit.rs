//! Buttons and forms.

use super::super::markup::Markup;
use super::{FLAGS, page_of};
use crate::gateway::settings::Object;
use ajp::balancer::{BalancerSnapshot, Flags, MemberSnapshot, MemberState, Method};
use serde_json::Value;

const ACTIONS: &str = include_str!("../templates/actions.html");
const EDIT_MEMBER: &str = include_str!("../templates/edit_member.html");
const SETTING: &str = include_str!("../templates/setting.html");
const EDIT_BALANCER: &str = include_str!("../templates/edit_balancer.html");

/// What can be done to a member with one click.
pub(super) fn actions(
    nonce: &str,
    balancer: &str,
    member: &MemberSnapshot,
    refresh: u32,
) -> Markup {
    let flags = member.flags;
    let mut buttons = Vec::new();
    let off = Flags::DISABLED | Flags::STOPPED;
    if flags.intersects(off) {
        buttons.push(("status", "-D-S", "Enable"));
    } else if flags.contains(Flags::DRAINING) {
        buttons.push(("status", "-N", "Resume"));
    } else {
        buttons.push(("status", "+N", "Drain"));
    }
    if !flags.intersects(off) {
        buttons.push(("status", "+D", "Disable"));
    }
    if !matches!(
        member.state,
        MemberState::Ok | MemberState::Full | MemberState::Leaving
    ) {
        buttons.push(("recover", "1", "Recover"));
    }
    let buttons = buttons.into_iter().map(|(name, value, word)| {
        let button = "<button name=\"{{name}}\" value=\"{{value}}\">{{word}}</button>\n";
        let slots = [
            ("name", name.into()),
            ("value", value.into()),
            ("word", word.into()),
        ];
        Markup::fill(button, &slots)
    });
    Markup::fill(
        ACTIONS,
        &[
            ("nonce", nonce.into()),
            ("balancer", balancer.into()),
            ("member", (&*member.name).into()),
            ("refresh", refresh.into()),
            ("buttons", buttons.collect::<Markup>().into()),
            ("edit", page_of(balancer, Some(&member.name)).into()),
        ],
    )
}

/// Settings that have a field of another kind, or none at all.
const ELSEWHERE: [&str; 6] = ["name", "weight", "set", "flags", "method", "fail_on_status"];

/// A field for each of these settings.
fn fields(settings: &Object) -> Markup {
    let shown = settings.iter();
    let shown = shown.filter(|(key, _)| !ELSEWHERE.contains(&key.as_str()));
    shown
        .map(|(key, value)| {
            let value = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            let slots = [("key", (&**key).into()), ("value", value.into())];
            Markup::fill(SETTING, &slots)
        })
        .collect()
}

pub(super) fn edit_member(
    nonce: &str,
    balancer: &str,
    member: &MemberSnapshot,
    settings: &Object,
) -> Markup {
    let flags = FLAGS.iter().map(|(flag, word, meaning)| {
        let checked = if member.flags.contains(*flag) {
            " checked"
        } else {
            ""
        };
        Markup::fill(
            "<label><input type=\"checkbox\" name=\"flag\" value=\"{{letter}}\"{{checked}}> \
             {{word}} <span class=\"dim\">{{meaning}}</span></label>\n",
            &[
                ("letter", flag.to_string().into()),
                ("checked", checked.into()),
                ("word", (*word).into()),
                ("meaning", (*meaning).into()),
            ],
        )
    });
    Markup::fill(
        EDIT_MEMBER,
        &[
            ("nonce", nonce.into()),
            ("balancer", balancer.into()),
            ("name", (&*member.name).into()),
            ("weight", member.weight.to_string().into()),
            ("set", member.set.into()),
            ("flags", flags.collect::<Markup>().into()),
            ("settings", fields(settings).into()),
        ],
    )
}

pub(super) fn edit_balancer(nonce: &str, balancer: &BalancerSnapshot, settings: &Object) -> Markup {
    let methods = Method::NAMES.iter().map(|name| {
        let selected = if balancer.method == *name {
            " selected"
        } else {
            ""
        };
        let slots = [("name", (*name).into()), ("selected", selected.into())];
        Markup::fill("<option{{selected}}>{{name}}</option>", &slots)
    });
    Markup::fill(
        EDIT_BALANCER,
        &[
            ("nonce", nonce.into()),
            ("name", (&*balancer.name).into()),
            ("methods", methods.collect::<Markup>().into()),
            ("settings", fields(settings).into()),
        ],
    )
}
