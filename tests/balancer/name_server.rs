//! A name server of a test's own, which says what it is told to.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// Answers over UDP are no longer than this (RFC 1035).
const LONGEST_UDP: usize = 512;

/// What the name server says. Of several records another one is the first each time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Addresses(Vec<IpAddr>),
    /// These, and nothing about other versions of IP.
    OnlyThese(Vec<Ipv4Addr>),
    /// As `OnlyThese`, and questions about other versions of IP get no answer at all.
    SilentAboutIpv6(Vec<Ipv4Addr>),
    /// The name is another name of another name, and so on, so many times: told in one answer,
    /// or each in its own.
    Aliases {
        count: usize,
        at_once: bool,
        address: Ipv4Addr,
    },
    /// Priority, weight, port and target of each.
    Services(Vec<(u16, u16, u16, &'static str)>),
    /// The hosts of these numbers as a service, and no answers about their IPv6 addresses.
    ManySilentAboutIpv6(Vec<u8>),
    Code(ResponseCode),
    /// No answer at all.
    Silence,
}

/// A name server, which says the same of all names but those of `hosts`.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    queries: Arc<AtomicUsize>,
    over_tcp: Arc<AtomicUsize>,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}

pub(crate) fn hosts(numbers: &[u8]) -> Answer {
    Answer::Addresses(numbers.iter().map(|&number| host(number).into()).collect())
}

impl NameServer {
    pub(crate) async fn start(ttl: u32, answer: Answer) -> Self {
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            if let Ok(socket) = UdpSocket::bind(address).await {
                break (listener, socket);
            }
        };
        let address = socket.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let queries = Arc::new(AtomicUsize::new(0));
        let over_tcp = Arc::new(AtomicUsize::new(0));
        let (says, counted, long) = (
            Arc::clone(&answer),
            Arc::clone(&queries),
            Arc::clone(&over_tcp),
        );
        let respond = move |query: &[u8]| {
            let query = Message::from_vec(query).unwrap();
            let turn = counted.fetch_add(1, Ordering::SeqCst);
            respond(&query, &says.lock().unwrap(), ttl, turn)
        };
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                tokio::select! {
                    received = socket.recv_from(&mut buffer) => {
                        let (length, from) = received.unwrap();
                        let Some(mut response) = respond(&buffer[..length]) else {
                            continue;
                        };
                        if response.to_vec().unwrap().len() > LONGEST_UDP {
                            response = response.truncate();
                        }
                        let _ = socket.send_to(&response.to_vec().unwrap(), from).await;
                    }
                    accepted = listener.accept() => {
                        long.fetch_add(1, Ordering::SeqCst);
                        // One question, which is all that is asked over TCP here.
                        let (mut stream, _) = accepted.unwrap();
                        let query = read(&mut stream).await;
                        if let Some(response) = respond(&query) {
                            let response = response.to_vec().unwrap();
                            let length = u16::try_from(response.len()).unwrap();
                            stream.write_all(&length.to_be_bytes()).await.unwrap();
                            stream.write_all(&response).await.unwrap();
                        }
                    }
                }
            }
        });
        Self {
            address,
            answer,
            queries,
            over_tcp,
            task,
        }
    }

    pub(crate) fn say(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub(crate) fn over_tcp(&self) -> usize {
        self.over_tcp.load(Ordering::SeqCst)
    }
}

async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).await.unwrap();
    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut query).await.unwrap();
    query
}

fn respond(query: &Message, answer: &Answer, ttl: u32, turn: usize) -> Option<Message> {
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
    let kind = asked.query_type();
    let mut records: Vec<(Name, RData)> = Vec::new();
    let mut tell = |data: RData| records.push((name.clone(), data));
    match (answer, kind, number) {
        (Answer::Code(code), ..) => {
            response.set_response_code(*code);
        }
        (Answer::Silence, ..)
        | (Answer::SilentAboutIpv6(_) | Answer::ManySilentAboutIpv6(_), RecordType::AAAA, _) => {
            return None;
        }
        // What gone.test is it does not tell.
        _ if text.starts_with("gone.") => {
            response.set_response_code(ResponseCode::ServFail);
        }
        (Answer::OnlyThese(_), RecordType::AAAA, _) => {
            response.set_response_code(ResponseCode::ServFail);
        }
        (_, RecordType::A, Some(number)) => tell(RData::A(A(host(number)))),
        (Answer::OnlyThese(all) | Answer::SilentAboutIpv6(all), RecordType::A, None) => {
            for &address in all {
                tell(RData::A(A(address)));
            }
        }
        (Answer::Addresses(all), RecordType::A, None) => {
            for address in all {
                if let IpAddr::V4(address) = address {
                    tell(RData::A(A(*address)));
                }
            }
        }
        (Answer::Addresses(all), RecordType::AAAA, None) => {
            for address in all {
                if let IpAddr::V6(address) = address {
                    tell(RData::AAAA(AAAA(*address)));
                }
            }
        }
        (
            Answer::Aliases {
                count,
                at_once,
                address,
            },
            kind,
            None,
        ) => records = aliases(name, *count, *at_once, *address, kind),
        (Answer::Services(all), RecordType::SRV, None) => {
            for &(priority, weight, port, target) in all {
                let target = Name::from_ascii(target).unwrap();
                tell(RData::SRV(SRV::new(priority, weight, port, target)));
            }
        }
        (Answer::ManySilentAboutIpv6(all), RecordType::SRV, None) => {
            for number in all {
                let target = Name::from_ascii(format!("jvm{number}.test.")).unwrap();
                tell(RData::SRV(SRV::new(0, 1, 8009, target)));
            }
        }
        _ => {}
    }
    if !records.is_empty() && !matches!(answer, Answer::Aliases { .. }) {
        let first = turn % records.len();
        records.rotate_left(first);
    }
    for (name, data) in records {
        response.add_answer(Record::from_rdata(name, ttl, data));
    }
    Some(response)
}

/// From one name to the next, and the address of the last.
fn aliases(
    name: &Name,
    count: usize,
    at_once: bool,
    address: Ipv4Addr,
    kind: RecordType,
) -> Vec<(Name, RData)> {
    let alias = |number: usize| Name::from_ascii(format!("alias{number}.test.")).unwrap();
    let text = name.to_ascii();
    let here = text.strip_prefix("alias").and_then(|text| {
        let number: usize = text.split('.').next()?.parse().ok()?;
        Some(number)
    });
    let mut here = here.unwrap_or(0);
    let mut records = Vec::new();
    let mut name = name.clone();
    while here < count {
        here += 1;
        records.push((name, RData::CNAME(CNAME(alias(here)))));
        name = alias(here);
        if !at_once {
            return records;
        }
    }
    if kind == RecordType::A {
        records.push((name, RData::A(A(address))));
    }
    records
}
