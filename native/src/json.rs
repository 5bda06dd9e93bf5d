//! Walks through the JSON of one line, strictly: whoever reads it afterwards will find the same values in it.
//!
//! What is no JSON by RFC 8259, or nests deep, ends as `Unsure`, which is no verdict: DuckDB looks at such lines.

/// This line is left to another reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsure;

pub type Sure<T> = Result<T, Unsure>;

/// DynamoDB nests 32 levels, about 70 of its JSON.
/// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
pub const MOST_LEVELS: usize = 200;

/// What lies between the quotes of a string, and whether some of it is escaped.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    pub raw: &'a [u8],
    pub is_escaped: bool,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// Byte for byte as a writer without blanks writes it.
    Plain,
    /// With blanks, escapes, or numbers that can be written in several ways.
    Other,
}

pub struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    levels: usize,
    /// Of all that was walked over since it was last set to Plain.
    pub spelling: Spelling,
}

impl<'a> Walker<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Walker {
            bytes,
            at: 0,
            levels: 0,
            spelling: Spelling::Plain,
        }
    }

    /// The bytes walked over since a place.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    pub fn place(&self) -> usize {
        self.at
    }

    /// The byte ahead; 0 at the end, which stands nowhere in JSON.
    #[inline(always)]
    pub fn ahead(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Go on to what is no blank, and tell which byte that is.
    #[inline(always)]
    pub fn next_token(&mut self) -> u8 {
        let byte = self.ahead();
        if byte > b' ' {
            return byte;
        }
        self.skip_blanks()
    }

    #[cold]
    fn skip_blanks(&mut self) -> u8 {
        while matches!(self.ahead(), b' ' | b'\t' | b'\n' | b'\r') {
            self.spelling = Spelling::Other;
            self.at += 1;
        }
        self.ahead()
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Sure<()> {
        if self.next_token() != byte {
            return Err(Unsure);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but blanks follow.
    pub fn end(&mut self) -> Sure<()> {
        self.next_token();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Unsure)
        }
    }

    #[inline(always)]
    pub fn string(&mut self) -> Sure<Text<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            self.run_of_plain_bytes();
            match self.ahead() {
                b'"' => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, is_escaped });
                }
                b'\\' => {
                    is_escaped = true;
                    self.spelling = Spelling::Other;
                    self.escape()?;
                }
                byte if byte < b' ' => return Err(Unsure),
                _ => self.at += 1,
            }
        }
    }

    /// Eight bytes at a time while none of them is a quote, a backslash or a control character.
    #[inline(always)]
    fn run_of_plain_bytes(&mut self) {
        while let Some(eight) = self.bytes.get(self.at..self.at + 8) {
            let word = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
            let marks = special_bytes(word);
            if marks != 0 {
                self.at += (marks.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
    }

    fn escape(&mut self) -> Sure<()> {
        self.at += match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => unicode(&self.bytes[self.at..])?.1,
            _ => return Err(Unsure),
        };
        Ok(())
    }

    /// Walk over an object: `member` is called with each key, and has to walk over its value.
    #[inline(always)]
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, Text<'a>) -> Sure<()>) -> Sure<()> {
        self.expect(b'{')?;
        self.descend()?;
        if self.next_token() == b'}' {
            self.at += 1;
        } else {
            loop {
                self.next_token();
                let key = self.string()?;
                self.expect(b':')?;
                member(self, key)?;
                if self.is_last(b'}')? {
                    break;
                }
            }
        }
        self.levels -= 1;
        Ok(())
    }

    /// Walk over an array: `element` is called with each place, from 0, and has to walk over what is there.
    #[inline(always)]
    pub fn array(&mut self, mut element: impl FnMut(&mut Self, usize) -> Sure<()>) -> Sure<()> {
        self.expect(b'[')?;
        self.descend()?;
        if self.next_token() == b']' {
            self.at += 1;
        } else {
            let mut place = 0;
            loop {
                element(self, place)?;
                place += 1;
                if self.is_last(b']')? {
                    break;
                }
            }
        }
        self.levels -= 1;
        Ok(())
    }

    fn descend(&mut self) -> Sure<()> {
        self.levels += 1;
        if self.levels > MOST_LEVELS {
            return Err(Unsure);
        }
        Ok(())
    }

    /// Step over a comma, or over what closes.
    #[inline(always)]
    fn is_last(&mut self, closing: u8) -> Sure<bool> {
        let byte = self.next_token();
        if byte != b',' && byte != closing {
            return Err(Unsure);
        }
        self.at += 1;
        Ok(byte == closing)
    }

    /// Walk over whatever value comes.
    #[inline]
    pub fn value(&mut self) -> Sure<()> {
        match self.next_token() {
            b'{' | b'[' => self.nested(),
            _ => self.scalar(),
        }
    }

    #[inline(always)]
    fn scalar(&mut self) -> Sure<()> {
        match self.next_token() {
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// An object or an array, without calling itself for what is inside: most of a line is walked over here.
    fn nested(&mut self) -> Sure<()> {
        let mut are_objects = [false; MOST_LEVELS + 1];
        let outside = self.levels;
        loop {
            // At the beginning of a value.
            let first = self.next_token();
            if first == b'{' || first == b'[' {
                self.at += 1;
                self.descend()?;
                are_objects[self.levels] = first == b'{';
                if self.next_token() != first + 2 {
                    self.key_in(are_objects[self.levels])?;
                    continue;
                }
                self.at += 1;
                self.levels -= 1;
            } else {
                self.scalar()?;
            }
            // After a value.
            loop {
                if self.levels == outside {
                    return Ok(());
                }
                let is_object = are_objects[self.levels];
                if self.is_last(if is_object { b'}' } else { b']' })? {
                    self.levels -= 1;
                } else {
                    self.key_in(is_object)?;
                    break;
                }
            }
        }
    }

    /// In an object, walk over a key and its colon.
    #[inline(always)]
    fn key_in(&mut self, is_object: bool) -> Sure<()> {
        if is_object {
            self.string()?;
            self.expect(b':')?;
        }
        Ok(())
    }

    pub fn word(&mut self, word: &[u8]) -> Sure<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Unsure);
        }
        self.at += word.len();
        Ok(())
    }

    /// A number as it is written.
    pub fn number(&mut self) -> Sure<&'a [u8]> {
        let start = self.at;
        if self.ahead() == b'-' {
            self.at += 1;
        }
        let whole = self.digits()?;
        if whole.len() > 1 && whole[0] == b'0' {
            return Err(Unsure);
        }
        if whole == b"0" && self.at - start == 2 {
            self.spelling = Spelling::Other; // -0
        }
        if self.ahead() == b'.' {
            self.at += 1;
            self.digits()?;
            self.spelling = Spelling::Other;
        }
        if matches!(self.ahead(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.ahead(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
            self.spelling = Spelling::Other;
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) -> Sure<&'a [u8]> {
        let start = self.at;
        while self.ahead().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start {
            return Err(Unsure);
        }
        Ok(self.since(start))
    }
}

