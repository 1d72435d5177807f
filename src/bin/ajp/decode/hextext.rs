//! Hex dumps back to bytes: plain digits, xxd, hexdump -C, tshark -x.

/// The blocks of bytes in a text. A block ends where the offsets begin again at 0; text
/// without offsets is one block.
pub(crate) fn blocks(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut plain: Option<Digits> = None;
    let mut ignored = false;
    for (number, line) in text.lines().enumerate() {
        let number = number.saturating_add(1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((offset, rest)) = offset(line) {
            if offset == 0 {
                blocks.push(Vec::new());
            }
            if ignored {
                if offset == 0 {
                    blocks.pop();
                }
                continue;
            }
            let mut digits = Digits::default();
            digits.add(bytes_column(rest), number)?;
            let bytes = digits.finish(number)?;
            match blocks.last_mut() {
                Some(block) => block.extend(bytes),
                None => blocks.push(bytes),
            }
            continue;
        }
        // tshark names what follows: "Frame (219 bytes):", "Reassembled TCP (300 bytes):".
        if line.ends_with("bytes):") {
            ignored = !line.starts_with("Frame") && !line.starts_with("Packet");
            continue;
        }
        // hexdump ends with the offset of the end.
        if plain.is_none() && blocks.last().is_some_and(|block| is_end(line, block)) {
            continue;
        }
        plain.get_or_insert_default().add(line, number)?;
    }
    if let Some(digits) = plain {
        blocks.push(digits.finish(text.lines().count())?);
    }
    blocks.retain(|block| !block.is_empty());
    if blocks.is_empty() {
        return Err("holds no hex digits".to_owned());
    }
    Ok(blocks)
}

/// The offset at the beginning of a line, and what follows it.
fn offset(line: &str) -> Option<(u64, &str)> {
    let end = line.find(|c: char| !c.is_ascii_hexdigit())?;
    let (digits, rest) = line.split_at(end);
    let is_offset = match rest.strip_prefix(':') {
        // 12:34:00 is no offset.
        Some(after) => after.starts_with(' '),
        None => rest.starts_with("  "),
    };
    if !is_offset || !(4..=16).contains(&digits.len()) {
        return None;
    }
    let offset = u64::from_str_radix(digits, 16).ok()?;
    Some((offset, rest.trim_start_matches(':')))
}

fn is_end(line: &str, block: &[u8]) -> bool {
    let offset = u64::from_str_radix(line, 16);
    line.len() >= 4 && offset.ok() == u64::try_from(block.len()).ok()
}

/// Without the column of text behind the bytes.
fn bytes_column(rest: &str) -> &str {
    if let Some((bytes, _)) = rest.split_once('|') {
        return bytes;
    }
    let rest = rest.trim_start();
    // hexdump has two spaces in the middle, but it also has the bar.
    rest.split_once("  ").map_or(rest, |(bytes, _)| bytes)
}

#[derive(Default)]
struct Digits {
    bytes: Vec<u8>,
    half: Option<u8>,
}

impl Digits {
    fn add(&mut self, text: &str, line: usize) -> Result<(), String> {
        for word in text.split(|c: char| c.is_whitespace() || ",:-".contains(c)) {
            let word = word.strip_prefix("0x").unwrap_or(word);
            for c in word.chars() {
                let digit = c
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
                    .ok_or_else(|| {
                        format!(
                            "line {line}: {c:?} is no hex digit; if this is no hex text, --format names what it is"
                        )
                    })?;
                match self.half.take() {
                    Some(high) => self.bytes.push(high.wrapping_shl(4) | digit),
                    None => self.half = Some(digit),
                }
            }
        }
        Ok(())
    }

    fn finish(self, line: usize) -> Result<Vec<u8>, String> {
        match self.half {
            None => Ok(self.bytes),
            Some(_) => Err(format!("line {line}: an odd number of hex digits")),
        }
    }
}
