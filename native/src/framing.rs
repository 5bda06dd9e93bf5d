//! Where records seem to end.

/// Bytes that are looked at together; the compiler makes vector instructions of it.
const BLOCK: usize = 64;

/// Of a block with an end, bytes that are looked at together.
const WORD: usize = 8;

/// Where pieces end, exclusive: after every newline, and, if `seams`, between every `}` and a `{` that touch.
pub fn ends(bytes: &[u8], seams: bool, found: &mut Vec<i64>) {
    let mut start = 0;
    while start < bytes.len() {
        let block = &bytes[start..bytes.len().min(start + BLOCK)];
        // The byte behind the block belongs to a seam, too.
        let after = &bytes[start + 1..bytes.len().min(start + BLOCK + 1)];
        if has_end(block, after, seams) {
            for (number, word) in block.chunks(WORD).enumerate() {
                if may_have_end(word) {
                    put_ends(word, &after[number * WORD..], seams, start + number * WORD, found);
                }
            }
        }
        start += BLOCK;
    }
}

#[inline(always)]
fn has_end(block: &[u8], after: &[u8], seams: bool) -> bool {
    let mut any = 0u8;
    if let (Ok(block), Ok(after)) = (<&[u8; BLOCK]>::try_from(block), <&[u8; BLOCK]>::try_from(after)) {
        for place in 0..BLOCK {
            let is_seam = u8::from(block[place] == b'}') & u8::from(after[place] == b'{') & u8::from(seams);
            any |= u8::from(block[place] == b'\n') | is_seam;
        }
        return any != 0;
    }
    true
}

/// Whether a newline or a `}` is among the bytes.
/// https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord
#[inline(always)]
fn may_have_end(word: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    match word.try_into() {
        Ok(word) => {
            let word = u64::from_le_bytes(word);
            has_zero(word ^ (ONES * u64::from(b'\n'))) | has_zero(word ^ (ONES * u64::from(b'}'))) != 0
        }
        Err(_) => true, // at the end of all bytes
    }
}

/// The ends among some bytes that begin at a place. `after`: what follows each of them.
fn put_ends(bytes: &[u8], after: &[u8], seams: bool, start: usize, found: &mut Vec<i64>) {
    for (place, &byte) in bytes.iter().enumerate() {
        let is_seam = seams && byte == b'}' && after.get(place) == Some(&b'{');
        if byte == b'\n' || is_seam {
            found.push((start + place + 1) as i64);
        }
    }
}
