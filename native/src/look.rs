//! One look into many lines: the texts at some JSON pointers, and how many members one object has.

use crate::json::{Spelling, Sure, Text, Unsure, Walker};
use crate::text::{put_json, put_number, put_string};

/// Texts of one pointer in many lines, as Arrow lays them out.
/// https://arrow.apache.org/docs/format/Columnar.html#variable-size-binary-layout
#[derive(Default)]
pub struct Texts {
    /// One more than there are lines.
    pub offsets: Vec<i32>,
    pub bytes: Vec<u8>,
    /// A bit for each line, the first the lowest: whether there is a text.
    pub validity: Vec<u8>,
    pub nulls: usize,
}

impl Texts {
    /// The text of a line.
    pub fn get(&self, line: usize) -> Option<&[u8]> {
        let is_valid = self.validity[line / 8] >> (line % 8) & 1 == 1;
        is_valid.then(|| &self.bytes[self.offsets[line] as usize..self.offsets[line + 1] as usize])
    }

    /// Append a text, given in parts.
    pub fn put(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.end_line(true);
    }

    pub fn clear(&mut self) {
        self.offsets.clear();
        self.offsets.push(0);
        self.bytes.clear();
        self.validity.clear();
        self.nulls = 0;
    }

    /// End the text of a line: all bytes that came since the last one, or none of them.
    pub fn end_line(&mut self, is_valid: bool) {
        let line = self.offsets.len() - 1;
        if !is_valid {
            self.bytes.truncate(self.offsets[line] as usize);
        }
        if line % 8 == 0 {
            self.validity.push(0);
        }
        if is_valid {
            self.validity[line / 8] |= 1 << (line % 8);
        } else {
            self.nulls += 1;
        }
        self.offsets
            .push(i32::try_from(self.bytes.len()).expect("texts of a portion are shorter than 2 GiB"));
    }
}

/// What was found in some lines, one row for each.
#[derive(Default)]
pub struct Found {
    /// One for each pointer.
    pub texts: Vec<Texts>,
    /// Members of the object that is counted; 0 for any other value, -1 where there is none.
    pub widths: Vec<i32>,
    /// Rows of lines that another reader has to look at: what is in them is NULL here.
    pub unsure: Vec<i32>,
}

/// The members of a node by their names. Most names that objects have are none of them, and are told by one comparison.
#[derive(Default)]
struct Members {
    /// A power of two, of which a quarter is filled; the place of a name follows from its hash.
    slots: Vec<Option<(Box<[u8]>, usize)>>,
    count: usize,
}

impl Members {
    fn get(&self, name: &[u8]) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(name) & mask;
        while let Some((known, member)) = &self.slots[at] {
            if **known == *name {
                return Some(*member);
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn insert(&mut self, name: &[u8], member: usize) {
        self.count += 1;
        let mut all: Vec<_> = std::mem::take(&mut self.slots).into_iter().flatten().collect();
        all.push((name.into(), member));
        let size = (self.count * 4).next_power_of_two();
        self.slots = (0..size).map(|_| None).collect();
        for (name, member) in all {
            let mut at = hash(&name) & (size - 1);
            while self.slots[at].is_some() {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = Some((name, member));
        }
    }
}

/// Of all bytes, eight at a time.
#[inline(always)]
fn hash(name: &[u8]) -> usize {
    let mix = |all: u64, word: u64| (all ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let words = name.chunks_exact(8);
    let rest = words
        .remainder()
        .iter()
        .fold(name.len() as u64, |all, &byte| all << 8 | u64::from(byte));
    let whole = words.fold(rest, |all, word| {
        mix(all, u64::from_le_bytes(word.try_into().expect("eight bytes")))
    });
    (mix(whole, 0) >> 20) as usize
}

/// Which elements of an array pointers lead to.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Elements {
    #[default]
    None,
    /// Those whose places are members, as decimal texts.
    Places,
    /// Readers differ on what such a step says.
    Doubtful,
}

impl Elements {
    fn and(self, step: &[u8]) -> Elements {
        let is_place = !step.is_empty() && step.len() < 10 && step.iter().all(u8::is_ascii_digit);
        if is_place && (step == b"0" || step[0] != b'0') {
            return if self == Elements::None { Elements::Places } else { self };
        }
        match step.first() {
            Some(b'0'..=b'9' | b'-' | b'+' | b'#') => Elements::Doubtful,
            _ => self,
        }
    }
}

/// A place that pointers lead to or through.
#[derive(Default)]
struct Node {
    members: Members,
    elements: Elements,
    /// The texts that are the value here.
    texts: Vec<usize>,
    is_counted: bool,
}

impl Node {
    fn is_left(&self) -> bool {
        self.members.count == 0 && self.texts.is_empty() && !self.is_counted
    }
}

/// The pointers of a look, as a tree.
pub struct Look {
    nodes: Vec<Node>,
    texts: usize,
}

impl Look {
    /// `pointers`: the steps of each; `counted`: those that lead to the object whose members are counted.
    pub fn new(pointers: &[Vec<Vec<u8>>], counted: Option<&[Vec<u8>]>) -> Look {
        let mut look = Look {
            nodes: vec![Node::default()],
            texts: pointers.len(),
        };
        for (number, steps) in pointers.iter().enumerate() {
            let node = look.node(steps);
            look.nodes[node].texts.push(number);
        }
        if let Some(steps) = counted {
            let node = look.node(steps);
            look.nodes[node].is_counted = true;
        }
        look
    }

    fn node(&mut self, steps: &[Vec<u8>]) -> usize {
        let mut at = 0;
        for step in steps {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            node.elements = node.elements.and(step);
            match node.members.get(step) {
                Some(member) => at = member,
                None => {
                    node.members.insert(step, next);
                    self.nodes.push(Node::default());
                    at = next;
                }
            }
        }
        at
    }

    /// Look into lines, which are given one after the other. `are_text`: they are known to be UTF-8.
    pub fn read_lines<'a>(&self, lines: impl Iterator<Item = &'a [u8]>, are_text: bool, found: &mut Found) {
        found.texts.resize_with(self.texts, Texts::default);
        found.texts.iter_mut().for_each(Texts::clear);
        found.widths.clear();
        found.unsure.clear();
        let mut line_look = LineLook {
            nodes: &self.nodes,
            are_text,
            seen: vec![0; self.nodes.len()],
            has_text: vec![false; self.texts],
            texts: &mut found.texts,
            key: Vec::new(),
            width: -1,
            line: 0,
        };
        for (row, line) in lines.enumerate() {
            let is_sure = line_look.read_line(line).is_ok();
            found.widths.push(line_look.end_line(is_sure));
            if !is_sure {
                found
                    .unsure
                    .push(i32::try_from(row).expect("rows of a portion fit 31 bits"));
            }
        }
    }
}

struct LineLook<'look> {
    nodes: &'look [Node],
    are_text: bool,
    /// In which line each node was met last: a second time in one line is a name that an object has twice.
    seen: Vec<usize>,
    has_text: Vec<bool>,
    texts: &'look mut [Texts],
    key: Vec<u8>,
    width: i32,
    line: usize,
}

impl LineLook<'_> {
    fn read_line(&mut self, line: &[u8]) -> Sure<()> {
        self.line += 1;
        if !self.are_text {
            std::str::from_utf8(line).map_err(|_| Unsure)?;
        }
        let mut walker = Walker::new(line);
        self.read_value(&mut walker, 0)?;
        walker.end()
    }

