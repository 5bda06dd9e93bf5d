//! The changes of a batch: of each its key, its position, and where it lies. Each key is kept once.

use std::cmp::Ordering;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::mem::size_of;
use std::ops::Range;

use crate::look::{Found, Texts};

/// Sequence numbers are compared as texts of so many digits.
/// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
const DIGITS: usize = 40;
const USUAL_DIGITS: usize = 21;
const ZEROS: [u8; DIGITS] = [b'0'; DIGITS];

/// How many keys are looked up in one go.
const TOUCHED: usize = 64;

/// Of rows that are handed over at once: a key is kept once here, but is in each of its rows there.
const MOST_BYTES: usize = 16 << 20;

/// Labels of streams are times.
const LONGEST_LABEL: usize = 1_000;

/// Known prefixes are searched one by one.
const MOST_PREFIXES: usize = 1_000;

const LABEL: &[u8] = b"/stream/";

/// A key: where its parts lie in the bytes of all of them.
#[derive(Clone, Copy)]
struct Key {
    start: usize,
    /// Where the second part begins.
    middle: u32,
    length: u32,
    /// The place of its newest change.
    newest: Option<u32>,
}

/// What a position begins with, of `prefixes`, and whether digits follow that are kept without zeros in front.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Prefix(u32);

impl Prefix {
    fn of_digits(number: u32) -> Prefix {
        Prefix(number << 1 | 1)
    }

    fn of_text(number: u32) -> Prefix {
        Prefix(number << 1)
    }

    fn number(self) -> usize {
        self.0 as usize >> 1
    }

