//! Frames out of pcap and pcapng files, read as a stream.

use std::io::{ErrorKind, Read};
use std::time::Duration;

/// No network has longer frames; a longer one is a damaged file.
const MAX_FRAME: u32 = 1 << 24;

/// One captured frame.
pub(super) struct Frame {
    /// Since 1970; `None` when the file tells none.
    pub(super) time: Option<Duration>,
    pub(super) link: u32,
    pub(super) data: Vec<u8>,
}

impl Frame {
    pub(super) fn without_time(data: Vec<u8>) -> Self {
        let link = super::segment::ETHERNET;
        Self {
            time: None,
            link,
            data,
        }
    }
}

/// Frames as they come, up to the first error.
pub(super) type Frames = Box<dyn Iterator<Item = Result<Frame, String>>>;

/// The frames of a capture file.
pub(super) fn frames(mut reader: impl Read + 'static, ng: bool) -> Result<Frames, String> {
    if ng {
        let mut file = PcapNg {
            reader,
            big: false,
            interfaces: Vec::new(),
        };
        let first = file.block().ok().flatten();
        if first.is_none_or(|(kind, _)| kind != SECTION) {
            return Err("is no pcapng file".to_owned());
        }
        return Ok(Box::new(until_error(move || file.frame())));
    }
    let header: [u8; 24] = exact(&mut reader)
        .ok()
        .flatten()
        .ok_or("is no pcap file: shorter than its header")?;
    let [a, b, c, d, ..] = header;
    let (big, nanos) = match [a, b, c, d] {
        [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
        [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
        [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
        [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
        _ => return Err("is no pcap file".to_owned()),
    };
    // The upper bits tell of checksums at the end of frames.
    let link = u32_at(&header, 20, big) & 0x0fff_ffff;
    Ok(Box::new(until_error(move || {
        let Some(head) = exact::<16>(&mut reader)? else {
            return Ok(None);
        };
        let fraction = u64::from(u32_at(&head, 4, big));
        let fraction = if nanos {
            Duration::from_nanos(fraction)
        } else {
            Duration::from_micros(fraction)
        };
        let time = Duration::from_secs(u32_at(&head, 0, big).into()) + fraction;
        let data = bytes(&mut reader, u32_at(&head, 8, big))?;
        Ok(Some(Frame {
            time: Some(time),
            link,
            data,
        }))
    })))
}

/// Ends after the first error.
fn until_error(
    mut next: impl FnMut() -> Result<Option<Frame>, String>,
) -> impl Iterator<Item = Result<Frame, String>> {
    let mut over = false;
    std::iter::from_fn(move || {
        let frame = if over { None } else { next().transpose() };
        over = !matches!(frame, Some(Ok(_)));
        frame
    })
}

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;

struct Interface {
    link: u32,
    snaplen: u32,
    /// How many ticks a second has.
    ticks: u64,
    offset: i64,
}

struct PcapNg<R> {
    reader: R,
    big: bool,
    interfaces: Vec<Interface>,
}

impl<R: Read> PcapNg<R> {
    /// Type and body of the next block.
    fn block(&mut self) -> Result<Option<(u32, Vec<u8>)>, String> {
        let Some(head) = exact::<8>(&mut self.reader)? else {
            return Ok(None);
        };
        let mut start = Vec::new();
        if u32_at(&head, 0, true) == SECTION {
            // A section has its own byte order.
            start = bytes(&mut self.reader, 4)?;
            self.big = start == [0x1a, 0x2b, 0x3c, 0x4d];
            self.interfaces.clear();
        }
        let total = u32_at(&head, 4, self.big);
        let taken = u32::try_from(start.len()).unwrap_or(0) + 12;
        let rest = total
            .checked_sub(taken)
            .filter(|_| total % 4 == 0)
            .ok_or_else(|| format!("is damaged: a block of {total} bytes"))?;
        start.extend(bytes(&mut self.reader, rest)?);
        // The length once more.
        bytes(&mut self.reader, 4)?;
        Ok(Some((u32_at(&head, 0, self.big), start)))
    }

    fn frame(&mut self) -> Result<Option<Frame>, String> {
        while let Some((kind, body)) = self.block()? {
            let big = self.big;
            let at = |at| u32_at(&body, at, big);
            let (interface, time, start, len) = match kind {
                INTERFACE => {
                    let interface = self.interface(&body);
                    self.interfaces.push(interface);
                    continue;
                }
                PACKET => (at(0), Some((at(4), at(8))), 20, at(12)),
                OLD_PACKET => {
                    let interface = u16_at(&body, 0, big).into();
                    (interface, Some((at(4), at(8))), 20, at(12))
                }
                SIMPLE_PACKET => {
                    let most = self.interfaces.first().map_or(0, |first| first.snaplen);
                    let most = if most == 0 { u32::MAX } else { most };
                    (0, None, 4, at(0).min(most))
                }
                _ => continue,
            };
            let interface = usize::try_from(interface)
                .ok()
                .and_then(|at| self.interfaces.get(at))
                .ok_or("is damaged: a frame of an unknown interface")?;
            let end = usize::try_from(len).unwrap_or(usize::MAX);
            let data = body.get(start..).unwrap_or_default();
            let data = data.get(..end.min(data.len())).unwrap_or_default();
            return Ok(Some(Frame {
                time: time.map(|(high, low)| interface.time(high, low)),
                link: interface.link,
                data: data.to_vec(),
            }));
        }
        Ok(None)
    }

    fn interface(&self, body: &[u8]) -> Interface {
        let mut interface = Interface {
            link: u16_at(body, 0, self.big).into(),
            snaplen: u32_at(body, 4, self.big),
            ticks: 1_000_000,
            offset: 0,
        };
        let mut options = body.get(8..).unwrap_or_default();
        while options.len() >= 4 {
            let (code, len) = (u16_at(options, 0, self.big), u16_at(options, 2, self.big));
            let len = usize::from(len);
            let value = options.get(4..).unwrap_or_default();
            match (code, value.get(..len)) {
                (0, _) => break,
                (9, Some(&[resolution])) => {
                    let exponent = u32::from(resolution & 0x7f);
                    let base = if resolution & 0x80 == 0 { 10u64 } else { 2 };
                    interface.ticks = base.saturating_pow(exponent);
                }
                (14, Some(offset)) if len == 8 => {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(offset);
                    interface.offset = if self.big {
                        i64::from_be_bytes(bytes)
                    } else {
                        i64::from_le_bytes(bytes)
                    };
                }
                _ => {}
            }
            options = value.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        interface
    }
}

impl Interface {
    fn time(&self, high: u32, low: u32) -> Duration {
        let ticks = (u64::from(high) << 32) | u64::from(low);
        let seconds = ticks.checked_div(self.ticks).unwrap_or_default();
        let rest = ticks.checked_rem(self.ticks).unwrap_or_default();
        let nanos = u128::from(rest)
            .saturating_mul(1_000_000_000)
            .checked_div(self.ticks.into())
            .and_then(|nanos| u64::try_from(nanos).ok());
        Duration::from_secs(seconds.saturating_add_signed(self.offset))
            .saturating_add(Duration::from_nanos(nanos.unwrap_or_default()))
    }
}

fn u32_at(bytes: &[u8], at: usize, big: bool) -> u32 {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    let &four = found.unwrap_or(&[0; 4]);
    if big {
        u32::from_be_bytes(four)
    } else {
        u32::from_le_bytes(four)
    }
}

fn u16_at(bytes: &[u8], at: usize, big: bool) -> u16 {
    let found = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    let &two = found.unwrap_or(&[0; 2]);
    if big {
        u16::from_be_bytes(two)
    } else {
        u16::from_le_bytes(two)
    }
}

/// `None` at the end of the file.
fn exact<const N: usize>(reader: &mut impl Read) -> Result<Option<[u8; N]>, String> {
    let mut head = [0; N];
    let mut len = 0;
    while let Some(rest) = head.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) if len == 0 => return Ok(None),
            Ok(0) => return Err("the file ends within a frame".to_owned()),
            Ok(n) => len += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("cannot be read: {error}")),
        }
    }
    Ok(Some(head))
}

fn bytes(reader: &mut impl Read, len: u32) -> Result<Vec<u8>, String> {
    if len > MAX_FRAME {
        return Err(format!("is damaged: a frame of {len} bytes"));
    }
    let mut bytes = Vec::new();
    reader
        .take(len.into())
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u32::try_from(bytes.len()) == Ok(len) {
        Ok(bytes)
    } else {
        Err("the file ends within a frame".to_owned())
    }
}