/// The character that `\uXXXX` stands for, or two of them where they are the halves of one; and how long that is. A half
/// alone is no text.
pub fn unicode(text: &[u8]) -> Sure<(char, usize)> {
    let unit = code_unit(text)?;
    let (point, length) = match unit {
        0xd800..=0xdbff => {
            let low = code_unit(&text[6..])?;
            if !(0xdc00..=0xdfff).contains(&low) {
                return Err(Unsure);
            }
            (0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        _ => (unit, 6),
    };
    Ok((char::from_u32(point).ok_or(Unsure)?, length))
}

fn code_unit(text: &[u8]) -> Sure<u32> {
    if !text.starts_with(b"\\u") {
        return Err(Unsure);
    }
    let digits = text.get(2..6).ok_or(Unsure)?;
    let digit = |all: u32, &byte: &u8| Some(all << 4 | char::from(byte).to_digit(16)?);
    digits.iter().try_fold(0, digit).ok_or(Unsure)
}

/// The high bit of each byte that is a quote, a backslash or below a blank; above the first of them it may be wrong.
/// https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zeros(word ^ (ONES * b'"' as u64));
    let slashes = zeros(word ^ (ONES * b'\\' as u64));
    let controls = word.wrapping_sub(ONES * b' ' as u64) & !word;
    (quotes | slashes | controls) & HIGH
}