    fn are_digits(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A change. `chunk` and `idx`: where its line lies.
#[derive(Clone, Copy)]
struct Change {
    key: u32,
    prefix: Prefix,
    /// The rest of its position, in `positions`.
    start: usize,
    length: u32,
    object: i32,
    chunk: i32,
    idx: i32,
}

/// A place in the table of keys. `number`: of the key, one more; 0: nothing. `tag`: bits of its hash, so that other keys
/// are hardly ever compared.
#[derive(Default, Clone, Copy)]
struct Slot {
    number: u32,
    tag: u32,
}

/// Rows of changes, as Arrow lays them out.
#[derive(Default)]
pub struct Rows {
    pub partition_keys: Texts,
    pub sort_keys: Texts,
    pub positions: Texts,
    pub chunks: Vec<i32>,
    pub idxs: Vec<i32>,
    pub objects: Vec<i32>,
    pub numbers: Vec<u32>,
}

/// What became of the rows of a look.
#[derive(Default)]
pub struct Added {
    /// Rows that were left out.
    pub unsure: Vec<i32>,
    /// Rows of changes that are the newest of their keys so far, and the numbers of these.
    pub rows: Vec<i32>,
    pub numbers: Vec<u32>,
}

#[derive(Default)]
pub struct Changes {
    changes: Vec<Change>,
    /// A change keeps the number that it was given, from 1 on, where others are forgotten. None: it is the place.
    numbers: Option<Vec<u32>>,
    given: u32,
    positions: Vec<u8>,
    prefixes: Vec<Vec<u8>>,
    keys: Vec<Key>,
    key_bytes: Vec<u8>,
    /// A power of two, at most half of it filled.
    slots: Vec<Slot>,
    hashes: Vec<u64>,
    hasher: RandomState,
    /// As `settle` found them.
    newest: Vec<u32>,
}

/// Texts of a look by their places in it.
#[derive(Clone, Copy)]
pub struct Places {
    pub partition_key: usize,
    /// None: the table has no sort key.
    pub sort_key: Option<usize>,
    pub sequence_number: usize,
    pub arn: usize,
}

/// Where the lines that were looked into lie. `rows`: the line of each row; None: as they come.
pub struct Lines<'a> {
    pub chunk: i32,
    pub rows: Option<&'a [i32]>,
    pub objects: &'a [i32],
}

/// What a record says of its place in the order: checked, but not yet in the store.
pub struct Record {
    row: usize,
    hash: u64,
}

/// The records of a look that have a plain place in the order; the others are unsure.
pub fn check(found: &mut Found, places: Places, hasher: &RandomState) -> Vec<Record> {
    let mut records = Vec::with_capacity(found.widths.len());
    let mut unsure = Vec::new();
    for row in 0..found.widths.len() {
        if has_place(found, places, row) {
            let (partition_key, sort_key) = keys(found, places, row);
            records.push(Record {
                row,
                hash: hash(hasher, partition_key, sort_key),
            });
        } else {
            unsure.push(row as i32); // what was unsure before is among them, as it has no texts
        }
    }
    found.unsure = unsure;
    records
}

fn has_place(found: &Found, places: Places, row: usize) -> bool {
    let text = |place: usize| found.texts[place].get(row);
    let has_keys = text(places.partition_key).is_some_and(|key| !key.is_empty())
        && places.sort_key.map_or(true, |place| text(place).is_some());
    let is_number = |number: &[u8]| (1..=DIGITS).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
    has_keys && text(places.sequence_number).is_some_and(is_number)
}

fn keys(found: &Found, places: Places, row: usize) -> (&[u8], &[u8]) {
    let text = |place: usize| found.texts[place].get(row).unwrap_or(b"");
    (text(places.partition_key), places.sort_key.map_or(b"", text))
}

fn hash(hasher: &RandomState, partition_key: &[u8], sort_key: &[u8]) -> u64 {
    hasher.hash_one((partition_key, sort_key))
}

/// Room for more, and a quarter besides: twice as much as there is, as vectors grow by themselves, is too much.
fn reserve<T>(vector: &mut Vec<T>, more: usize) {
    if vector.capacity() - vector.len() < more {
        vector.reserve_exact(more.max(vector.len() / 4));
    }
}

fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Changes {
    /// The store's way to hash keys. Hashing is most of the work that needs no lock.
    pub fn hasher(&self) -> RandomState {
        self.hasher.clone()
    }

    /// Add what `check` made of a look.
    pub fn add_records(&mut self, found: &Found, places: Places, lines: &Lines, records: &[Record]) -> Added {
        let first = self.changes.len();
        reserve(&mut self.changes, records.len());
        reserve(&mut self.positions, records.len() * USUAL_DIGITS);
        let mut added = Added::default();
        let (mut last_arn, mut last_prefix): (Option<&[u8]>, _) = (None, None);
        for (number, record) in records.iter().enumerate() {
            if number % TOUCHED == 0 {
                self.touch(&records[number..records.len().min(number + TOUCHED)]);
            }
            let row = record.row;
            let text = |place: usize| found.texts[place].get(row);
            let arn = text(places.arn).unwrap_or(b"");
            if last_arn != Some(arn) {
                (last_arn, last_prefix) = (Some(arn), self.prefix_of(arn));
            }
            let (prefix, number) = match (last_prefix, text(places.sequence_number)) {
                (Some(prefix), Some(number)) => (prefix, number),
                _ => {
                    added.unsure.push(row as i32);
                    continue;
                }
            };
            let (partition_key, sort_key) = keys(found, places, row);
            let key = self.key(record.hash, partition_key, sort_key);
            let start = self.positions.len();
            // Without zeros in front, which `rest` puts back.
            let zeros = number.iter().take_while(|&&digit| digit == b'0').count();
            self.positions.extend_from_slice(&number[zeros..]);
            self.put(lines, row, key, Prefix::of_digits(prefix), start);
            added.rows.push(row as i32);
        }
        self.keep_newest(first, &mut added);
        added
    }

    /// Of the rows that were added from a change on, those that are the newest of their keys.
    fn keep_newest(&self, first: usize, added: &mut Added) {
        let mut change = first;
        let numbers = &mut added.numbers;
        added.rows.retain(|_| {
            let is_newest = self.keys[self.changes[change].key as usize].newest == Some(change as u32);
            if is_newest {
                numbers.push(self.number(change));
            }
            change += 1;
            is_newest
        });
    }

    fn number(&self, change: usize) -> u32 {
        self.numbers
            .as_ref()
            .map_or(change as u32 + 1, |numbers| numbers[change])
    }

    /// Read what some records will be compared with, all at once: it lies all over memory, and one by one each would be
    /// waited for.
    fn touch(&self, records: &[Record]) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut found = [(0, 0); TOUCHED];
        let mut count = 0;
        for record in records {
            let slot = self.slots.get(record.hash as usize & mask);
            if let Some(number) = slot.map(|slot| slot.number).filter(|&number| number != 0) {
                found[count].0 = number as usize - 1;
                count += 1;
            }
        }
        let found = &mut found[..count];
        for (key, newest) in &mut *found {
            let known = &self.keys[*key];
            (*key, *newest) = (known.start, known.newest.map_or(0, |change| change as usize));
        }
        for (_, newest) in &mut *found {
            *newest = self.changes.get(*newest).map_or(0, |change| change.start);
        }
        let byte = |bytes: &[u8], at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
        let bytes = found
            .iter()
            .map(|&(key, position)| byte(&self.key_bytes, key) + byte(&self.positions, position));
        black_box(bytes.sum::<u64>());
    }

