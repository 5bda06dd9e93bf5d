//! The functions of the C ABI: the one place where memory is somebody else's.

use std::panic::catch_unwind;
use std::panic::AssertUnwindSafe;
use std::slice;
use std::sync::{Arc, Mutex};

use crate::changes::{check, Added, Changes, Lines, Places, Rows};
use crate::framing::ends;
use crate::look::{Found, Look, Texts};
use crate::plain::put_all;

/// Goes up with each change of what is said here: Python asks for it before it calls anything else.
const VERSION: u32 = 3;

/// Memory that was never touched costs more than what is written there, so it is used again: so many at once.
const MOST_SPARE: usize = 8;

/// A look and the memory of what it found before. It lives as long as the caller has it, or anything that it found: in
/// which order these are let go is not in the caller's hands either.
pub struct Looker {
    look: Look,
    spare: Mutex<Vec<Found>>,
}

/// Where one pointer's texts lie. Valid until the `Found` is given back.
#[repr(C)]
pub struct TextsView {
    offsets: *const i32,
    bytes: *const u8,
    length: usize,
    validity: *const u8,
    nulls: usize,
}

impl TextsView {
    fn of(texts: &Texts) -> TextsView {
        TextsView {
            offsets: texts.offsets.as_ptr(),
            bytes: texts.bytes.as_ptr(),
            length: texts.bytes.len(),
            validity: texts.validity.as_ptr(),
            nulls: texts.nulls,
        }
    }
}

/// Where the rows' widths lie, and the numbers of unsure rows. Valid until the `Found` is given back.
#[repr(C)]
pub struct RowsView {
    widths: *const i32,
    rows: usize,
    unsure: *const i32,
    unsure_rows: usize,
}

/// Some numbers or bytes of the caller's; none need no place.
unsafe fn of_raw<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    slice::from_raw_parts(first, count)
}

#[no_mangle]
pub extern "C" fn cdc_merge_native_version() -> u32 {
    VERSION
}

/// A look for pointers, written as `Spec` reads them; null if they are not.
///
/// # Safety
/// `spec` points to `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn looker_new(spec: *const u8, length: usize) -> *const Looker {
    let spec = of_raw(spec, length);
    let made = catch_unwind(|| Spec { rest: spec }.look());
    match made {
        Ok(Some(look)) => Arc::into_raw(Arc::new(Looker {
            look,
            spare: Mutex::new(Vec::new()),
        })),
        _ => std::ptr::null(),
    }
}

/// # Safety
/// `looker` is of `looker_new`, and the caller uses it no more.
#[no_mangle]
pub unsafe extern "C" fn looker_free(looker: *const Looker) {
    drop(Arc::from_raw(looker));
}

/// Look into lines; null if that failed.
///
/// Line i are the bytes from offsets[i] to offsets[i + 1]. With `picks`, its lines are looked into alone, in that order.
/// `are_text`: the lines are known to be UTF-8.
/// May be called by several threads at once.
///
/// # Safety
/// `looker` is of `looker_new`; `bytes`, `offsets` and `picks` point to as many as the numbers after them say, of offsets
/// one more. `picks` may be null.
#[no_mangle]
pub unsafe extern "C" fn looker_find(
    looker: *const Looker,
    bytes: *const u8,
    length: usize,
    offsets: *const i32,
    lines: usize,
    picks: *const i32,
    picked: usize,
    are_text: bool,
) -> *mut Lent {
    Arc::increment_strong_count(looker);
    let looker = Arc::from_raw(looker);
    let (bytes, offsets) = (of_raw(bytes, length), of_raw(offsets, lines + 1));
    let picks = if picks.is_null() {
        None
    } else {
        Some(of_raw(picks, picked))
    };
    let found = catch_unwind(AssertUnwindSafe(|| looker.find(bytes, offsets, picks, are_text)));
    found.map_or(std::ptr::null_mut(), |found| {
        Box::into_raw(Box::new(Lent { found, looker }))
    })
}

/// What was found, on loan.
pub struct Lent {
    found: Found,
    looker: Arc<Looker>,
}

impl Looker {
    fn find(&self, bytes: &[u8], offsets: &[i32], picks: Option<&[i32]>, are_text: bool) -> Found {
        let spare = self.spare.lock().map(|mut spare| spare.pop());
        let mut found = spare.ok().flatten().unwrap_or_default();
        let line = |number: usize| -> &[u8] {
            let ends = (offsets[number], offsets[number + 1]);
            match (usize::try_from(ends.0), usize::try_from(ends.1)) {
                (Ok(start), Ok(end)) => &bytes[start..end],
                _ => panic!("a line that begins before the others"),
            }
        };
        match picks {
            None => self
                .look
                .read_lines((0..offsets.len() - 1).map(line), are_text, &mut found),
            Some(picks) => {
                let numbers = picks
                    .iter()
                    .map(|&pick| usize::try_from(pick).expect("lines have no sign"));
                self.look.read_lines(numbers.map(line), are_text, &mut found);
            }
        }
        found
    }
}

