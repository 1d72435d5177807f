//! What is proved, one module for each target: `run` takes any bytes and panics where a promise
//! does not hold. libFuzzer calls them by way of `fuzz_targets`, `flood` directly.

pub mod captures;
pub mod client_claims;
pub mod client_conversation;
pub mod decode_to_container;
pub mod decode_to_web_server;
pub mod http2_requests;
pub mod http_mapping;
pub mod packet_relay;
pub mod packet_texts;
pub mod roundtrip;
pub mod server_conversation;
pub mod site_paths;

/// A target by its name.
pub type Run = fn(&[u8]);

/// All of them.
pub const ALL: [(&str, Run); 12] = [
    ("captures", captures::run),
    ("client_claims", client_claims::run),
    ("client_conversation", client_conversation::run),
    ("decode_to_container", decode_to_container::run),
    ("decode_to_web_server", decode_to_web_server::run),
    ("http2_requests", http2_requests::run),
    ("http_mapping", http_mapping::run),
    ("packet_relay", packet_relay::run),
    ("packet_texts", packet_texts::run),
    ("roundtrip", roundtrip::run),
    ("server_conversation", server_conversation::run),
    ("site_paths", site_paths::run),
];