    fn put(&mut self, lines: &Lines, row: usize, key: u32, prefix: Prefix, start: usize) {
        self.changes.push(Change {
            key,
            prefix,
            start,
            length: (self.positions.len() - start) as u32,
            object: lines.objects[row],
            chunk: lines.chunk,
            idx: lines.rows.map_or(row as i32, |rows| rows[row]),
        });
        self.given += 1;
        if let Some(numbers) = &mut self.numbers {
            numbers.push(self.given);
        }
        self.note_newest(self.changes.len() - 1);
    }

    /// Let a change be its key's newest, if it is. Not if it comes a second time: what was staged of the first stays so.
    fn note_newest(&mut self, number: usize) {
        let change = &self.changes[number];
        let is_newer = |best: u32| self.order(change, &self.changes[best as usize]) == Ordering::Greater;
        let key = change.key as usize;
        if self.keys[key].newest.map_or(true, is_newer) {
            self.keys[key].newest = Some(number as u32);
        }
    }

    /// The stream's label and a slash. None for a label of which it is not plain how it would be compared, and once there
    /// are far more than a table ever has streams.
    fn prefix_of(&mut self, arn: &[u8]) -> Option<u32> {
        let label = match arn.windows(LABEL.len()).position(|window| window == LABEL) {
            Some(at) => &arn[at + LABEL.len()..],
            None => b"",
        };
        let is_plain = label.len() <= LONGEST_LABEL && !label.iter().any(|&byte| byte == b'/' || byte == 0);
        if !is_plain || self.prefixes.len() >= MOST_PREFIXES {
            return None;
        }
        Some(self.prefix([label, b"/"].concat()))
    }

    fn prefix(&mut self, prefix: Vec<u8>) -> u32 {
        let known = self.prefixes.iter().position(|known| *known == prefix);
        known.unwrap_or_else(|| {
            self.prefixes.push(prefix);
            self.prefixes.len() - 1
        }) as u32
    }

    /// Add changes whose keys and positions somebody else found.
    pub fn add_texts(&mut self, partition_keys: &[&[u8]], sort_keys: &[&[u8]], positions: &[&[u8]], lines: &Lines) {
        let prefix = Prefix::of_text(self.prefix(Vec::new()));
        reserve(&mut self.changes, positions.len());
        for (row, position) in positions.iter().enumerate() {
            let hash = hash(&self.hasher, partition_keys[row], sort_keys[row]);
            let key = self.key(hash, partition_keys[row], sort_keys[row]);
            let start = self.positions.len();
            self.positions.extend_from_slice(position);
            self.put(lines, row, key, prefix, start);
        }
    }

    /// The number of a key.
    fn key(&mut self, hash: u64, partition_key: &[u8], sort_key: &[u8]) -> u32 {
        if self.slots.len() < 2 * (self.keys.len() + 1) {
            self.make_room();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].number != 0 {
            let Slot { number, tag } = self.slots[at];
            if tag == tag_of(hash) && self.parts(number as usize - 1) == (partition_key, sort_key) {
                return number - 1;
            }
            at = (at + 1) & mask;
        }
        reserve(&mut self.keys, 1);
        reserve(&mut self.hashes, 1);
        reserve(&mut self.key_bytes, partition_key.len() + sort_key.len());
        self.keys.push(Key {
            start: self.key_bytes.len(),
            middle: partition_key.len() as u32,
            length: (partition_key.len() + sort_key.len()) as u32,
            newest: None,
        });
        self.key_bytes.extend_from_slice(partition_key);
        self.key_bytes.extend_from_slice(sort_key);
        self.hashes.push(hash);
        self.slots[at] = Slot {
            number: self.keys.len() as u32,
            tag: tag_of(hash),
        };
        self.keys.len() as u32 - 1
    }

