//! The text of a JSON value, as DuckDB's json_extract_string gives it: of a string what it says, of anything else its
//! JSON, written without blanks and with as few escapes as can be.
//! https://duckdb.org/docs/stable/data/json/json_functions

use crate::json::{unicode, Spelling, Sure, Text, Unsure, Walker};

/// How far `}` is from `{`, and `]` from `[`.
const CLOSING: u8 = 2;

/// Append what a string says.
pub fn put_string(text: Text, out: &mut Vec<u8>) -> Sure<()> {
    if !text.is_escaped {
        out.extend_from_slice(text.raw);
        return Ok(());
    }
    let mut rest = text.raw;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        rest = put_escape(&rest[at..], out)?;
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Append what an escape stands for, and return what follows it.
fn put_escape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Sure<&'a [u8]> {
    let letter = *text.get(1).ok_or(Unsure)?;
    let byte = match letter {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let (character, length) = unicode(text)?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(&text[length..]);
        }
        other => other,
    };
    out.push(byte);
    Ok(&text[2..])
}

/// Append the JSON of a value that a walker has walked over: `raw` is how it is written there.
pub fn put_json(raw: &[u8], spelling: Spelling, out: &mut Vec<u8>) -> Sure<()> {
    if spelling == Spelling::Plain {
        out.extend_from_slice(raw);
        return Ok(());
    }
    let mut walker = Walker::new(raw);
    put_value(&mut walker, out)
}

fn put_value(walker: &mut Walker, out: &mut Vec<u8>) -> Sure<()> {
    let (start, first) = (out.len(), walker.next_token());
    match first {
        b'"' => return put_quoted(walker.string()?, out),
        b'{' => walker.object(|walker, key| {
            out.push(if out.len() == start { b'{' } else { b',' });
            put_quoted(key, out)?;
            out.push(b':');
            put_value(walker, out)
        })?,
        b'[' => walker.array(|walker, _| {
            out.push(if out.len() == start { b'[' } else { b',' });
            put_value(walker, out)
        })?,
        b't' | b'f' | b'n' => {
            let start = walker.place();
            walker.value()?;
            out.extend_from_slice(walker.since(start));
            return Ok(());
        }
        _ => return put_number(walker.number()?, out),
    }
    if out.len() == start {
        out.push(first); // nothing is inside
    }
    out.push(first + CLOSING);
    Ok(())
}

fn put_quoted(text: Text, out: &mut Vec<u8>) -> Sure<()> {
    out.push(b'"');
    if text.is_escaped {
        let mut said = Vec::with_capacity(text.raw.len());
        put_string(text, &mut said)?;
        for byte in said {
            put_escaped(byte, out);
        }
    } else {
        out.extend_from_slice(text.raw);
    }
    out.push(b'"');
    Ok(())
}

fn put_escaped(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0..=0x1f => out.extend_from_slice(format!("\\u{byte:04X}").as_bytes()),
        _ => out.push(byte),
    }
}

/// A whole number stays as it is; any other becomes the shortest text of the double that it is read as.
pub fn put_number(raw: &[u8], out: &mut Vec<u8>) -> Sure<()> {
    if raw == b"-0" {
        return Err(Unsure);
    }
    if !raw.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        out.extend_from_slice(raw);
        return Ok(());
    }
    let text = std::str::from_utf8(raw).map_err(|_| Unsure)?;
    let number: f64 = text.parse().map_err(|_| Unsure)?;
    // Beyond these there are several ways to write an exponent.
    if !(1e-4..1e15).contains(&number.abs()) {
        return Err(Unsure);
    }
    out.extend_from_slice(format!("{number:?}").as_bytes());
    Ok(())
}
