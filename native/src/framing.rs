//! Where records seem to end.

/// Bytes that are looked at together; the compiler makes vector instructions of it.
const BLOCK: usize = 64;

/// Where pieces end, exclusive: after every newline, and, if `seams`, between every `}` and a `{` that touch.
pub fn ends(bytes: &[u8], seams: bool, found: &mut Vec<i64>) {
    let mut start = 0;
    while start < bytes.len() {
        let block = &bytes[start..bytes.len().min(start + BLOCK)];
        // The byte behind the block belongs to a seam, too.
        let after = &bytes[start + 1..bytes.len().min(start + BLOCK + 1)];
        if has_end(block, after, seams) {
            for (place, &byte) in block.iter().enumerate() {
                let is_seam = seams && byte == b'}' && after.get(place) == Some(&b'{');
                if byte == b'\n' || is_seam {
                    found.push((start + place + 1) as i64);
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
