//! Every order of events, up to a bound, and random ones beyond it.
//!
//! `SCHEDULES` is how many orders of each model are tried, default 3000: half of them random,
//! half of them such that few changes of the thread are enough to find a fault. A failure prints
//! its schedule.

use ajp_models::{client, cluster, replay};

fn check(model: fn()) {
    let number = std::env::var("SCHEDULES").map_or(3_000, |text| text.parse().unwrap());
    shuttle::check_dfs(model, Some(number / 3));
    shuttle::check_random(model, number / 3);
    shuttle::check_pct(model, number / 3, 3);
}

#[test]
fn permits_add_up() {
    check(client::permits_add_up);
}

#[test]
fn everybody_is_told_of_the_shutdown() {
    check(client::everybody_is_told_of_the_shutdown);
}

#[test]
fn the_cap_holds() {
    check(client::the_cap_holds);
}

#[test]
fn what_is_being_closed_counts() {
    check(client::what_is_being_closed_counts);
}

#[test]
fn one_request_is_told_of_a_changed_secret() {
    check(client::one_request_is_told_of_a_changed_secret);
}

#[test]
fn a_smaller_pool_gets_small() {
    check(client::a_smaller_pool_gets_small);
}

#[test]
fn nothing_is_left_after_the_shutdown() {
    check(client::nothing_is_left_after_the_shutdown);
}

#[test]
fn both_get_the_whole_body() {
    check(replay::both_get_the_whole_body);
}

#[test]
fn a_body_that_is_not_kept_is_whole_or_fails() {
    check(replay::a_body_that_is_not_kept_is_whole_or_fails);
}

#[test]
fn one_request_tries_a_failed_member() {
    check(cluster::one_request_tries_a_failed_member);
}

#[test]
fn a_trial_that_is_given_up_is_for_the_next() {
    check(cluster::a_trial_that_is_given_up_is_for_the_next);
}

#[test]
fn a_member_that_is_removed_goes_with_its_last_request() {
    check(cluster::a_member_that_is_removed_goes_with_its_last_request);
}