/// # Safety
/// `lent` is of `looker_find`, and `view` points to room for a view.
#[no_mangle]
pub unsafe extern "C" fn found_texts(lent: *const Lent, number: usize, view: *mut TextsView) {
    let found = &(*lent).found;
    if let Some(texts) = found.texts.get(number) {
        *view = TextsView::of(texts);
    }
}

/// # Safety
/// As of `found_texts`.
#[no_mangle]
pub unsafe extern "C" fn found_rows(lent: *const Lent, view: *mut RowsView) {
    let found = &(*lent).found;
    *view = RowsView {
        widths: found.widths.as_ptr(),
        rows: found.widths.len(),
        unsure: found.unsure.as_ptr(),
        unsure_rows: found.unsure.len(),
    };
}

/// Give back what was found, for the next look.
///
/// # Safety
/// `lent` is of `looker_find`, and is used nowhere any more.
#[no_mangle]
pub unsafe extern "C" fn found_free(lent: *mut Lent) {
    let Lent { found, looker } = *Box::from_raw(lent);
    if let Ok(mut spare) = looker.spare.lock() {
        if spare.len() < MOST_SPARE {
            spare.push(found);
        }
    };
}

/// Where the pieces of a buffer end, and how many there are. Null if that failed.
///
/// # Safety
/// `bytes` points to `length` bytes, `count` to room for a number.
#[no_mangle]
pub unsafe extern "C" fn ends_find(bytes: *const u8, length: usize, seams: bool, count: *mut usize) -> *mut Vec<i64> {
    let bytes = of_raw(bytes, length);
    let found = catch_unwind(|| {
        let mut found = Vec::new();
        ends(bytes, seams, &mut found);
        found
    });
    match found {
        Ok(found) => {
            *count = found.len();
            Box::into_raw(Box::new(found))
        }
        Err(_) => std::ptr::null_mut(),
    }
}

/// Copy the ends to a place with room for all of them, and let go of them.
///
/// # Safety
/// `found` is of `ends_find`, and `place` has room for as many numbers as it counted.
#[no_mangle]
pub unsafe extern "C" fn ends_take(found: *mut Vec<i64>, place: *mut i64) {
    let found = Box::from_raw(found);
    std::ptr::copy_nonoverlapping(found.as_ptr(), place, found.len());
}

/// Make typed values plain; null if that failed. Value i are the bytes from offsets[i] to offsets[i + 1]. `twice`: binary
/// values are base64 of base64.
///
/// # Safety
/// `bytes` and `offsets` point to as many as the numbers after them say, of offsets one more.
#[no_mangle]
pub unsafe extern "C" fn plain_make(
    bytes: *const u8,
    length: usize,
    offsets: *const i32,
    values: usize,
    twice: bool,
) -> *mut Texts {
    let (bytes, offsets) = (
        of_raw(bytes, length),
        of_raw(offsets, if values == 0 { 0 } else { values + 1 }),
    );
    let made = catch_unwind(|| {
        let value = |ends: &[i32]| {
            let place = |end: i32| usize::try_from(end).expect("values do not begin before their bytes");
            &bytes[place(ends[0])..place(ends[1])]
        };
        let mut made = Texts::default();
        put_all(offsets.windows(2).map(value), twice, &mut made);
        made
    });
    made.map_or(std::ptr::null_mut(), |made| Box::into_raw(Box::new(made)))
}

/// # Safety
/// `made` is of `plain_make`, and `view` points to room for a view.
#[no_mangle]
pub unsafe extern "C" fn plain_texts(made: *const Texts, view: *mut TextsView) {
    *view = TextsView::of(&*made);
}

/// # Safety
/// `made` is of `plain_make`, and is used nowhere any more.
#[no_mangle]
pub unsafe extern "C" fn plain_free(made: *mut Texts) {
    drop(Box::from_raw(made));
}

/// An empty store of changes.
#[no_mangle]
pub extern "C" fn changes_new() -> *mut Mutex<Changes> {
    Box::into_raw(Box::default())
}

/// # Safety
/// `changes` is of `changes_new`, and is used nowhere any more.
#[no_mangle]
pub unsafe extern "C" fn changes_free(changes: *mut Mutex<Changes>) {
    drop(Box::from_raw(changes));
}

