//! Typed DynamoDB values made plain: without the wrappers that name their types.
//! https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
//!
//! What is rare is left to cdc_merge/feed/typed.py: sets of numbers and of bytes, numbers that JSON cannot say.

use crate::json::{Sure, Text, Unsure, Walker};
use crate::look::Texts;

/// DynamoDB has 38 digits, a sign, a point, and an exponent of three.
const LONGEST_NUMBER: usize = 48;

/// Make values plain, one after the other; there is no text of those that are left to another reader.
///
/// `twice`: binary values are base64 of base64.
pub fn put_all<'a>(values: impl Iterator<Item = &'a [u8]>, twice: bool, found: &mut Texts) {
    found.clear();
    for value in values {
        let mut walker = Walker::new(value);
        let done = put_value(&mut walker, twice, &mut found.bytes).and_then(|()| walker.end());
        found.end_line(done.is_ok());
    }
}

fn put_value(walker: &mut Walker, twice: bool, out: &mut Vec<u8>) -> Sure<()> {
    let mut members = 0;
    walker.object(|walker, tag| {
        members += 1;
        if members > 1 {
            return Err(Unsure);
        }
        put_payload(walker, tag.raw, twice, out)
    })?;
    if members == 1 {
        Ok(())
    } else {
        Err(Unsure)
    }
}

fn put_payload(walker: &mut Walker, tag: &[u8], twice: bool, out: &mut Vec<u8>) -> Sure<()> {
    let start = out.len();
    match tag {
        b"S" => put_as_it_came(walker.string()?, out),
        b"B" if !twice => put_as_it_came(walker.string()?, out),
        b"N" => put_number(walker.string()?, out)?,
        b"BOOL" => {
            let word: &[u8] = match walker.next_token() {
                b't' => b"true",
                _ => b"false",
            };
            walker.word(word)?;
            out.extend_from_slice(word);
        }
        b"NULL" => {
            walker.next_token();
            walker.word(b"true")?;
            out.extend_from_slice(b"null");
        }
        b"M" => {
            walker.object(|walker, name| {
                out.push(if out.len() == start { b'{' } else { b',' });
                put_as_it_came(name, out);
                out.push(b':');
                put_value(walker, twice, out)
            })?;
            close(b"{}", start, out);
        }
        b"L" => {
            walker.array(|walker, _| {
                out.push(if out.len() == start { b'[' } else { b',' });
                put_value(walker, twice, out)
            })?;
            close(b"[]", start, out);
        }
        b"SS" => put_set(walker, out)?,
        _ => return Err(Unsure),
    }
    Ok(())
}

/// Close what was opened by its first element, if it has any.
fn close(braces: &[u8; 2], start: usize, out: &mut Vec<u8>) {
    if out.len() == start {
        out.push(braces[0]);
    }
    out.push(braces[1]);
}

fn put_as_it_came(text: Text, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.raw);
    out.push(b'"');
}

/// A number with the digits it has.
fn put_number(text: Text, out: &mut Vec<u8>) -> Sure<()> {
    let mut walker = Walker::new(text.raw);
    let number = walker.number()?;
    let last_digits = number.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let has_exponent = number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    if number.len() < text.raw.len() || number.len() > LONGEST_NUMBER || (has_exponent && last_digits > 2) {
        return Err(Unsure);
    }
    out.extend_from_slice(number);
    Ok(())
}

/// Strings in the order of their bytes, which is that of their characters.
fn put_set(walker: &mut Walker, out: &mut Vec<u8>) -> Sure<()> {
    let start = out.len();
    let mut elements = Vec::new();
    walker.array(|walker, _| {
        let text = walker.string()?;
        if text.is_escaped {
            return Err(Unsure);
        }
        elements.push(text);
        Ok(())
    })?;
    elements.sort_unstable_by_key(|text| text.raw);
    for element in elements {
        out.push(if out.len() == start { b'[' } else { b',' });
        put_as_it_came(element, out);
    }
    close(b"[]", start, out);
    Ok(())
}
