//! A name server of a test's own, which says what it is told to.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What the name server says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Addresses(Vec<Ipv4Addr>),
    /// These, and nothing about other versions of IP.
    OnlyThese(Vec<Ipv4Addr>),
    /// Priority, weight, port and target of each.
    Services(Vec<(u16, u16, u16, &'static str)>),
    Code(ResponseCode),
}

/// A name server, which says the same of all names but those of `hosts`.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    queries: Arc<AtomicUsize>,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}

pub(crate) fn hosts(numbers: &[u8]) -> Answer {
    Answer::Addresses(numbers.iter().copied().map(host).collect())
}

impl NameServer {
    pub(crate) async fn start(ttl: u32, answer: Answer) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let queries = Arc::new(AtomicUsize::new(0));
        let (says, counted) = (Arc::clone(&answer), Arc::clone(&queries));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let query = Message::from_vec(&buffer[..length]).unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let response = respond(&query, &says.lock().unwrap(), ttl);
                let _ = socket.send_to(&response.to_vec().unwrap(), from).await;
            }
        });
        Self {
            address,
            answer,
            queries,
            task,
        }
    }

    pub(crate) fn say(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }
}

fn respond(query: &Message, answer: &Answer, ttl: u32) -> Message {
    let asked = query.query().unwrap();
    let mut response = Message::new();
    response
        .set_id(query.id())
        .set_message_type(MessageType::Response)
        .set_recursion_available(true)
        .add_query(asked.clone());
    let name = asked.name();
    // jvm7.test has the address 127.0.0.7, and jvm7.local.test that of all others.
    let text = name.to_ascii();
    let number = text
        .strip_prefix("jvm")
        .and_then(|text| text.split('.').next()?.parse().ok())
        .map(|number| if text.contains(".local.") { 1 } else { number });
    let data: Vec<RData> = match (answer, asked.query_type(), number) {
        (Answer::Code(code), ..) => {
            response.set_response_code(*code);
            Vec::new()
        }
        // What gone.test is it does not tell.
        _ if text.starts_with("gone.") => {
            response.set_response_code(ResponseCode::ServFail);
            Vec::new()
        }
        (Answer::OnlyThese(_), RecordType::AAAA, _) => {
            response.set_response_code(ResponseCode::ServFail);
            Vec::new()
        }
        (_, RecordType::A, Some(number)) => vec![RData::A(A(host(number)))],
        (Answer::Addresses(all) | Answer::OnlyThese(all), RecordType::A, None) => {
            all.iter().map(|&address| RData::A(A(address))).collect()
        }
        (Answer::Services(all), RecordType::SRV, None) => {
            let service = |&(priority, weight, port, target): &(u16, u16, u16, &str)| {
                RData::SRV(SRV::new(
                    priority,
                    weight,
                    port,
                    Name::from_ascii(target).unwrap(),
                ))
            };
            all.iter().map(service).collect()
        }
        _ => Vec::new(),
    };
    for data in data {
        response.add_answer(Record::from_rdata(name.clone(), ttl, data));
    }
    response
}