/// Do something with the changes; None if that failed, now or before.
unsafe fn with<T>(changes: *const Mutex<Changes>, work: impl FnOnce(&mut Changes) -> T) -> Option<T> {
    let changes = &*changes;
    catch_unwind(AssertUnwindSafe(|| {
        changes.lock().ok().map(|mut changes| work(&mut changes))
    }))
    .ok()?
}

/// Where lines lie: of each its number (null: as they come) and its object's.
#[repr(C)]
pub struct LinesView {
    chunk: i32,
    rows: *const i32,
    objects: *const i32,
    count: usize,
}

impl LinesView {
    unsafe fn lines(&self) -> Lines<'_> {
        Lines {
            chunk: self.chunk,
            rows: if self.rows.is_null() {
                None
            } else {
                Some(of_raw(self.rows, self.count))
            },
            objects: of_raw(self.objects, self.count),
        }
    }
}

/// Add what a look found: its texts are partition key, sort key (if `has_sort_key`), sequence number and the stream's ARN.
/// Rows that are no plain changes are unsure then. Null if it failed.
///
/// # Safety
/// `changes` is of `changes_new`, `lent` of `looker_find`, and `view` has a line for each of its rows.
#[no_mangle]
pub unsafe extern "C" fn changes_add_records(
    changes: *const Mutex<Changes>,
    lent: *mut Lent,
    has_sort_key: bool,
    view: *const LinesView,
) -> *mut Added {
    let (found, lines) = (&mut (*lent).found, (*view).lines());
    let places = Places {
        partition_key: 0,
        sort_key: has_sort_key.then_some(1),
        sequence_number: 1 + usize::from(has_sort_key),
        arn: 2 + usize::from(has_sort_key),
    };
    let hasher = match with(changes, |changes| changes.hasher()) {
        Some(hasher) => hasher,
        None => return std::ptr::null_mut(),
    };
    let records = match catch_unwind(AssertUnwindSafe(|| check(found, places, &hasher))) {
        Ok(records) => records,
        Err(_) => return std::ptr::null_mut(),
    };
    match with(changes, |changes| changes.add_records(found, places, &lines, &records)) {
        Some(mut added) => {
            found.unsure.append(&mut added.unsure);
            Box::into_raw(Box::new(added))
        }
        None => std::ptr::null_mut(),
    }
}

/// Rows of a look whose changes are the newest of their keys so far, and the numbers of these.
#[repr(C)]
pub struct AddedView {
    rows: *const i32,
    numbers: *const u32,
    count: usize,
}

/// # Safety
/// `added` is of `changes_add_records`, and `view` points to room for a view.
#[no_mangle]
pub unsafe extern "C" fn added_view(added: *const Added, view: *mut AddedView) {
    let added = &*added;
    *view = AddedView {
        rows: added.rows.as_ptr(),
        numbers: added.numbers.as_ptr(),
        count: added.rows.len(),
    };
}

/// # Safety
/// `added` is of `changes_add_records`, and is used nowhere any more.
#[no_mangle]
pub unsafe extern "C" fn added_free(added: *mut Added) {
    drop(Box::from_raw(added));
}

/// Texts of the caller's, one for each line.
#[repr(C)]
pub struct GivenTexts {
    offsets: *const i32,
    bytes: *const u8,
    length: usize,
}

impl GivenTexts {
    unsafe fn texts(&self, count: usize) -> Option<Vec<&[u8]>> {
        let (offsets, bytes) = (of_raw(self.offsets, count + 1), of_raw(self.bytes, self.length));
        let text = |ends: &[i32]| bytes.get(usize::try_from(ends[0]).ok()?..usize::try_from(ends[1]).ok()?);
        offsets.windows(2).map(text).collect()
    }
}

/// Add changes whose partition keys, sort keys and positions somebody else found. False if it failed.
///
/// # Safety
/// `changes` is of `changes_new`; `texts` points to three views, and each has a text for each line of `view`.
#[no_mangle]
pub unsafe extern "C" fn changes_add_texts(
    changes: *const Mutex<Changes>,
    texts: *const GivenTexts,
    view: *const LinesView,
) -> bool {
    let (lines, count) = ((*view).lines(), (*view).count);
    let given = of_raw(texts, 3);
    let all: Option<Vec<_>> = given.iter().map(|each| each.texts(count)).collect();
    match all.as_deref() {
        Some([partition_keys, sort_keys, positions]) => with(changes, |changes| {
            changes.add_texts(partition_keys, sort_keys, positions, &lines);
        })
        .is_some(),
        _ => false,
    }
}