    fn make_room(&mut self) {
        let size = (4 * (self.keys.len() + 1)).next_power_of_two().max(1024);
        self.slots = vec![Slot::default(); size];
        for (number, &hash) in self.hashes.iter().enumerate() {
            let mut at = hash as usize & (size - 1);
            while self.slots[at].number != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = Slot {
                number: number as u32 + 1,
                tag: tag_of(hash),
            };
        }
    }

    fn parts(&self, key: usize) -> (&[u8], &[u8]) {
        let span = self.keys[key];
        let bytes = &self.key_bytes[span.start..span.start + span.length as usize];
        bytes.split_at(span.middle as usize)
    }

    /// The parts of a change's position: what it begins with, zeros, and the rest.
    fn position(&self, change: &Change) -> [&[u8]; 3] {
        let rest = &self.positions[change.start..change.start + change.length as usize];
        let zeros = if change.prefix.are_digits() {
            &ZEROS[rest.len()..]
        } else {
            b""
        };
        [&self.prefixes[change.prefix.number()], zeros, rest]
    }

    /// The order of two changes of a key by position; equal ones are the same change.
    fn order(&self, one: &Change, other: &Change) -> Ordering {
        let ([first, zeros, rest], [other_first, other_zeros, other_rest]) = (self.position(one), self.position(other));
        if one.prefix == other.prefix && zeros.len() == other_zeros.len() {
            rest.cmp(other_rest)
        } else {
            let others = other_first.iter().chain(other_zeros).chain(other_rest);
            first.iter().chain(zeros).chain(rest).cmp(others)
        }
    }

    /// Leave out all that came from some objects.
    pub fn forget(&mut self, objects: &[i32]) {
        let is_kept = |change: &Change| !objects.contains(&change.object);
        let kept = (0..self.changes.len()).filter(|&change| is_kept(&self.changes[change]));
        self.numbers = Some(kept.map(|change| self.number(change)).collect());
        self.changes.retain(is_kept);
        self.keys.iter_mut().for_each(|key| key.newest = None);
        (0..self.changes.len()).for_each(|change| self.note_newest(change));
    }

    /// Take down the newest change of each key; returns how many there are.
    pub fn settle(&mut self) -> usize {
        self.newest = self.keys.iter().filter_map(|key| key.newest).collect();
        self.newest.len()
    }

    /// Some of the newest changes, as of the last `settle`.
    pub fn newest(&self, range: Range<usize>) -> Rows {
        self.rows(self.newest[range].iter().map(|&change| change as usize))
    }

    /// Some of all changes.
    pub fn all(&self, range: Range<usize>) -> Rows {
        self.rows(range)
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// How many changes there ever were: the last number.
    pub fn given(&self) -> u32 {
        self.given
    }

    /// How many keys there ever were.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of memory that they take.
    pub fn size(&self) -> usize {
        self.changes.capacity() * size_of::<Change>()
            + self.numbers.as_ref().map_or(0, Vec::capacity) * size_of::<u32>()
            + self.positions.capacity()
            + self.key_bytes.capacity()
            + self.keys.capacity() * (size_of::<Key>() + size_of::<u64>())
            + self.slots.capacity() * size_of::<Slot>()
    }

    fn rows(&self, changes: impl Iterator<Item = usize>) -> Rows {
        let mut rows = Rows::default();
        for texts in [&mut rows.partition_keys, &mut rows.sort_keys, &mut rows.positions] {
            texts.clear();
        }
        for number in changes {
            let size = rows.partition_keys.bytes.len() + rows.sort_keys.bytes.len() + rows.positions.bytes.len();
            if size >= MOST_BYTES {
                break;
            }
            let change = &self.changes[number];
            let (partition_key, sort_key) = self.parts(change.key as usize);
            rows.partition_keys.put(&[partition_key]);
            rows.sort_keys.put(&[sort_key]);
            rows.positions.put(&self.position(change));
            rows.chunks.push(change.chunk);
            rows.idxs.push(change.idx);
            rows.objects.push(change.object);
            rows.numbers.push(self.number(number));
        }
        rows
    }

    /// How many changes came from each object, by its number; there are so many objects.
    pub fn counts(&self, objects: usize) -> Vec<i64> {
        let mut counts = vec![0; objects];
        for change in &self.changes {
            counts[change.object as usize] += 1;
        }
        counts
    }
}