    fn end_line(&mut self, is_sure: bool) -> i32 {
        for (texts, has_text) in self.texts.iter_mut().zip(&mut self.has_text) {
            let is_valid = is_sure && std::mem::take(has_text);
            *has_text = false;
            texts.end_line(is_valid);
        }
        let width = std::mem::replace(&mut self.width, -1);
        if is_sure {
            width
        } else {
            -1
        }
    }

    fn read_value(&mut self, walker: &mut Walker, number: usize) -> Sure<()> {
        let nodes = self.nodes;
        let node = &nodes[number];
        let first = walker.next_token();
        if node.is_counted {
            self.width = 0;
        }
        if node.texts.is_empty() {
            return self.through(walker, node, first);
        }
        match first {
            b'"' => {
                let text = walker.string()?;
                self.put(node, |out| put_string(text, out))
            }
            b'n' => walker.value(),
            b'{' | b'[' | b't' | b'f' => {
                let outside = std::mem::replace(&mut walker.spelling, Spelling::Plain);
                let start = walker.place();
                self.through(walker, node, first)?;
                let (raw, spelling) = (walker.since(start), walker.spelling);
                if outside == Spelling::Other {
                    walker.spelling = outside;
                }
                self.put(node, |out| put_json(raw, spelling, out))
            }
            _ => {
                let raw = walker.number()?;
                self.put(node, |out| put_number(raw, out))
            }
        }
    }

    /// Walk over a value, into the members that pointers lead through.
    fn through(&mut self, walker: &mut Walker, node: &Node, first: u8) -> Sure<()> {
        match first {
            b'{' if !node.is_left() => walker.object(|walker, key| {
                if node.is_counted {
                    self.width += 1;
                }
                match self.member(node, key)? {
                    Some(member) => self.read_once(walker, member),
                    None => walker.value(),
                }
            }),
            b'[' if node.elements == Elements::Doubtful => Err(Unsure),
            b'[' if node.elements == Elements::Places => walker.array(|walker, place| {
                // As a text, since the same step may be a member's name elsewhere; arrays are seldom looked into.
                match node.members.get(place.to_string().as_bytes()) {
                    Some(element) => self.read_once(walker, element),
                    None => walker.value(),
                }
            }),
            _ => walker.value(),
        }
    }

    fn read_once(&mut self, walker: &mut Walker, number: usize) -> Sure<()> {
        if self.seen[number] == self.line {
            return Err(Unsure);
        }
        self.seen[number] = self.line;
        self.read_value(walker, number)
    }

    fn member(&mut self, node: &Node, key: Text) -> Sure<Option<usize>> {
        if !key.is_escaped {
            return Ok(node.members.get(key.raw));
        }
        self.key.clear();
        put_string(key, &mut self.key)?;
        Ok(node.members.get(&self.key))
    }

    fn put(&mut self, node: &Node, write: impl Fn(&mut Vec<u8>) -> Sure<()>) -> Sure<()> {
        for &text in &node.texts {
            write(&mut self.texts[text].bytes)?;
            self.has_text[text] = true;
        }
        Ok(())
    }
}