/// Leave out all that came from some objects. False if it failed.
///
/// # Safety
/// `changes` is of `changes_new`, and `objects` points to `count` numbers.
#[no_mangle]
pub unsafe extern "C" fn changes_forget(changes: *const Mutex<Changes>, objects: *const i32, count: usize) -> bool {
    let objects = of_raw(objects, count);
    with(changes, |changes| changes.forget(objects)).is_some()
}

/// How much there is. -1: it failed.
#[repr(C)]
pub struct Measures {
    changes: i64,
    given: i64,
    keys: i64,
    bytes: i64,
}

/// # Safety
/// `changes` is of `changes_new`.
#[no_mangle]
pub unsafe extern "C" fn changes_measure(changes: *const Mutex<Changes>) -> Measures {
    let measured = with(changes, |changes| Measures {
        changes: changes.len() as i64,
        given: i64::from(changes.given()),
        keys: changes.keys() as i64,
        bytes: changes.size() as i64,
    });
    measured.unwrap_or(Measures {
        changes: -1,
        given: -1,
        keys: -1,
        bytes: -1,
    })
}

/// Find the newest change of each key; returns how many there are, -1 if it failed.
///
/// # Safety
/// `changes` is of `changes_new`.
#[no_mangle]
pub unsafe extern "C" fn changes_settle(changes: *const Mutex<Changes>) -> i64 {
    with(changes, |changes| changes.settle() as i64).unwrap_or(-1)
}

/// Some of the newest changes, or of all: from a place on, up to another or until they are many bytes. Null if it failed.
///
/// # Safety
/// `changes` is of `changes_new`.
#[no_mangle]
pub unsafe extern "C" fn changes_rows(
    changes: *const Mutex<Changes>,
    only_newest: bool,
    start: usize,
    end: usize,
) -> *mut Rows {
    let rows = with(changes, |changes| match only_newest {
        true => changes.newest(start..end),
        false => changes.all(start..end),
    });
    rows.map_or(std::ptr::null_mut(), |rows| Box::into_raw(Box::new(rows)))
}

/// How many changes came from each of the objects. False if it failed.
///
/// # Safety
/// `changes` is of `changes_new`, and `counts` has room for `objects` numbers.
#[no_mangle]
pub unsafe extern "C" fn changes_count(changes: *const Mutex<Changes>, objects: usize, counts: *mut i64) -> bool {
    match with(changes, |changes| changes.counts(objects)) {
        Some(found) => {
            std::ptr::copy_nonoverlapping(found.as_ptr(), counts, objects);
            true
        }
        None => false,
    }
}

/// Where the columns of some changes lie. Valid until the rows are let go.
#[repr(C)]
pub struct ChangesView {
    texts: [TextsView; 3],
    chunks: *const i32,
    idxs: *const i32,
    objects: *const i32,
    numbers: *const u32,
    rows: usize,
}

/// # Safety
/// `rows` is of `changes_rows`, and `view` points to room for a view.
#[no_mangle]
pub unsafe extern "C" fn rows_view(rows: *const Rows, view: *mut ChangesView) {
    let rows = &*rows;
    *view = ChangesView {
        texts: [&rows.partition_keys, &rows.sort_keys, &rows.positions].map(TextsView::of),
        chunks: rows.chunks.as_ptr(),
        idxs: rows.idxs.as_ptr(),
        objects: rows.objects.as_ptr(),
        numbers: rows.numbers.as_ptr(),
        rows: rows.chunks.len(),
    };
}

/// # Safety
/// `rows` is of `changes_rows`, and is used nowhere any more.
#[no_mangle]
pub unsafe extern "C" fn rows_free(rows: *mut Rows) {
    drop(Box::from_raw(rows));
}

/// Pointers as bytes: how many there are, then of each the number of its steps, then of each step its length and bytes.
/// Last, 1 and one more pointer, of the object whose members are counted, or 0. Numbers have 4 bytes, the lowest first.
struct Spec<'a> {
    rest: &'a [u8],
}

impl Spec<'_> {
    fn look(&mut self) -> Option<Look> {
        let pointers: Option<Vec<_>> = (0..self.number()?).map(|_| self.steps()).collect();
        let counted = match self.number()? {
            0 => None,
            _ => Some(self.steps()?),
        };
        Some(Look::new(&pointers?, counted.as_deref()))
    }

    fn steps(&mut self) -> Option<Vec<Vec<u8>>> {
        (0..self.number()?).map(|_| self.step()).collect()
    }

    fn step(&mut self) -> Option<Vec<u8>> {
        let length = self.number()?;
        self.take(length).map(<[u8]>::to_vec)
    }

    fn number(&mut self) -> Option<usize> {
        let bytes = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        if length > self.rest.len() {
            return None;
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(taken)
    }
}
